"""`jaxreg COMMAND …`, the same as `python -m jaxreg.COMMAND …`."""

import sys
from importlib import import_module
from typing import NoReturn

from jaxreg import cli
from jaxreg.errors import InputError, nearest

COMMANDS = {
    "extract": "run InceptionV3 once over a source and keep its features",
    "train": "train a head on cached features",
    "predict": "predict from raw images with a trained run",
    "diagnose": "try a run or a dataset, and say why it does not learn",
    "verify": "check the cache for damage",
    "demo": "all of it, on the built-in road",
}


def main() -> NoReturn:
    """Run the command that the first word names."""
    cli.run_command(_run)


def _run() -> int:
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print("usage: jaxreg COMMAND …     (jaxreg COMMAND --help tells more)\n")
        for name, purpose in COMMANDS.items():
            print(f"  {name:8} {purpose}")
        return 0 if words else 2
    if words[0] not in COMMANDS:
        raise InputError(
            f"no command {words[0]!r}",
            expected=", ".join(COMMANDS),
            remedy=nearest(words[0], COMMANDS) or "jaxreg --help",
        )
    sys.argv = [f"jaxreg {words[0]}", *words[1:]]
    return import_module(f"jaxreg.{words[0]}").main()


if __name__ == "__main__":
    main()
