"""What a ridge and components cost and bring: `python studies/components.py speed|score|alpha`.

    python studies/components.py speed
    python studies/components.py score NAME --cache cache --target COLUMN [--test 0.2]
    python studies/components.py alpha NAME --cache cache --target COLUMN --layers L --pool P

`speed` uses synthetic features of 12,800 × 2,048 and prints medians of alternating repetitions;
`score` trains on a cached dataset with seeds 0 to 4, which also choose the blocks held out, and
scores the validation rows, or the test rows if there are any. `alpha` gives the R² of a ridge
over five folds of blocks, its alpha chosen on rows left out alone or in blocks.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

ROWS, VALIDATION, COLUMNS = 12_800, 3_200, 2_048
HEADS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "ridge": {"head": "ridge"},
    "mlp, 32 components": {"components": 32},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    commands.add_parser("speed").set_defaults(run=lambda _: speed())
    score_parser = commands.add_parser("score")
    score_parser.add_argument("name")
    score_parser.add_argument("--cache", default="cache")
    score_parser.add_argument("--target", required=True)
    score_parser.add_argument("--test", type=float, default=0.0)
    score_parser.set_defaults(run=lambda g: score(g.name, g.cache, g.target, g.test))
    alpha_parser = commands.add_parser("alpha")
    alpha_parser.add_argument("name")
    alpha_parser.add_argument("--cache", default="cache")
    alpha_parser.add_argument("--target", required=True)
    alpha_parser.add_argument("--layers", required=True)
    alpha_parser.add_argument("--pool", required=True)
    alpha_parser.set_defaults(run=lambda g: alpha(g.name, g.cache, g.target, g.layers, g.pool))
    given = parser.parse_args()
    given.run(given)


def speed() -> None:
    data = synthetic()
    for rows, columns in [(200, 256), (800, 1_152), (800, 2_048), (4_000, 512)]:
        against_scikit_learn(data.x[:rows, :columns], data.y[:rows])
    epochs(data)


def against_scikit_learn(x: np.ndarray, y: np.ndarray, repeat: int = 5) -> None:
    """The ridge, and scikit-learn's with the same alphas."""
    from sklearn.linear_model import RidgeCV

    from jaxreg.head import ridge, scaling

    scaler = scaling.feature_scaler(x)
    z, one_target = np.asarray(scaling.scale(scaler, x), np.float64), y[:, 0].astype(np.float64)

    def ours() -> object:
        return ridge.solve(ridge.decompose(scaler, x, y), x, y)

    def theirs() -> object:
        return RidgeCV(ridge.ALPHAS).fit(z, one_target)

    first = seconds(ours)
    times = [(seconds(ours), seconds(theirs)) for _ in range(repeat)]
    own, other = (statistics.median(column) for column in zip(*times, strict=True))
    print(
        f"ridge {x.shape[0]} x {x.shape[1]}: {own:.3f} s ({first:.2f} s with compilation), "
        f"RidgeCV {other:.3f} s, {other / own:.1f} times as long",
        flush=True,
    )


def epochs(data: Any, repeat: int = 5) -> None:
    """The ridge on all rows, then an epoch on all columns and on components, in turn."""
    import jax

    from jaxreg.head import ridge, scaling
    from jaxreg.head.fit import make_fit
    from jaxreg.head.state import init_state, prepare
    from jaxreg.head.target_ridges import solve_targets
    from jaxreg.train_config import HeadConfig

    x, y = data.x[:ROWS], data.y[:ROWS]
    scaler = scaling.feature_scaler(x)
    begin = time.perf_counter()
    eigen = ridge.decompose(scaler, x, y)
    decomposed = time.perf_counter()
    ridge.solve(eigen, x, y)
    solved = time.perf_counter()
    ready = solve_targets(scaler, x, y)
    print(
        f"ridge {ROWS} x {COLUMNS}: {solved - begin:.2f} s "
        f"(decomposition {decomposed - begin:.2f}, alphas {solved - decomposed:.2f})"
    )
    runs: dict[int | None, list[Any]] = {}
    for components in (None, 128, 32):
        config = HeadConfig(components=components, epochs=repeat + 1, keep_going=True)
        config = config.with_thresholds(y.std(axis=0).tolist())
        state, fit = init_state(config, data, ready), make_fit(config)
        took = seconds(lambda c=config, s=state: prepare(c, s, data))
        rows = jax.device_put(prepare(config, state, data))
        runs[components] = [fit, fit(state, rows, 1)[0], rows, []]
        if components:
            print(f"projection on {components} components: {took:.2f} s, once")
    for _ in range(repeat):
        for run in runs.values():
            fit, state, rows, times = run
            begin = time.perf_counter()
            run[1], _ = fit(state, rows, int(state.epoch) + 1)
            jax.block_until_ready(run[1])
            times.append(time.perf_counter() - begin)
    whole = statistics.median(runs[None][-1])
    for components, (*_, times) in runs.items():
        each = statistics.median(times)
        print(f"components {components}: {1 / each:.2f} epochs/s, {each / whole:.2f} of the time")


