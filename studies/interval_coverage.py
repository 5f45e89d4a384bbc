"""How often the 95% intervals of `jaxreg runs` hold the true MAE, by the number of units.

The rows of a unit share the size of their errors, which differs from unit to unit (log-normal, 0.5)
as it does between stretches of a drive. The table in docs/comparing-runs.md is the output.

    python studies/interval_coverage.py
"""

import numpy as np

from jaxreg.comparison.bootstrap import Truth, interval, maes

TABLES, SPREAD = 4000, 0.5


def main() -> None:
    rng = np.random.default_rng(0)
    true = np.exp(SPREAD**2 / 2) * np.sqrt(2 / np.pi)  # the mean of a size times that of |N(0, 1)|
    print("| units | percentiles | expanded percentiles |\n|---|---|---|")
    for units in (5, 10, 20, 40):
        rows = rng.integers(10, 40, size=units)
        sizes = np.exp(rng.normal(0, SPREAD, size=(units, TABLES)))
        noise = np.abs(rng.normal(size=(units, TABLES, 40)))
        inside = (np.arange(40) < rows[:, None])[:, None, :]
        errors = sizes * (noise * inside).sum(axis=2)
        counts = rows[:, None].astype(np.float64)
        drawn = maes(errors, Truth(counts, counts, counts))
        plain = np.quantile(drawn, [0.025, 0.975], axis=0)
        shares = [
            ((low <= true) & (true <= high)).mean() for low, high in (plain, interval(drawn, units))
        ]
        print(f"| {units} | {shares[0]:.1%} | {shares[1]:.1%} |")


if __name__ == "__main__":
    main()
