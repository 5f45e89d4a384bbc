"""What all kinds of split share: the sides, and numbers drawn from names."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

TRAIN, VALIDATION, TEST, LEFT_OUT = "train", "validation", "test", "left-out"
LABEL = "<U10"  # NumPy text that holds the longest of them


@dataclass(frozen=True)
class Split:
    """Each row's side, and what a person should know about how it got there."""

    labels: np.ndarray  # text, one per row: train, validation, test or left-out
    kind: str  # resolved, as blocks:10
    units: int  # how many parts of the rows it can hold out: blocks, groups, images or rows
    notes: tuple[str, ...] = ()  # whole sentences


def places_of(texts: Iterable[str]) -> np.ndarray:
    """A number in [0, 1) for each text: the first 13 hex digits of its SHA-256, over 16**13."""
    heads = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
    return (np.frombuffer(heads, dtype=">u8") >> 12) / 2**52  # 52 bits, all that a float64 holds


def share_of(share: float, whole: np.ndarray | float) -> np.ndarray:
    """ceil(share × whole), not misled by 0.07 × 100 being 7.000000000000001."""
    return np.ceil(np.round(np.multiply(share, whole), 9)).astype(np.int64)
