"""`python -m amachine` is the `amachine` command."""

from __future__ import annotations

import sys

from amachine.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
