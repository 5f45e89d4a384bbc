"""Extract, verify and extract again in a bucket whose network loses, delays and doubles requests.

Each run has a table and vectors of its own, its own part of the bucket and its own seed. A run is
right if the bucket then holds exactly its vectors, `verify` finds no damage, and the second extract
computes nothing. A run may also end with one message. The table in docs/buckets.md is the output.

    python studies/faulty_bucket.py --runs 200
"""

import collections
import contextlib
import io
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import jaxreg
from buckets import Bucket, access_to, environment, new_bucket, s3_server  # pyright: ignore[reportMissingImports]
from faulty_proxy import proxy_before  # pyright: ignore[reportMissingImports]
from jaxreg import verify
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import JaxregError
from jaxreg.extract_config import SourceOptions
from jaxreg.extraction.extract_source import Extraction

ROWS, WIDTH = 12, 4


class Outcome(NamedTuple):
    """How one run ended."""

    kind: str  # `right`, `message`, or what was wrong
    text: str
    seconds: float


def one_run(url: str, endpoint: str, seed: int, folder: Path) -> Outcome:
    """One run through the endpoint, of a proxy."""
    begun = time.monotonic()
    with environment(access_to(endpoint, folder)):
        try:
            kind, text = _ended(f"{url}/run-{seed}", seed, folder)
        except JaxregError as error:
            kind, text = "message", str(error)
        except Exception as error:
            kind, text = "crash", repr(error)
    return Outcome(kind, text, time.monotonic() - begun)


def _ended(url: str, seed: int, folder: Path) -> tuple[str, str]:
    table, file = folder / f"{seed}.csv", folder / f"{seed}.npy"
    table.write_text("\n".join(["name,y", *(f"r{i},{i}" for i in range(ROWS))]) + "\n")
    vectors = vectors_of(seed)
    np.save(file, vectors)

    def extract() -> Extraction:
        return jaxreg.extract_features(
            table,
            name="road",
            cache=url,
            embeddings=str(file),
            embeddings_name="drawn",
            options=SourceOptions(id_column="name"),
        )

    with contextlib.redirect_stderr(io.StringIO()) as said:
        first = extract()
        if code := verify.main(["--cache", url]):
            return f"verify exits with {code}", said.getvalue()
        again = extract()
    if not np.array_equal(jaxreg.load_features("road", cache=url).X, vectors):
        return "wrong numbers", "as they are read"
    if (first.computed, again.computed, again.reused) != (ROWS, 0, ROWS):
        return "wrong counts", f"{first.computed}, {again.computed}, {again.reused}"
    return "right", ""


def vectors_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, WIDTH)).astype(np.float32)


def holds_its_vectors(bucket: Bucket, seed: int) -> bool:
    """Whether the bucket, asked without the proxy, holds exactly the vectors of a run."""
    cache = Cache(f"{bucket.url}/run-{seed}")
    (feature_set,) = cache.feature_sets()
    digests = read_dataset(cache, "road").table["digest.drawn"].to_pylist()
    found = cache.read(feature_set, [Column("identity", "drawn", "none")], digests)
    return np.array_equal(found, vectors_of(seed))


def main(runs: int = 200, share: float = 0.05, workers: int = 4) -> None:
    """Print how the runs ended.

    Args:
        runs: how many.
        share: of the requests that meet a fault.
        workers: processes that run at the same time.
    """
    with tempfile.TemporaryDirectory() as name, s3_server() as server:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "user")
        with proxy_before(server) as proxy, environment(access_to(server, folder)):
            bucket = new_bucket(server)
            proxy.draw_faults(0, share)
            with ProcessPoolExecutor(workers) as pool:
                args = [(bucket.url, proxy.endpoint, seed, folder) for seed in range(runs)]
                ended = list(pool.map(one_run, *zip(*args, strict=True)))
            for seed, outcome in enumerate(ended):
                if outcome.kind == "right" and not holds_its_vectors(bucket, seed):
                    ended[seed] = outcome._replace(kind="wrong numbers")
        for outcome in ended:
            if outcome.kind != "right":
                print(outcome)
        faults = collections.Counter(one.fault for one in proxy.requests if one.fault)
        print("| what | count |\n|---|---|")
        for kind, count in collections.Counter(one.kind for one in ended).items():
            print(f"| runs that ended: {kind} | {count} |")
        print(f"| requests | {len(proxy.requests):,} |")
        for kind, count in sorted(faults.items()):
            print(f"| requests that met a fault: {kind} | {count} |")
        slowest = max(one.seconds for one in ended)
        print(f"| seconds of the slowest run | {slowest:.1f} |")


if __name__ == "__main__":
    tyro.cli(main)
