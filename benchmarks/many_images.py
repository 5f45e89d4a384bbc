"""The arithmetic of many images: parts, requests, bytes, hours and money (docs/many-images.md).

    python benchmarks/many_images.py                       # the tables of docs/many-images.md
    python benchmarks/many_images.py --images 5000000 --machines 4 --machine-price 0.5
    python benchmarks/many_images.py --rate 2000 --widths 768       # your network and machine
    python benchmarks/many_images.py --measure             # seconds of a listing, on this machine

Nothing is computed but these formulas. Each constant has its source beside it. Prices are examples:
look yours up.
"""

import logging
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from jaxreg.cache.store import Cache

# ---- what jaxreg does

PART_IMAGES = 1024  # images of a part (extraction/pipeline.py)
LONGEST_WAIT = 60.0  # seconds after which a part is closed in a long run (the same)
LISTED = 1000  # keys of one answer to LIST (S3)
PUT_REQUESTS = 2  # of one part: HEAD whether it is there, PUT (counted with moto)
GET_REQUESTS = 2  # of one part: HEAD for its size, GET (counted with moto)

# ---- measured

PART_OVERHEAD = (
    75  # bytes of an image in a part beside its numbers: 8,465,095 bytes of 1,024 × 2,048
)
THUMBNAIL = 5365  # bytes of a JPEG: mean of 200 frames of 160x120 of a tub
SET_BYTES = 163  # of a digest in the set of what a column has: 1,000,000 digests
TABLE_MEMORY = 155  # bytes of a row in memory: 1,000,000 rows with a path, a group and two numbers
BESIDE = 256  # bytes of a row that `train` counts beside its features (experiment/placement.py)


@dataclass(frozen=True)
class Plan:
    """Columns that one pass computes, and how fast."""

    what: str
    widths: tuple[int, ...]  # numbers of each column
    rate: float  # images/s of one machine
    bytes_of_number: int = 4


PLANS = (
    # images/s of docs/engines.md, "Speed": 2 cores, JPEG files of 320x160
    Plan("mixed10.avg, tensorflow float32", (2048,), 34.7),
    Plan("mixed10.avg, openvino float32", (2048,), 40.8),
    Plan("the same, --dtype float16", (2048,), 40.8, 2),
    Plan("mixed10.avg, openvino int8", (2048,), 142.0),
    Plan("mixed10.avg, mixed8.avg, mixed2.grid2x4, openvino float32", (2048, 1280, 2304), 40.8),
    Plan("preset best: mixed2.grid2x4 at 150x150, openvino float32", (2304,), 371.1),
    Plan("the same, int8, --dtype float16", (2304,), 855.8, 2),
    # docs/backbones.md, "Speed": 2 cores, PNG files of 224x224
    Plan("EfficientNet-Lite0 block10.grid2x4, openvino float32", (896,), 433.3),
)


@dataclass(frozen=True)
class Arguments:
    """Print what an extraction of many images needs."""

    images: int = 100_000_000
    """Distinct images"""
    machines: int = 100
    """Machines with 2 cores each, or workers of a cluster"""
    machine_price: float = 0.10
    """Price of a machine for an hour"""
    put_price: float = 0.005
    """Price of 1,000 requests PUT or LIST"""
    get_price: float = 0.0004
    """Price of 1,000 requests GET or HEAD"""
    storage_price: float = 0.023
    """Price of 1 GB for a month"""
    rate: float | None = None
    """Images/s of a machine, in place of the plans of the docs"""
    widths: tuple[int, ...] = (2048,)
    """Numbers of each column at this rate"""
    measure: bool = False
    """Measure the seconds of a listing instead, in a local folder and with moto on 127.0.0.1"""
    parts: int = 25_000
    """Parts of this listing"""

    @property
    def plans(self) -> tuple[Plan, ...]:
        return PLANS if self.rate is None else (Plan("yours", self.widths, self.rate),)


def images_of_part(rate: float) -> int:
    """Images of a part of one writer: 1,024, or as many as it computes in a minute."""
    return max(1, min(PART_IMAGES, math.floor(rate * LONGEST_WAIT)))


def parts(plan: Plan, images: int) -> int:
    """Parts of one column, and as many of the thumbnails."""
    return math.ceil(images / images_of_part(plan.rate))


def column_bytes(plan: Plan, images: int) -> list[int]:
    """Bytes of each column."""
    return [images * (w * plan.bytes_of_number + PART_OVERHEAD) for w in plan.widths]


def thumbnail_bytes(images: int) -> int:
    return images * (THUMBNAIL + PART_OVERHEAD)


def hours(plan: Plan, images: int, machines: int) -> float:
    return images / plan.rate / machines / 3600


def writes(plan: Plan, images: int) -> int:
    """Parts that an extraction writes: of the columns and of the thumbnails."""
    return (len(plan.widths) + 1) * parts(plan, images)


def listings(plan: Plan, images: int) -> int:
    """Requests that list all parts of the columns and of the thumbnails once."""
    return (len(plan.widths) + 1) * math.ceil(parts(plan, images) / LISTED)


def looking_bytes(plan: Plan, images: int) -> int:
    """Bytes that an extract reads before it begins: every part of its columns and thumbnails."""
    return sum(column_bytes(plan, images)) + thumbnail_bytes(images)


def set_memory(plan: Plan, images: int) -> int:
    """Bytes of memory that hold which digests are there."""
    return (len(plan.widths) + 1) * images * SET_BYTES


