"""The file processing workflow: what `amachine demo` shows and `examples/file_processing.py` runs without a face.

It lives in the package, and nowhere else, so that an installed wheel has it, the checkers and the floors hold it, and
the command and the example are the same program. Start with `flow.py`: the life of one file.
"""

from amachine.tools.demo.batch import Batch
from amachine.tools.demo.flow import FileFlow
from amachine.tools.demo.store import Store
from amachine.tools.demo.values import Found, Outcome, Rules

__all__ = ["Batch", "FileFlow", "Found", "Outcome", "Rules", "Store"]
