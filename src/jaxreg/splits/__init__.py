"""Which rows train the head, which stop it, which test it, and which must be left out."""

from jaxreg.splits.folds import split_folds
from jaxreg.splits.held_out_groups import HeldOutGroup, some_of, training_groups
from jaxreg.splits.sides import Split
from jaxreg.splits.split import KINDS, split_rows

__all__ = [
    "KINDS",
    "HeldOutGroup",
    "Split",
    "some_of",
    "split_folds",
    "split_rows",
    "training_groups",
]
