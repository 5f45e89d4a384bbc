"""Runs of studies/faulty_bucket.py: a network that loses and doubles requests, no wrong number."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from buckets import Bucket
from faulty_proxy import ONE_IN_TWENTY, proxy_before

STUDIES = Path(__file__).resolve().parents[1] / "studies"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(STUDIES))
    import faulty_bucket  # pyright: ignore[reportMissingImports]

    return faulty_bucket


@pytest.mark.slow
def test_twenty_runs_are_right_or_say_why(study: Any, bucket: Bucket, tmp_path: Path) -> None:
    with proxy_before(bucket.endpoint) as proxy:
        proxy.draw_faults(1)
        ended = [study.one_run(bucket.url, proxy.endpoint, seed, tmp_path) for seed in range(20)]
    assert Counter(one.kind for one in ended).keys() <= {"right", "message"}
    right = [seed for seed, one in enumerate(ended) if one.kind == "right"]
    assert len(right) >= 18  # 5 attempts all fail once in 3 million times
    assert all(study.holds_its_vectors(bucket, seed) for seed in right)
    assert {one.fault for one in proxy.requests} == {None, *ONE_IN_TWENTY}


def test_the_study_would_see_a_wrong_number(
    study: Any, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert study.one_run(bucket.url, bucket.endpoint, 0, tmp_path).kind == "right"
    assert study.holds_its_vectors(bucket, 0)
    its = study.vectors_of(0)
    its[3, 1] += 1e-6
    monkeypatch.setattr(study, "vectors_of", lambda seed: its)
    assert not study.holds_its_vectors(bucket, 0)
