"""The quantile of Student's t, without SciPy, whose import takes longer than a short report."""

from statistics import NormalDist

FEWEST = 4
"""Degrees of freedom; the expansion is right to 0.001 from here on."""


def t_quantile(freedom: int, level: float) -> float:
    """Half the width of the two-sided interval of a level, in standard errors.

    It is the normal quantile, expanded (Abramowitz and Stegun, Handbook of Mathematical Functions,
    26.7.5).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
