"""Features on the device, in host memory and in the cache's parts: the same training."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from cache_files import part_paths
from jaxreg.cache.chosen_features import Wanted
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.lazy_features import PartFeatures
from jaxreg.cache.parts import DamagedPart
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common import memory
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.batches import ExperimentBlocks, shuffle
from jaxreg.experiment.resolve import resolve
from jaxreg.head import fit
from jaxreg.head.apply import predict_rows
from jaxreg.head.rates import Rates, static_config
from jaxreg.head.scaling import unscaled_targets
from jaxreg.head.state import (
    Data,
    History,
    Rows,
    in_target_units,
    init_state,
    prepare,
)
from jaxreg.train_config import TrainConfig
from jaxreg.trained_run import TrainedRun

ROWS, WIDTH, PART = 240, 512, 12
FEATURES = ROWS * WIDTH * 4  # 492 kB
HOST, PARTS = "1MB", "250kB"  # what makes training keep them there
QUICK = {"hidden": (16, 8), "epochs": 6, "learning_rate": 0.01, "batch_size": 4}


SIDE = ("gaps", "speed", "mode")  # numbers with gaps, numbers, text


@pytest.fixture
def wide(planted: Path) -> Path:
    """The planted cache with 512 features an image, in parts of 12 images of a mixed order."""
    cache = Cache(planted)
    feature_set, column, digests = cache.feature_sets()[0], Column(), _digests(planted)
    rng = np.random.default_rng(3)
    features = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    features[:, :12] = cache.read(feature_set, [column], digests)
    _write_parts(planted, column, features, rng.permutation(ROWS))
    return planted


def _write_parts(root: Path, column: Column, features: np.ndarray, order: np.ndarray) -> None:
    cache, digests = Cache(root), _digests(root)
    for part in part_paths(cache, cache.feature_sets()[0], column):
        part.unlink()
    for rows in np.array_split(order, ROWS // PART):
        cache.add(cache.feature_sets()[0], column, [digests[row] for row in rows], features[rows])


def _digests(root: Path) -> list[str]:
    return pq.read_table(root / "datasets" / "planted.parquet")["digest"].to_pylist()


def run(root: Path, limit: str | None, **options) -> TrainedRun:
    options = {"cache": root, "ckpts": root.parent / "ckpts", **QUICK, **options}
    return jaxreg.train_head("planted", memory_limit=limit, **options)


def results(path: Path) -> tuple[list[float], list[str]]:
    """Predictions, and every line of the history but for its seconds."""
    lines = (path / "history.csv").read_text().splitlines()
    predictions = pq.read_table(path / "predictions.parquet")["prediction.angle"].to_pylist()
    return predictions, [line.rsplit(",", 1)[0] for line in lines]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (None, "data: on the device (492 kB)"),
        ("2MB", "data: on the device (492 kB)"),
        (HOST, "data: in host memory (492 kB), 3 batches at a time to the device"),
        (PARTS, "data: in the cache's parts (492 kB), shuffled in a window of "),
    ],
)
def test_where_the_features_are_is_chosen_and_told(
    wide: Path, limit: str | None, told: str
) -> None:
    lines: list[str] = []
    run(wide, limit, say=lines.append)
    assert any(line.startswith(told) for line in lines), lines


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        (("angle",), {}),
        (("angle", "speed"), {"batch_size": 7}),
        (("angle",), {"side_columns": SIDE}),
    ],
)
def test_host_memory_gives_the_bits_of_the_device(wide: Path, options, targets) -> None:
    one = run(wide, None, target=targets, **options)
    two = run(wide, HOST, target=targets, **options)
    assert two.config["window"] is None
    assert results(one.path) == results(two.path)


def experiment_in_parts(root: Path, **options) -> tuple[Experiment, TrainConfig]:
    cache = Cache(root)
    asked = {**QUICK, "memory_limit": PARTS, **options}
    experiment = load_experiment(resolve(cache, read_dataset(cache, "planted"), asked))
    assert experiment.placement.kind == "parts"
    return experiment, experiment.config


def orders(root: Path, epochs: int, **options) -> list[np.ndarray]:
    """The rows of the dataset in the order in which each epoch trains on them in parts."""
    experiment, config = experiment_in_parts(root, **options)
    cache = Cache(root)
    name = experiment.features.feature_set
    whole = cache.read(name, experiment.features.columns_of(name), _digests(root))
    row_of = {features.tobytes(): row for row, features in enumerate(whole)}
    blocks = ExperimentBlocks(experiment, unscaled_targets(1))
    key = jax.random.key_data(jax.random.key(config.seed))
    found = []
    for epoch in range(epochs):
        told = jax.device_get(list(blocks.training(key, jax.numpy.int32(epoch))))
        seen = [row_of[x.tobytes()] for block in told for x in block.x[block.real]]
        targets = np.concatenate([block.y[block.real] for block in told])
        np.testing.assert_array_equal(targets, experiment.y[seen].astype(np.float32))
        found.append(np.array(seen))
    return found


def test_an_epoch_in_parts_takes_every_row_once_in_an_order_of_its_own(wide: Path) -> None:
    experiment, _ = experiment_in_parts(wide)
    first, second = orders(wide, 2)
    for order in (first, second):
        np.testing.assert_array_equal(np.sort(order), experiment.rows("train"))
    assert (first != second).any()
    np.testing.assert_array_equal(orders(wide, 2), [first, second])
    assert not np.array_equal(orders(wide, 1, seed=1)[0], first)


def test_parts_give_what_memory_gives_for_the_same_order_of_rows(wide: Path) -> None:
    experiment, config = experiment_in_parts(wide)
    name = experiment.features.feature_set
    x = Cache(wide).read(name, experiment.features.columns_of(name), _digests(wide))
    rows, validation = experiment.rows("train"), experiment.rows("validation")
    data = Data.of(x[rows], experiment.y[rows], x[validation], experiment.y[validation])
    state = init_state(config, data)
    data = prepare(config, state, data)
    rates = Rates.of(config, state.scalers.target)
    one_epoch = jax.jit(fit.run_epoch, static_argnums=0)
    expected = []  # by the path of what fits on the device
    for order in orders(wide, config.epochs):
        places = np.searchsorted(rows, order)
        state, row = one_epoch(static_config(config), rates, state, data, Rows.of(places))
        expected.append(row)
    told = run(wide, PARTS)
    _, lines = results(told.path)
    history = np.array([[float(v) for v in line.split(",")[1:]] for line in lines[1:]])
    by_epoch = in_target_units(config, History(*np.array(expected).T), state.scalers.target)
    np.testing.assert_allclose(history, np.stack(by_epoch, axis=1), rtol=1e-6)
    predictions = predict_rows(state.best_params, state.scalers, config, x)[:, 0]
    np.testing.assert_allclose(results(told.path)[0], predictions, rtol=1e-4, atol=1e-5)


def test_side_columns_follow_the_features_of_parts(wide: Path) -> None:
    experiment, _ = experiment_in_parts(wide, side_columns=SIDE)
    assert isinstance(experiment.x, PartFeatures)
    table, name = read_dataset(Cache(wide), "planted").table, experiment.features.feature_set
    whole = Cache(wide).read(name, experiment.features.columns_of(name), _digests(wide))
    rows, x = map(np.concatenate, zip(*experiment.x.pieces(np.arange(ROWS)), strict=True))
    features, (gaps, lacks, speed, *_) = x[:, :WIDTH], x[:, WIDTH:].T
    np.testing.assert_array_equal(features, whole[rows])
    np.testing.assert_array_equal(lacks, np.isnan(table["gaps"].to_numpy()[rows]))
    np.testing.assert_array_equal(np.isnan(gaps), lacks == 1)
    known = experiment.side.columns[1]
    expected = (table["speed"].to_numpy()[rows].astype(np.float64) - known.center) / known.scale
    np.testing.assert_allclose(speed, expected, rtol=1e-6)
    told = run(wide, PARTS, side_columns=SIDE)
    assert told.config["window"] is not None
    found = told.predict_features(features, table.take(rows).select(SIDE))
    np.testing.assert_allclose(found[:, 0], np.array(results(told.path)[0])[rows], atol=1e-5)


def test_a_window_mixes_the_pieces_within_its_reach() -> None:
    rows = np.arange(1000)
    pieces = lambda: ((some, some[:, None] * 2.0) for some in np.array_split(rows, 17))  # noqa: E731
    drawn = list(shuffle(pieces(), 100, 30, np.random.default_rng(0)))
    assert [len(some) for some, _ in drawn[:-1]] == [30] * 33
    order = np.concatenate([some for some, _ in drawn])
    np.testing.assert_array_equal(np.sort(order), rows)
    np.testing.assert_array_equal(np.concatenate([x for _, x in drawn])[:, 0], order * 2.0)
    # at the n-th draw, 100 + 30 n rows have come
    assert all(some.max() < 100 + 30 * n for n, (some, _) in enumerate(drawn))
    all_of_them = np.concatenate(
        [r for r, _ in shuffle(pieces(), 5000, 30, np.random.default_rng())]
    )
    np.testing.assert_array_equal(np.sort(all_of_them), rows)


@pytest.mark.parametrize("limit", [HOST, PARTS])
def test_a_stopped_run_resumes_to_the_same_bits(wide: Path, limit: str) -> None:
    whole = run(wide, limit, run="whole")
    for _ in range(3):
        with pytest.raises(Stopped):
            run(wide, limit, run="cut", resume=True, should_stop=lambda: True)
    lines: list[str] = []
    cut = jaxreg.train_head(
        cache=wide, run=whole.path.parent / "cut", resume=True, say=lines.append
    )
    assert "resumed at epoch 3" in lines
    assert results(cut.path) == results(whole.path)


def test_resuming_elsewhere_is_free_while_the_order_of_rows_stays(wide: Path) -> None:
    whole = run(wide, None, run="whole")
    with pytest.raises(Stopped):
        run(wide, HOST, run="cut", should_stop=lambda: True)
    with pytest.raises(InputError, match=r"shuffles all rows, 6\d\d kB, and .* 250 kB now"):
        run(wide, PARTS, run="cut", resume=True)
    assert results(run(wide, None, run="cut", resume=True).path) == results(whole.path)


def test_a_resumed_run_in_parts_keeps_its_window(wide: Path) -> None:
    whole = run(wide, PARTS, run="whole")
    with pytest.raises(Stopped):
        run(wide, PARTS, run="cut", should_stop=lambda: True)
    window = whole.config["window"]
    with pytest.raises(InputError, match=f"shuffles a window of {window} rows, .* 240 kB now"):
        run(wide, "240kB", run="cut", resume=True)
    assert results(run(wide, "9MB", run="cut", resume=True).path) == results(whole.path)


def test_columns_of_other_parts_copies_and_half_floats_are_read_alike(wide: Path) -> None:
    cache, digests, rng = Cache(wide), _digests(wide), np.random.default_rng(5)
    feature_set, grid = cache.feature_sets()[0], Column(layer="mixed2", pool="grid:1x4")
    half = rng.normal(size=(ROWS, 8)).astype(np.float16)
    _write_parts(wide, grid, half, rng.permutation(ROWS))
    for name in "ab":  # digests that are there already, with other numbers: one of them is first
        cache.add(feature_set, grid, [digests[3]], np.full((1, 8), ord(name), np.float16))
    asked = [digests[row] for row in (*range(ROWS), 3, 3, 77)]
    for columns in ([Column()], [grid], [Column(), grid]):
        parts = PartFeatures(cache, [Wanted(feature_set, columns, asked)])
        expected = cache.read(feature_set, columns, asked)
        assert (parts.shape, parts.dtype) == (expected.shape, expected.dtype)
        wanted = rng.permutation(len(asked))[:200]
        seen = []
        for rows, x in parts.pieces(wanted, rng):
            np.testing.assert_array_equal(x, expected[rows])
            seen += rows.tolist()
        assert sorted(seen) == sorted(wanted)


def test_many_rows_of_one_image_come_in_pieces_of_the_size_of_a_part(wide: Path) -> None:
    cache, digests, rng = Cache(wide), _digests(wide), np.random.default_rng(5)
    feature_set = cache.feature_sets()[0]
    asked = [digests[row] for row in rng.integers(0, 20, 500)]
    largest = max(len(pq.read_table(p)) for p in part_paths(cache, feature_set, Column()))
    parts = PartFeatures(cache, [Wanted(feature_set, [Column()], asked)])
    expected, seen = cache.read(feature_set, [Column()], asked), []
    for rows, x in parts.pieces(np.arange(len(asked)), rng):
        assert len(rows) <= largest
        np.testing.assert_array_equal(x, expected[rows])
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(asked)))


def test_what_is_lacking_or_damaged_in_parts_is_named(wide: Path) -> None:
    cache = Cache(wide)
    feature_set, digests = cache.feature_sets()[0], _digests(wide)
    with pytest.raises(InputError, match=r"2 images have no identity\.mixed10\.avg features"):
        PartFeatures(
            cache, [Wanted(feature_set, [Column()], [*digests, "0" * 64, "1" * 64, "0" * 64])]
        )
    parts = PartFeatures(cache, [Wanted(feature_set, [Column()], digests)])
    part = part_paths(cache, feature_set, Column())[5]
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DamagedPart, match=part.name):
        list(parts.pieces(np.arange(ROWS)))
    with pytest.raises(InputError, match=rf"{part.name}[\s\S]*jaxreg extract planted\.csv"):
        run(wide, PARTS)


def test_float16_features_train_in_parts(wide: Path) -> None:
    cache = Cache(wide)
    feature_set = cache.feature_sets()[0]
    x = cache.read(feature_set, [Column()], _digests(wide)).astype(np.float16)
    _write_parts(wide, Column(), x, np.arange(ROWS))
    told = run(wide, "160kB")
    assert (told.config["dtype"], told.config["window"] is None) == ("float16", False)


def test_a_limit_with_no_room_for_a_window_says_how_much_is_needed(wide: Path) -> None:
    with pytest.raises(InputError, match=r"--memory-limit of at least (\d+) kB") as caught:
        run(wide, "10kB")
    run(wide, caught.value.expected.split("at least ")[1].replace(" ", ""), epochs=1)


@pytest.mark.parametrize(
    ("text", "count"),
    [("1GiB", 2**30), ("500MB", 500_000_000), ("1.5 kib", 1536), ("2048", 2048), ("7B", 7)],
)
def test_amounts_of_memory_as_people_write_them(text: str, count: int) -> None:
    assert memory.parse_bytes(text) == count


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "1XB", "0", "1e9", "nan", "0.5", "9EB", "9" * 400 + "GB"]
)
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"--memory-limit is {text}\n  expected: bytes"):
        TrainConfig(memory_limit=text)


def test_the_machine_says_what_is_free() -> None:
    assert memory.free_memory() > 2**20


@pytest.mark.slow
def test_peak_memory_stays_under_the_limit(tmp_path: Path) -> None:
    """600 MB of features; what counts is the peak above that of a process with hardly any."""
    benchmark = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "data_size.py"))
    benchmark["make_cache"](tmp_path, "few", 256)
    benchmark["make_cache"](tmp_path, "many", 600_000_000 // (2048 * 4))
    bare = benchmark["bare_peak"](tmp_path, 3)
    limited = benchmark["limited"](tmp_path, 3, "150MB")
    assert limited["where"].startswith("data: in the cache's parts")
    assert limited["peak"] - bare < 150_000_000