def thousands(requests: int) -> float:
    return requests / 1000


def machine_money(plan: Plan, a: Arguments) -> float:
    """Of the machines of an extraction."""
    return hours(plan, a.images, a.machines) * a.machines * a.machine_price


def writing_money(plan: Plan, a: Arguments) -> float:
    """Of the requests to the cache, of an extraction into an empty one."""
    of_part = a.put_price + (PUT_REQUESTS - 1) * a.get_price
    listed = thousands(listings(plan, a.images)) * a.put_price
    return thousands(writes(plan, a.images)) * of_part + listed


def looking_money(plan: Plan, a: Arguments) -> float:
    """Of the requests to the cache, of an extract that finds everything there."""
    gets = GET_REQUESTS * writes(plan, a.images)
    return thousands(gets) * a.get_price + thousands(listings(plan, a.images)) * a.put_price


def storage_money(plan: Plan, a: Arguments) -> float:
    """Of a month in the bucket."""
    return looking_bytes(plan, a.images) / 1e9 * a.storage_price


def gb(count: float) -> str:
    return f"{count / 1e9:,.0f} GB"


def sizes(a: Arguments) -> Iterator[Sequence[str]]:
    yield (
        "columns, engine",
        "images/s",
        "parts of a column",
        "bytes of each column",
        "with thumbnails",
        "hours of one machine",
        f"of {a.machines}",
    )
    for plan in a.plans:
        alone = hours(plan, a.images, 1)
        yield (
            plan.what,
            f"{plan.rate:g}",
            f"{parts(plan, a.images):,}",
            ", ".join(gb(one) for one in column_bytes(plan, a.images)),
            gb(looking_bytes(plan, a.images)),
            f"{alone:,.0f}",
            f"{alone / a.machines:,.1f}",
        )


def requests(a: Arguments) -> Iterator[Sequence[str]]:
    yield (
        "columns",
        "extract: PUT",
        "HEAD",
        "LIST",
        "GET of pictures",
        "extract again: GET",
        "HEAD",
        "bytes",
        "digests in memory",
    )
    for count in sorted({len(plan.widths) for plan in a.plans}):
        plan = next(plan for plan in a.plans if len(plan.widths) == count)
        written = f"{writes(plan, a.images):,}"
        yield (
            plan.what.rpartition(", ")[0] or plan.what,
            written,
            written,
            f"{listings(plan, a.images):,}",
            f"{a.images:,}",
            written,
            written,
            gb(looking_bytes(plan, a.images)),
            gb(set_memory(plan, a.images)),
        )


def money(a: Arguments) -> Iterator[Sequence[str]]:
    yield (
        "columns, engine",
        "machines",
        "requests of the cache",
        "GET of pictures",
        "extract again: requests of the cache",
        "a month in the bucket",
    )
    for plan in a.plans:
        yield (
            plan.what,
            f"{machine_money(plan, a):,.0f}",
            f"{writing_money(plan, a):,.2f}",
            f"{thousands(a.images) * a.get_price:,.0f}",
            f"{looking_money(plan, a):,.2f}",
            f"{storage_money(plan, a):,.0f}",
        )


def rows_in_memory(a: Arguments) -> Iterator[Sequence[str]]:
    yield "what holds every row", "bytes a row", f"of {a.images:,} rows"
    for what, count in (
        ("the dataset's table, as `train`, `predict` and `list` read it", TABLE_MEMORY),
        ("`train` beside the features: names, digests, targets, places", BESIDE),
        ("the digests of one column, as `extract` looks them up", SET_BYTES),
    ):
        yield what, f"{count}", gb(count * a.images)


def markdown(lines: Iterator[Sequence[str]]) -> str:
    head, *rest = lines
    text = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in text)


def tables(a: Arguments) -> list[str]:
    """The tables of docs/many-images.md, in their order."""
    return [markdown(make(a)) for make in (sizes, requests, money, rows_in_memory)]


def measure(count: int) -> None:
    """Print the seconds of a listing of `count` parts: the median of three."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer
    from moto.s3.models import s3_backends

    from jaxreg.cache.recipe import Column
    from jaxreg.cache.store import Cache

    names = [f"{Cache('.').folder('net', Column())}/part-{i:016x}.parquet" for i in range(count)]
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary, names[0]).parent.mkdir(parents=True)
        for name in names:
            Path(temporary, name).write_bytes(b"x")
        took = listing_seconds(Cache(temporary), count)
        print(f"{count:,} parts in a local folder: {took:.3f} s", flush=True)
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # else it prints each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    stored.create_bucket("many", "us-east-1")
    for name in names:  # a PUT of each would take a minute
        stored.put_object("many", name, b"x")
    took = listing_seconds(Cache("s3://many"), count)
    print(f"the same in moto on 127.0.0.1: {took:.1f} s", flush=True)
    server.stop()


def listing_seconds(cache: "Cache", count: int) -> float:
    """The median of three listings of a column with `count` parts."""
    from jaxreg.cache.parts import list_parts
    from jaxreg.cache.recipe import Column

    times = []
    for _ in range(3):
        begin = time.perf_counter()
        assert len(list_parts(cache.store, cache.folder("net", Column()))) == count
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    if arguments.measure:
        measure(arguments.parts)
    else:
        print("\n\n".join(tables(arguments)))


if __name__ == "__main__":
    main()
