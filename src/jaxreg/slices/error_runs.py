"""Rows of recordings whose errors are alike: runs that are longer than the errors remember."""

import math

import numpy as np

from jaxreg.metrics import runs_of_rows

TIMES = 4  # the rows that errors remember, in a run
LOW = 0.1  # of the autocorrelation: from there on it is noise
FEWEST = 5  # runs; errors that remember more rows have shorter ones


def runs_of_errors(errors: np.ndarray, sequence: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(rows,) the number of the run of each row.

    A run has √N rows, or TIMES the integrated autocorrelation time of the errors, 1 + 2 Σ ρ(k)
    over the lags k before ρ falls below LOW (Sokal, Monte Carlo Methods in Statistical Mechanics,
    section 3).

    Args:
        errors: (rows,) finite.
        sequence: (rows,) the sequence of each row. A run never spans two sequences.
        order: (rows,) the place of each row within its sequence.
    """
    count = len(errors)
    longest = max(1, count // FEWEST)
    place = np.lexsort((order, sequence))
    first = np.flatnonzero(np.diff(sequence[place])) + 1
    centered = (errors - errors.mean())[place] if count else errors
    lags = np.zeros(longest + 1)
    for part in np.split(centered, first):
        kept = min(len(part), len(lags))
        spectrum = np.fft.rfft(part, 1 << (2 * max(len(part), 1) - 1).bit_length())
        lags[:kept] += np.fft.irfft(np.square(np.abs(spectrum)))[:kept]
    length = math.isqrt(count)
    if lags[0] > 0:
        correlation = lags[1:] / lags[0]
        low = np.flatnonzero(correlation < LOW)
        known = correlation[: low[0]] if len(low) else correlation
        length = max(length, math.ceil(TIMES * (1 + 2 * float(known.sum()))))
    return runs_of_rows(sequence, order, max(1, min(length, longest)))
