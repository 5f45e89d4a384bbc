"""docs/many-images.md: its figures come from its scripts, and their constants from jaxreg."""

import logging
import runpy
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from buckets import Bucket
from jaxreg.cache.parts import list_parts
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.extraction import pipeline

TOP = Path(__file__).resolve().parents[1]
SCRIPT = TOP / "benchmarks" / "many_images.py"
arithmetic = runpy.run_path(str(SCRIPT), run_name="many_images")
IMAGES = 100_000_000


def test_the_tables_of_the_page_are_those_of_the_script() -> None:
    page = (TOP / "docs" / "many-images.md").read_text()
    for table in arithmetic["tables"](arithmetic["Arguments"]()):
        assert table in page


def test_the_formulas_by_hand() -> None:
    plan = arithmetic["Plan"]("two columns", (2048, 100), 50.0)
    assert arithmetic["parts"](plan, IMAGES) == 97_657  # 100,000,000 / 1,024 = 97,656.25
    assert arithmetic["writes"](plan, IMAGES) == 3 * 97_657
    assert arithmetic["listings"](plan, IMAGES) == 3 * 98
    assert arithmetic["column_bytes"](plan, IMAGES) == [826_700_000_000, 47_500_000_000]
    assert arithmetic["hours"](plan, IMAGES, 10) == pytest.approx(55.5556, rel=1e-5)
    slow = arithmetic["Plan"]("one image in 3 seconds", (8,), 1 / 3)
    assert arithmetic["images_of_part"](slow.rate) == 20  # of a minute
    asked = arithmetic["Arguments"](images=IMAGES, machine_price=0.2, put_price=5.0, get_price=1.0)
    assert arithmetic["machine_money"](plan, asked) == pytest.approx(555.556 * 0.2, rel=1e-5)
    requests = 3 * 97.657  # thousands
    assert arithmetic["writing_money"](plan, asked) == pytest.approx(requests * 6 + 0.294 * 5)
    assert arithmetic["looking_money"](plan, asked) == pytest.approx(requests * 2 + 0.294 * 5)


def test_the_constants_are_those_of_jaxreg(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert arithmetic["PART_IMAGES"] == pipeline.PART_IMAGES
    assert arithmetic["LONGEST_WAIT"] == pipeline.LAST_PART_SECONDS
    count: Counter[str] = Counter()
    from werkzeug.serving import WSGIRequestHandler

    def log(self: WSGIRequestHandler, *_: object) -> None:
        count[self.command] += 1

    monkeypatch.setattr(WSGIRequestHandler, "log_request", log)
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    cache, column = Cache(bucket.url), Column()
    folder = cache.folder("net-00000000", column)
    digests = [f"{number:064x}" for number in range(1024)]
    x = np.random.default_rng(0).normal(size=(1024, 2048)).astype(np.float32)
    key = cache.add("net-00000000", column, digests, x)
    assert count == {"PUT": 1, "HEAD": arithmetic["PUT_REQUESTS"] - 1}
    count.clear()
    content = cache.store.fresh().read(key)
    assert count == {"GET": 1, "HEAD": arithmetic["GET_REQUESTS"] - 1}
    wanted = arithmetic["column_bytes"](arithmetic["Plan"]("", (2048,), 1.0), 1024)
    assert [len(content)] == pytest.approx(wanted, rel=1e-4)
    count.clear()
    assert list_parts(cache.store, folder) == [key]
    assert count["GET"] == 1


@pytest.mark.slow
def test_the_stages_of_a_million_rows_run_on_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--rows", "300", "--folder", str(tmp_path), "--kinds", "vectors", "--stages"]
    stages = ["extract", "extract again", "train, ridge", "runs", "list"]
    monkeypatch.setattr(sys, "argv", ["million_rows.py", *words, *stages])
    runpy.run_path(str(SCRIPT.with_name("million_rows.py")), run_name="__main__")
    printed = capsys.readouterr().out
    assert all(f"\n| {stage} | " in printed for stage in stages)
