"""Fails unless every public name of the library has a type that is known. The command's own modules are no library."""

import json
import subprocess
import sys
from typing import Any


def _is_ambiguous(symbol: dict[str, Any]) -> bool:
    """Whether checkers may differ. In `states` some are inferred on purpose: an annotation would bind the users' own, too."""
    name: str = symbol["name"]
    return symbol["isTypeAmbiguous"] and not name.startswith("amachine.states.")


def main() -> int:
    """Ask pyright, and show what is left."""
    asked = ["pyright", "--ignoreexternal", "--verifytypes", "amachine", "--outputjson"]
    found = json.loads(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=False).stdout)
    symbols = [
        symbol
        for symbol in found["typeCompleteness"]["symbols"]
        if symbol["isExported"] and not symbol["name"].startswith("amachine.tools")
    ]
    vague = [symbol["name"] for symbol in symbols if not symbol["isTypeKnown"] or _is_ambiguous(symbol)]
    for name in vague:
        print(f"no complete type: {name}")
    print(f"{len(symbols) - len(vague)} of {len(symbols)} public names have a known type")
    return 1 if vague or not symbols else 0


if __name__ == "__main__":
    sys.exit(main())
