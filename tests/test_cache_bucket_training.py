"""Training from a bucket: the three placements, and parts that are read ahead."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import jaxreg
from buckets import access_to, environment, new_bucket
from faulty_proxy import Proxy, proxy_before
from jaxreg.cache.chosen_features import Wanted
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.lazy_features import PartFeatures
from jaxreg.cache.local_copies import VARIABLE
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.experiment.placement import Size, place
from jaxreg.extract_config import SourceOptions
from jaxreg.train_config import TrainConfig

ROWS, WIDTH, PARTS = 240, 256, 12


class Filled(NamedTuple):
    """A bucket whose features are in many parts, the same in a local folder, and a proxy."""

    local: Path
    url: str
    proxy: Proxy
    wanted: Wanted
    x: np.ndarray


@pytest.fixture(scope="module")
def filled(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("filled")
    x = np.random.default_rng(2).normal(size=(ROWS, WIDTH)).astype(np.float32)
    np.save(folder / "x.npy", x)
    rows = [f"r{i},{x[i, 0] - x[i, 1]:.6f}" for i in range(ROWS)]
    (folder / "table.csv").write_text("\n".join(["name,y", *rows]) + "\n")
    jaxreg.extract_features(
        folder / "table.csv",
        name="table",
        cache=folder / "cache",
        embeddings=str(folder / "x.npy"),
        embeddings_name="drawn",
        options=SourceOptions(id_column="name"),
    )
    cache, column = Cache(folder / "cache"), Column("identity", "drawn", "none")
    (feature_set,) = cache.feature_sets()
    digests = read_dataset(cache, "table").table["digest.drawn"].to_pylist()
    (whole,) = cache.store.list(cache.folder(feature_set, column))
    cache.store.delete(whole.key)
    for some in np.split(np.arange(ROWS), PARTS):
        cache.add(feature_set, column, [digests[row] for row in some], x[some])
    with (
        proxy_before(s3_endpoint) as proxy,
        environment(access_to(proxy.endpoint, folder)),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(VARIABLE, "0")
        bucket = new_bucket(s3_endpoint)
        for entry in cache.store.list(""):
            bucket.write(f"a/{entry.key}", cache.store.read(entry.key))
        wanted = Wanted(feature_set, [column], digests)
        yield Filled(folder / "cache", f"{bucket.url}/a", proxy, wanted, x)


@pytest.mark.parametrize(
    ("placed", "local", "bucket"),
    [
        ("device", None, None),
        ("host", "400kB", "400kB"),
        ("parts", "245kB", "280kB"),  # an eighth is for what is read ahead
    ],
)
def test_a_run_from_a_bucket_is_that_from_a_folder(
    filled: Filled, tmp_path: Path, placed: str, local: str | None, bucket: str | None
) -> None:
    lines: list[str] = []
    runs = [
        jaxreg.train_head(
            "table",
            cache=cache,
            ckpts=tmp_path / str(number),
            target="y",
            hidden=(4,),
            epochs=2,
            batch_size=8,
            memory_limit=limit,
            say=lines.append,
        )
        for number, (cache, limit) in enumerate([(filled.local, local), (filled.url, bucket)])
    ]
    names = {"device": "on the device", "host": "in host memory", "parts": "in the cache's parts"}
    assert sum(names[placed] in line for line in lines) == 2
    first, other = (run.summary["metrics"] for run in runs)
    assert first == other
    assert runs[1].config["cache"] == filled.url


def test_parts_are_read_ahead_in_their_order(filled: Filled) -> None:
    x = PartFeatures(Cache(filled.url), [filled.wanted])
    alone = PartFeatures(Cache(filled.url), [filled.wanted], ahead=0)
    filled.proxy.delay = 0.02
    for features, in_flight in ((x, range(4, 17)), (alone, range(1, 2))):
        for order in (None, np.random.default_rng(5)):
            filled.proxy.most_in_flight = 0
            found = np.full((ROWS, WIDTH), np.nan, np.float32)
            for rows, values in features.pieces(np.arange(ROWS), order):
                found[rows] = values
            assert np.array_equal(found, filled.x)
            assert filled.proxy.most_in_flight in in_flight
    filled.proxy.delay = 0.0


def test_what_is_read_ahead_is_within_the_limit() -> None:
    size = Size(rows=100_000, width=2048, dtype="float32", row=8192, part=8_400_000)
    config = TrainConfig(memory_limit="200MB")
    local = place(config, size, resumed=False, window=None)
    bucket = place(config, size._replace(ahead=128_000_000), resumed=False, window=None)
    assert (local.kind, local.ahead) == ("parts", 0)
    assert (bucket.kind, bucket.ahead) == ("parts", 25_000_000)
    assert local.window is not None
    assert bucket.window is not None
    blocks = 16 / 21  # the window's share beside its blocks
    assert (local.window - bucket.window) * 8192 == pytest.approx(25_000_000 * blocks, rel=0.01)


def test_a_limit_says_what_a_bucket_needs(filled: Filled, tmp_path: Path) -> None:
    options = {"cache": filled.url, "target": "y", "hidden": (4,), "batch_size": 8, "epochs": 1}
    with pytest.raises(InputError, match="memory-limit of at least") as caught:
        jaxreg.train_head("table", ckpts=tmp_path, memory_limit="100kB", **options)
    enough = caught.value.expected.split("at least ")[1].replace(" ", "")
    jaxreg.train_head("table", ckpts=tmp_path, memory_limit=enough, **options)
