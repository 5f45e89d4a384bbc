"""Requests that commands make to a bucket, and training from the parts of a far bucket.

A server of S3 (moto) is in a process of its own, with a proxy that counts requests and delays each
GET. The tables in docs/buckets.md are the output.

    python benchmarks/bucket.py
"""

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import data_size
import jaxreg
from jaxreg import verify
from jaxreg.cache.bucket_store import BucketStore
from jaxreg.cache.local_copies import VARIABLE
from jaxreg.extract_config import SourceOptions

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from buckets import (  # pyright: ignore[reportMissingImports]
    access_to,
    environment,
    new_bucket,
    s3_server,
)
from faulty_proxy import proxy_before  # pyright: ignore[reportMissingImports]

ROWS, WIDTH, PART = 10_240, 512, 256
LIMIT = "14MB"  # of 21 MB of features
DELAY = 0.02  # seconds of each GET
EPOCHS = 6


def serve(connection: Connection) -> None:
    """Tell the endpoints; then answer each delay with the requests since the last answer."""
    with s3_server() as server, proxy_before(server) as proxy:
        connection.send((server, proxy.endpoint))
        while (delay := connection.recv()) is not None:
            connection.send(proxy.count())
            proxy.requests.clear()
            proxy.delay = delay


def count_requests(
    url: str, folder: Path, requests: Callable[[float], Counter[str]]
) -> dict[str, Counter[str]]:
    """The requests of commands one after the other, on one dataset with one part."""
    table, file = folder / "table.csv", folder / "vectors.npy"
    rows = 1000
    table.write_text("\n".join(["name,y", *(f"r{i},{i % 7}" for i in range(rows))]) + "\n")
    np.save(file, np.random.default_rng(0).normal(size=(rows, 16)).astype(np.float32))

    def extract() -> object:
        return jaxreg.extract_features(
            table,
            name="table",
            cache=url,
            embeddings=str(file),
            embeddings_name="drawn",
            options=SourceOptions(id_column="name"),
        )

    def train() -> object:
        return jaxreg.train_head("table", cache=url, ckpts=folder / "ckpts", target="y", epochs=2)

    commands: dict[str, Callable[[], object]] = {
        "`extract --embeddings`, all new": extract,
        "`train`, without copies": train,
        "`train` again": train,
        "`extract` again": extract,
        "`verify`": lambda: verify.main(["--cache", url]),
    }
    found = {}
    requests(0.0)
    for name, command in commands.items():
        command()
        found[name] = requests(0.0)
    return found


def epoch_seconds(cache: str | Path, ckpts: Path) -> float:
    """The median of an epoch in parts, without the first."""
    ends = [time.perf_counter()]
    told: list[str] = []
    jaxreg.train_head(
        "rows",
        cache=cache,
        ckpts=ckpts,
        target="target",
        epochs=EPOCHS,
        patience=EPOCHS,
        batch_size=64,
        memory_limit=LIMIT,
        say=told.append,
        on_epoch=lambda row: ends.append(time.perf_counter()),
    )
    assert any("in the cache's parts" in line for line in told), told
    return statistics.median(np.diff(ends)[1:])


def main() -> None:
    os.environ[VARIABLE] = "1GB"
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    direct, endpoint = here.recv()

    def requests(delay: float) -> Counter[str]:
        here.send(delay)
        return here.recv()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "user")
        with environment(access_to(endpoint, folder)):
            bucket = new_bucket(direct)
            counted = count_requests(f"{bucket.url}/requests", folder, requests)
            kinds = ["LIST", "HEAD", "GET", "PUT"]
            print("| command |", " | ".join(kinds), "|")
            for command, count in counted.items():
                print(f"| {command} |", " | ".join(str(count[kind]) for kind in kinds), "|")

            os.environ[VARIABLE] = "0"
            data_size.WIDTH, data_size.PART = WIDTH, PART
            data_size.make_cache(folder / "cache", "rows", ROWS)
            for path in filter(Path.is_file, (folder / "cache").rglob("*")):
                bucket.write(f"far/{path.relative_to(folder / 'cache')}", path.read_bytes())
            far, ckpts = f"{bucket.url}/far", folder / "ckpts"
            print("| features in parts | seconds of an epoch |")
            print(f"| a local folder | {epoch_seconds(folder / 'cache', ckpts):.3f} |")
            print(f"| a bucket | {epoch_seconds(far, ckpts):.3f} |")
            requests(DELAY)
            print(f"| a bucket, each GET 20 ms later | {epoch_seconds(far, ckpts):.3f} |")
            BucketStore.ahead = 0  # pyright: ignore[reportAttributeAccessIssue]
            print(f"| the same bucket, without reading ahead | {epoch_seconds(far, ckpts):.3f} |")
    here.send(None)
    server.join()


if __name__ == "__main__":
    main()
