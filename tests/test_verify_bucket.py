"""`jaxreg verify` looks at what is in the bucket, whatever copies this machine has."""

from pathlib import Path

import pytest

from buckets import Bucket
from conftest import make_planted
from jaxreg import verify
from jaxreg.cache.object_store import LocalStore
from jaxreg.cache.store import Cache


def test_a_damaged_part_is_found_behind_its_copy(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = LocalStore(make_planted(tmp_path))
    for entry in local.list(""):
        bucket.write(f"c/{entry.key}", local.read(entry.key))
    cache = Cache(f"{bucket.url}/c")
    (feature_set,) = cache.feature_sets()
    (column,) = cache.columns(feature_set)
    assert len(cache.digests(feature_set, column)) == 240  # and now there is a copy
    assert verify.main(["--cache", f"{bucket.url}/c"]) == 0
    (key,) = bucket.keys(f"c/features/{feature_set}/{column.name}/part-")
    content = bytearray(bucket.read(key))
    content[100] ^= 1
    bucket.write(key, bytes(content))
    assert verify.main(["--cache", f"{bucket.url}/c"]) == 6
    assert f"damaged: s3://{bucket.name}/{key}" in capsys.readouterr().err
    assert verify.main(["--cache", f"{bucket.url}/c", "--repair"]) == 0
    assert bucket.read(f"{key}.bad") == bytes(content)
    assert cache.digests(feature_set, column) == set()
