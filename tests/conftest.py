"""Fixtures that every test may use."""

import gc
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# the shapes in annotations are checked wherever tests call the head; before anything imports it
install_import_hook("jaxreg.head", "beartype.beartype")

# no test tells OpenVINO's makers; their sender forks, which JAX does not allow
sys.modules["openvino_telemetry"] = None  # pyright: ignore[reportArgumentType]

pytest_plugins = ["keras_models", "buckets", "web"]  # fixtures with Keras networks; an S3 server

MOST_MAPS = 20_000
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """Give all processes of a session, pytest's own workers too, one user cache: nobody's own.

    What one of them has compiled or converted the others then only read.
    """
    if hasattr(config, "workerinput"):  # a worker has inherited the environment
        return
    folder = tempfile.mkdtemp(prefix="jaxreg-user-cache-")
    os.environ["XDG_CACHE_HOME"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(scope="session", autouse=True)
def rank_promotion_is_an_error() -> None:
    """(B, 1) against (B,) must never become (B, B) in silence."""
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def compilations_are_kept() -> None:
    """From the first one on: JAX looks only once whether it has a place to keep them."""
    from jaxreg.common.user_cache import keep_jax_compilations

    keep_jax_compilations()


@pytest.fixture(scope="module", autouse=True)
def mapped_memory_has_an_end() -> Iterator[None]:
    """Let go of JAX's compiled programs before a process reaches Linux' limit of mapped pieces.

    Each program maps some pieces of memory. A process has 65,530 of them, and dies at the next.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.is_file() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder beside the repository with a real recording and trained weights, if any."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data (a recording, trained weights), which is absent")
    return SHARED


@pytest.fixture(scope="session")
def trained_weights(shared_data: Path) -> Path:
    """Really trained InceptionV3 weights, `.weights.h5` without top."""
    return shared_data / "inception_v3_finetuned.weights.h5"


@pytest.fixture(scope="session")
def tub(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DonkeyCar tub v2 of 1,000 frames."""
    folder = tmp_path_factory.mktemp("tub")
    with tarfile.open(shared_data / "donkeycar_tub.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "tub"


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A cache with a dataset `planted` of 240 rows whose features decide `angle` and `speed`.

    Made through the cache's own functions, so that no network has to run.
    """
    return make_planted(tmp_path)


def make_planted(folder: Path) -> Path:
    """What the fixture `planted` gives, in `folder`."""
    import hashlib

    import numpy as np
    import pyarrow as pa

    from jaxreg.cache.dataset_table import make_dataset
    from jaxreg.cache.datasets import write_dataset
    from jaxreg.cache.parts import write_part
    from jaxreg.cache.recipe import Column, Recipe
    from jaxreg.cache.store import Cache
    from jaxreg.extract_config import ExtractConfig, SourceOptions
    from jaxreg.sources.examples import Examples
    from jaxreg.sources.pixels import thumbnail

    rng = np.random.default_rng(7)
    features = rng.normal(size=(240, 12)).astype(np.float32)
    angle = features[:, 0] - 0.5 * features[:, 1] + 0.05 * rng.normal(size=240)
    speed = 20 + 5 * features[:, 2]
    with_gaps = [None if i % 60 == 0 else float(a) for i, a in enumerate(angle)]
    columns = {
        "angle": angle,
        "speed": speed,
        "gaps": pa.array(with_gaps, pa.float64()),
        "nothing": pa.nulls(240, pa.float64()),
        "mode": ["user"] * 239 + ["pilot"],
        "mixed": ["0.5"] * 17 + ["fast"] + ["1"] * 222,
        "frame": range(240),
    }
    cache, column = Cache(folder / "cache"), Column()
    recipe = Recipe(weights="random:0:v1", weights_tag="random0")
    cache.make_feature_set(recipe, None)
    digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in features]
    cache.add(recipe.feature_set, column, digests, features)
    jpegs = [thumbnail(np.full((4, 6, 3), i, np.uint8)) for i in range(240)]
    write_part(
        cache.store, cache.thumbnails(), pa.table({"digest": digests, "jpeg": pa.array(jpegs)})
    )
    examples = Examples(
        ids=tuple(f"row-{i}" for i in range(240)),
        images=[b""] * 240,
        columns=pa.table(columns),
        description={"kind": "test"},
        group=tuple("ab"[i // 120] for i in range(240)),
        targets=("angle",),
        bookkeeping=("frame",),
        sequential=True,
    )
    dataset = make_dataset(
        "planted",
        examples,
        digests,
        feature_set=recipe.feature_set,
        columns=[column],
        opened="planted.csv",
        options=SourceOptions(),
        settings=ExtractConfig(weights="random"),
    )
    write_dataset(cache, dataset)
    return folder / "cache"


class Clock:
    """The clock of steps, which stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the real clock of `jaxreg.common.steps`."""
    from jaxreg.common import steps

    made = Clock()
    monkeypatch.setattr(steps, "clock", made)
    return made
