"""`jaxreg COMMAND …`, the same as `python -m jaxreg.COMMAND …`."""

import shlex
import sys
from importlib import import_module
from typing import NoReturn

import jaxreg
from jaxreg import cli
from jaxreg.errors import InputError, nearest

COMMANDS = {
    "extract": "run a network once over a source and keep its features",
    "train": "train a head on cached features",
    "sweep": "search settings and columns, and train the best head",
    "predict": "predict from raw images with a trained run",
    "evaluate": "score a trained run on other labelled data",
    "explain": "show where in the pictures the predictions of a run come from",
    "runs": "compare the runs of a folder",
    "log": "show finished runs in MLflow or TensorBoard",
    "diagnose": "test a run or a dataset, and say why it does not learn",
    "list": "list datasets, feature sets, backbones or causes",
    "bundle": "write a run to one file for a colleague",
    "export": "write a run as a model that needs no jaxreg",
    "remove": "delete a dataset, a feature set or a run",
    "verify": "check the cache for damage",
    "demo": "extract drawn images, and compare two heads on them",
}


def main() -> NoReturn:
    """Run the command that the first word names."""
    cli.run_command(_run)


def _run() -> int:
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print("usage: jaxreg COMMAND …     (jaxreg COMMAND --help shows its options)\n")
        for name, purpose in COMMANDS.items():
            print(f"  {name:8} {purpose}")
        return 0 if words else 2
    if words[0] == "--version":
        print(f"jaxreg {jaxreg.__version__}")
        return 0
    if words[0] not in COMMANDS:
        near = nearest(words[0], COMMANDS)
        raise InputError(
            f"no command {words[0]!r}",
            expected=", ".join(COMMANDS),
            remedy=shlex.join(["jaxreg", near, *words[1:]]) if near else "jaxreg --help",
        )
    sys.argv = [f"jaxreg {words[0]}", *words[1:]]
    return import_module(f"jaxreg.{words[0]}").main()


if __name__ == "__main__":
    main()
