"""Fails unless every public name of the library has a type that is known. The command's own modules are no library."""

import json
import subprocess
import sys
from typing import Any


def _is_vague(symbol: dict[str, Any]) -> bool:
    """Whether a type is left to be guessed.

    In `states` some are, on purpose: an annotation would bind users' own, too. And nobody names what loads names.
    """
    name: str = symbol["name"]
    unclear: bool = not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
    return (
        unclear
        and not name.startswith("amachine.states.")
        and not name.endswith((".__getattr__", ".__dir__"))
    )


def main() -> int:
    """Ask pyright, and show what is left."""
    asked = ["pyright", "--ignoreexternal", "--verifytypes", "amachine", "--outputjson"]
    found = json.loads(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=False).stdout)
    symbols = [
        symbol
        for symbol in found["typeCompleteness"]["symbols"]
        if symbol["isExported"] and not symbol["name"].startswith("amachine.tools")
    ]
    vague = [symbol["name"] for symbol in symbols if _is_vague(symbol)]
    for name in vague:
        print(f"no complete type: {name}")
    print(f"{len(symbols) - len(vague)} of {len(symbols)} public names have a known type")
    return 1 if vague or not symbols else 0


if __name__ == "__main__":
    sys.exit(main())
