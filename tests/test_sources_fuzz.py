"""Sources by the thousand that nobody should make: examples, or one message, never a traceback."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from csv import QUOTE_ALL, QUOTE_MINIMAL, QUOTE_NONE, writer
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fuzzing import LONG, ODD_NAMES, ODD_NUMBERS, changed, damaged, odd_json, use_source
from jaxreg.sources import SourceOptions
from typed import given

Make = Callable[[Path, random.Random], Path]

COLUMNS = (
    *("image", "y", "id", "source.id", "source.source.id", "digest", "order", "group", "path"),
    *("written.y", "camera", "timestamp", "y.z", "", "image.bytes", "frame", "steering"),
)
CELLS = (
    *ODD_NAMES, *ODD_NUMBERS, "1,5", "007", "true", "null", "NA", '"', '""', "a,b", "1;2", "0x1F",
    "2024-05-06", "12:30", "2024-05-06T12:30:00Z", "2024-05-06 12:30:00.123456789",
    "\uff11\uff12", "a\rb", "é",
)  # fmt: skip


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    pixel = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    Image.fromarray(pixel).save(buffer, kind, **options)
    return buffer.getvalue()


PNG = encoded("PNG")


def with_images(folder: Path) -> None:
    (folder / "i").mkdir(exist_ok=True)
    for name in ("a.png", "b.png", "c d.png"):
        (folder / "i" / name).write_bytes(PNG)


def odd_options(rng: random.Random) -> SourceOptions:
    if rng.random() < 0.7:
        return SourceOptions()
    names = (
        "image_column",
        "id_column",
        "group_column",
        "order_column",
        "image_root",
        "image_suffix",
    )
    chosen: dict[str, Any] = {
        n: rng.choice((*COLUMNS, *ODD_NAMES[:8])) for n in rng.sample(names, rng.randrange(1, 4))
    }
    return SourceOptions(**chosen)


def csv(folder: Path, rng: random.Random) -> Path:
    names = ["image", *rng.sample(COLUMNS[1:], rng.randrange(1, 6))]
    if rng.random() < 0.3:
        names = ["center", "left", "right", "steering", *rng.sample(COLUMNS[1:-1], 2)]
    images = [
        "i/a.png",
        "i/b.png",
        "i/c d.png",
        "i\\a.png",
        "/C:/x/a.png",
        "a\0.png",
        LONG + ".png",
    ]
    rows = [names]
    pools = {name: rng.sample(CELLS, rng.choice((1, 1, 2, 12))) for name in names[1:]}
    for name in ("center", "left", "right"):
        pools[name] = images[:2]
    if rng.random() < 0.8:
        pools["steering"] = ["0.5", "-1", "1e3"]
    images = images[: rng.choice((3, 7))]
    pools["image"] = images
    for number in range(rng.choice((12, 12, 12, 1, 0))):
        unlike = {"id": str(number), "source.id": str(number)} if rng.random() < 0.9 else {}
        rows.append([unlike.get(name, rng.choice(pools[name])) for name in names])
    text = io.StringIO(newline="")
    quoting = rng.choice((QUOTE_MINIMAL, QUOTE_MINIMAL, QUOTE_MINIMAL, QUOTE_ALL, QUOTE_NONE))
    form: Any = {
        "delimiter": rng.choice(",,;\t|"),
        "lineterminator": rng.choice(("\n", "\n", "\r\n")),
    }
    write = writer(text, quoting=quoting, escapechar="\\", **form)
    write.writerows(rows)
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"))
    errors = "replace" if encoding == "latin-1" or rng.random() < 0.9 else "surrogatepass"
    content = text.getvalue().encode(encoding, errors)
    file = folder / rng.choice(("x.csv", "x.csv", "x.tsv", "driving_log.csv"))
    file.write_bytes(damaged(content, rng) if rng.random() < 0.3 else content)
    return file


ARROW = (
    pa.array([1, 2, None], pa.int8()),
    pa.array([1, 2, 3], pa.uint64()),
    pa.array([2**64 - 1, 0, 1], pa.uint64()),
    pa.array([2**53 + 1, 2**53, 0], pa.int64()),
    pa.array([2**62, -(2**63), 0], pa.int64()),
    pa.array([1.5, None, float("nan")], pa.float16()),
    pa.array([1.5, float("inf"), 1e308], pa.float64()),
    pa.array([1.0, 5e-324, -0.0], pa.float32()),
    pa.array([Decimal("1.5"), None, Decimal("99999999999999999.25")], pa.decimal128(38, 2)),
    pa.array([Decimal(10) ** 60, None, Decimal(1)], pa.decimal256(76, 2)),
    pa.array([True, None, False]),
    pa.array(["a", None, ""], pa.string()),
    pa.array(["i/a.png", "i/b.png", "i/c d.png"], pa.large_string()),
    pa.array(["i/a.png", "i/b.png", None], pa.string_view()),
    pa.array(["a\0b.png", "x" * 300 + ".png", "i/a.png"]),
    pa.array(["i/a.png"] * 3).dictionary_encode(),
    pa.array([1, 2, None]).dictionary_encode(),
    pa.array([None] * 3, pa.null()),
    pa.array([PNG, b"", None], pa.binary()),
    pa.array([PNG, PNG[:40], PNG], pa.large_binary()),
    pa.array([b"1234"] * 3, pa.binary(4)),
    pa.array([PNG] * 3, pa.binary_view()),
    pa.array([PNG] * 3, pa.binary()).dictionary_encode(),
    pa.array([{"bytes": PNG, "path": "i/a.png"}, {"bytes": None, "path": "i/b.png"}, None]),
    pa.array([{"bytes": PNG, "path": 1}] * 3),
    pa.array([{"bytes": {"a": PNG}, "path": "x"}] * 3),
    pa.array([{"bytes": {"bytes": PNG, "path": "y"}, "path": "x"}] * 3),
    pa.array([{"bytes": None, "path": None}] * 3),
    pa.array([{"bytes": [PNG], "path": ["x"]}] * 3),
    pa.array([{"bytes": PNG, "path": PNG}] * 3),
    pa.array([{"a": 1}] * 3),
    pa.array([[1, 2], [], None]),
    pa.array([[1, 2], [3, 4], None], pa.list_(pa.int64(), 2)),
    pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    pa.array([date(2024, 5, 6), None, date(1, 1, 1)], pa.date32()),
    pa.array([date(2024, 5, 6), None, date(9999, 1, 1)], pa.date64()),
    pa.array([2**40, None, 0], pa.date64()),
    pa.array([2**31 - 1, None, 0], pa.date32()),
    pa.array([time(12, 30), None, time()], pa.time32("s")),
    pa.array([1, 2, 2**60], pa.time64("ns")),
    pa.array([timedelta(1), None, timedelta()], pa.duration("ns")),
    pa.array([datetime(2024, 5, 6), None, datetime(1970, 1, 1)], pa.timestamp("s")),
    pa.array([0, None, 2**62], pa.timestamp("ns", "UTC")),
    pa.array([0, 1, 2], pa.timestamp("us", "Nowhere/Atlantis")),
    pa.array([0, None, 2**62], pa.timestamp("ms", "+25:99")),
    pa.array([-(2**62), None, 2**62], pa.timestamp("s")),
    pa.array([(1, 2, 3), None, (0, 0, 0)], pa.month_day_nano_interval()),
)


def parquet(folder: Path, rng: random.Random) -> Path:
    names = rng.sample(COLUMNS, rng.randrange(0, 5))
    fields = {name: rng.choice(ARROW) for name in names}
    if rng.random() < 0.8:
        fields["image"] = rng.choice((pa.array(["i/a.png", "i/b.png", "i/c d.png"]), *ARROW[18:30]))
    if rng.random() < 0.1:
        fields = {name: column.slice(0, 0) for name, column in fields.items()}
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(
            pa.table(fields),
            sink,
            row_group_size=rng.choice((1, 2, 100)),
            use_dictionary=rng.random() < 0.5,
        )
    except (pa.ArrowException, NotImplementedError):
        return parquet(folder, rng)
    content = sink.getvalue().to_pybytes()
    file = folder / "x.parquet"
    file.write_bytes(damaged(content, rng) if rng.random() < 0.5 else content)
    return file


def npz(folder: Path, rng: random.Random) -> Path:
    count = rng.choice((1, 3, 3, 3, 20))
    kinds = (
        "u1",
        "<u2",
        ">u2",
        "i4",
        "f4",
        ">f8",
        "f2",
        "g",
        "c16",
        "?",
        "u8",
        ">i8",
        "U5",
        "S5",
        "M8[s]",
        "m8[s]",
        "V3",
    )
    draw = np.random.default_rng(rng.randrange(2**32))

    def some(shape: tuple[int, ...], kind: str) -> np.ndarray:
        return draw.integers(0, 200, shape).astype(kind)

    def array(shape: tuple[int, ...], usual: str) -> np.ndarray:
        kind = usual if rng.random() < 0.75 else rng.choice(kinds)
        with np.errstate(all="ignore"):
            made = some(shape, "i8").astype(kind) if kind != "V3" else np.zeros(shape, "V3")
            if made.dtype.kind in "iuf" and rng.random() < 0.2 and made.size:
                made.flat[0] = rng.choice(
                    (np.iinfo(made.dtype).max, np.iinfo(made.dtype).min)
                    if made.dtype.kind in "iu"
                    else (np.nan, np.inf, -1e30 if made.dtype.itemsize > 2 else 7)
                )
        return np.asfortranarray(made) if rng.random() < 0.2 else made

    def shape(*others: tuple[int, ...]) -> tuple[int, ...]:
        return others[0] if rng.random() < 0.7 else rng.choice(others)

    arrays = {
        "images": array(
            shape(
                (count, 8, 8, 3),
                (count, 8, 8),
                (8, 8),
                (count, 8, 8, 4),
                (count, 3, 8, 8),
                (0, 8, 8),
                (count, 8, 0),
                (),
            ),
            "u1",
        )
    }
    if rng.random() < 0.9:
        arrays["targets"] = array(
            shape((count,), (count, 2), (count, 1, 1), (2,), (), (count, 0)), "f8"
        )
    if rng.random() < 0.5:
        arrays["ids"] = np.array([f"{rng.choice(ODD_NAMES[:14])}{n}" for n in range(count)])
        if rng.random() < 0.4:
            arrays["ids"] = array((count,), rng.choice(("U8", "i8")))
    if rng.random() < 0.2:
        arrays[rng.choice(("other", "images.npy", LONG, "a/b"))] = np.arange(3)
    packing = rng.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.save(member, values)
            raw = member.getvalue()
            archive.writestr(f"{name}.npy", damaged(raw, rng) if rng.random() < 0.05 else raw)
    data = content.getvalue()
    file = folder / "x.npz"
    file.write_bytes(damaged(data, rng) if rng.random() < 0.4 else data)
    return file


def tub(folder: Path, rng: random.Random) -> Path:
    with_own = folder / "tub"
    (with_own / "images").mkdir(parents=True, exist_ok=True)
    for stale in with_own.glob("*.*"):
        stale.unlink()
    (with_own / "images" / "0.png").write_bytes(PNG)
    first = rng.random() < 0.3
    records = []
    for number in range(rng.randrange(1, 6)):
        record = {
            "_index": number,
            "_session_id": "s",
            "cam/image_array": "0.png",
            "user/angle": 0.5,
            "user/mode": "user",
            "_timestamp_ms": 12,
        }
        if rng.random() < 0.4:
            record = changed(record, rng)
        if rng.random() < 0.2 and isinstance(record, dict):
            record[rng.choice((*COLUMNS, "a\0b", "\ud800", "x" * 300))] = odd_json(rng)
        records.append(record)

    def text(value: object) -> str:
        if rng.random() < 0.03:
            return rng.choice(("[" * 100_000, '{"a":' * 50_000, "nul", "1e99999", "9" * 5000))
        return json.dumps(value, ensure_ascii=rng.random() < 0.8)

    def put(name: str, content: str) -> None:
        data = content.encode("utf-8", "surrogatepass")
        (with_own / name).write_bytes(damaged(data, rng) if rng.random() < 0.15 else data)

    if first:
        for number, record in enumerate(records):
            put(f"record_{rng.choice((number, '9' * 30, number))}.json", text(record))
        if rng.random() < 0.5:
            meta = {"inputs": ["cam/image_array", "user/angle"], "types": ["image_array", "float"]}
            put("meta.json", text(changed(meta, rng) if rng.random() < 0.5 else meta))
        if rng.random() < 0.3:
            put("exclude.json", text(odd_json(rng)))
        return with_own
    put("catalog_0.catalog", "\n".join(map(text, records)))
    lines = [
        ["cam/image_array", "user/angle"],
        ["image_array", "float"],
        {},
        {},
        {"paths": ["catalog_0.catalog"], "deleted_indexes": [7]},
    ]
    if rng.random() < 0.5:
        lines = changed(lines, rng)
    lines = lines if isinstance(lines, list) else [lines]
    put("manifest.json", "\n".join(map(text, lines)))
    return with_own


def xlsx(folder: Path, rng: random.Random) -> Path:
    book = openpyxl.Workbook()
    sheet = given(book.active)
    names = ["image", *rng.sample(COLUMNS, 3)]
    sheet.append(names)
    values = (
        None,
        True,
        1,
        2**60,
        1.5,
        -1e308,
        "x",
        "",
        "007",
        "i/a.png",
        date(2024, 5, 6),
        datetime(2024, 5, 6, 7),
        time(1, 2),
        timedelta(days=9),
        "=1/0",
        "#N/A",
        "a_x0000_b",
        "x" * 300,
    )
    for _ in range(rng.randrange(6)):
        sheet.append(
            [rng.choice(("i/a.png", "i/b.png", None)), *(rng.choice(values) for _ in names[1:])]
        )
    content = io.BytesIO()
    book.save(content)
    data = content.getvalue()
    if rng.random() < 0.5:  # inside the archive, so that the XML itself is damaged
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(packed, "w") as target:
            hit = rng.choice(source.namelist())
            for name in source.namelist():
                member = source.read(name)
                target.writestr(name, damaged(member, rng) if name == hit else member)
        data = packed.getvalue()
    elif rng.random() < 0.6:
        data = damaged(data, rng)
    file = folder / "x.xlsx"
    file.write_bytes(data)
    return file


MAKERS: dict[str, Make] = {"csv": csv, "parquet": parquet, "npz": npz, "tub": tub, "xlsx": xlsx}
WITH_OPTIONS = ("csv", "parquet", "xlsx")
QUICK = {"csv": 200, "parquet": 300, "npz": 200, "tub": 200, "xlsx": 80}


def run(kind: str, folder: Path, seeds: range) -> int:
    """Make and use a source for each seed; returns how many could be opened."""
    folder = folder / "beside" / "nothing"  # a table also looks into the folder above
    folder.mkdir(parents=True)
    with_images(folder)
    opened = 0
    for seed in seeds:
        rng = random.Random(f"{kind} {seed}")
        path = MAKERS[kind](folder, rng)
        options = odd_options(rng) if kind in WITH_OPTIONS else SourceOptions()
        try:
            opened += use_source(path, options, folder) is not None
        except Exception as error:
            raise AssertionError(f"{kind} of seed {seed}") from error
    return opened


@pytest.mark.parametrize("kind", MAKERS)
def test_an_odd_source_gives_examples_or_one_message(kind: str, tmp_path: Path) -> None:
    count = QUICK[kind]
    assert count / 10 < run(kind, tmp_path, range(count)) < count


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKERS)
def test_many_more_odd_sources(kind: str, tmp_path: Path) -> None:
    run(kind, tmp_path, range(QUICK[kind], 8 * QUICK[kind]))