def synthetic() -> Any:
    """Features of 200 hidden causes and noise, and a target that 20 of them decide."""
    from jaxreg.head.state import Data

    rng = np.random.default_rng(0)
    causes = rng.normal(size=(ROWS + VALIDATION, 200))
    x = causes @ rng.normal(size=(200, COLUMNS)) + 3 * rng.normal(size=(len(causes), COLUMNS))
    x = x.astype(np.float32)
    y = causes[:, :20] @ rng.normal(size=(20, 1)) + rng.normal(size=(len(causes), 1))
    y = (0.1 * y).astype(np.float32)
    return Data.of(x[:ROWS], y[:ROWS], x[ROWS:], y[ROWS:])


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def score(name: str, cache: str, target: str, test: float) -> None:
    """R² of each head over seeds 0 to 4, blocks held out."""
    import jaxreg

    print("| head | R², mean (lowest to highest) | MAE, mean | seconds of training, mean |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as ckpts:
        for head, settings in HEADS.items():
            summaries = []
            for seed in range(5):
                run = jaxreg.train_head(
                    name, cache=cache, ckpts=ckpts, target=(target,), split="blocks", seed=seed,
                    test=test,
                    **settings,
                )  # fmt: skip
                summaries.append(run.summary)
            scores = [summary["test"] or summary["metrics"] for summary in summaries]
            r2 = [one["r2"] for one in scores]
            mae = statistics.mean(one["mae"] for one in scores)
            took = statistics.mean(summary["seconds"]["train"] for summary in summaries)
            spread = f"{statistics.mean(r2):.2f} ({min(r2):.2f} to {max(r2):.2f})"
            print(f"| {head} | {spread} | {mae:.3f} | {took:.2f} |", flush=True)


def alpha(name: str, cache: str, target: str, layer: str, pool: str) -> None:
    """R² over all folds for each way to leave rows out; the gap in shares of the recording."""
    from pathlib import Path

    from sklearn.metrics import r2_score

    from jaxreg.cache.datasets import read_dataset
    from jaxreg.cache.store import Cache
    from jaxreg.experiment.arrays import load_experiment
    from jaxreg.experiment.resolve import resolve
    from jaxreg.head import ridge

    store = Cache(Path(cache))
    asked = {"target": (target,), "layers": (layer,), "pool": pool, "split": "blocks", "folds": 5}
    whole = load_experiment(resolve(store, read_dataset(store, name), asked))
    x, y = np.asarray(whole.x), whole.y
    ways = [
        ("hash", 0.0),
        *((f"blocks:{n}", gap) for n in (5, 10, 20, 40, 80) for gap in (0, 0.01)),
    ]
    predicted = {way: np.empty_like(y) for way in ways}
    for number in range(5):
        fold = whole.fold(number)
        rows = np.flatnonzero((fold.split.labels == "train") | (fold.split.labels == "validation"))
        eigen = ridge.decompose(scaler := _scaler(x[rows]), x[rows], y[rows])
        for way in ways:
            config = replace(fold.config, gap=way[1])
            its = replace(fold, split=replace(fold.split, kind=way[0]), config=config)
            solved = ridge.solve(eigen, x[rows], y[rows], groups=its.groups(rows))
            test = fold.rows("test")
            predicted[way][test] = _predict(eigen, solved, scaler, x[test])
    for (kind, gap), predictions in predicted.items():
        print(f"{kind}, gap {gap}: R² {r2_score(y, predictions):.3f}", flush=True)


def _scaler(x: np.ndarray) -> Any:
    from jaxreg.head import scaling

    return scaling.feature_scaler(x)


def _predict(eigen: Any, solved: Any, scaler: Any, x: np.ndarray) -> np.ndarray:
    from jaxreg.head import scaling
    from jaxreg.head.apply import predict_rows
    from jaxreg.train_config import HeadConfig

    scalers = scaling.Scalers(scaler, scaling.unscaled_targets(1))
    return predict_rows(eigen.head(solved, scalers), scalers, HeadConfig(hidden=()), x)


if __name__ == "__main__":
    main()
