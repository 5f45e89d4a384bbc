"""Every file of a run and of the cache: a flipped bit is found, or changes nothing."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import jaxreg
from cache_files import column_folder
from jaxreg import verify
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.comparison.runs_table import read_runs
from jaxreg.errors import InputError
from jaxreg.training.run_directory import RunDirectory
from planted_runs import run_quick

FLIPS = 150  # of one file; the places are drawn with a seed


def flips(path: Path, count: int = FLIPS) -> list[bytes]:
    """The file with one other bit each, and some truncations."""
    whole, random = path.read_bytes(), np.random.default_rng(0)
    found = []
    for at in random.integers(len(whole) * 8, size=count).tolist():
        changed = bytearray(whole)
        changed[at // 8] ^= 1 << at % 8
        found.append(bytes(changed))
    return [*found, *(whole[:at] for at in random.integers(len(whole), size=5).tolist())]


def never_other(path: Path, read: Callable[[], object]) -> int:
    """Assert that `read` raises InputError or gives the same; returns how often it raised."""
    whole, expected, raised = path.read_bytes(), read(), 0
    for changed in flips(path):
        path.write_bytes(changed)
        try:
            assert read() == expected
        except InputError:
            raised += 1
    path.write_bytes(whole)
    assert read() == expected
    return raised


def test_the_dataset_table(planted: Path) -> None:
    def read() -> object:
        dataset = read_dataset(Cache(planted), "planted")
        fields = {name: value for name, value in vars(dataset).items() if name != "table"}
        return dataset.table.to_pydict(), dataset.table.schema, fields["source"], dataset.columns

    assert never_other(planted / "datasets" / "planted.parquet", read) > FLIPS / 2


def test_the_json_files_of_a_run_and_its_predictions(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    directory = RunDirectory(run.path)
    assert never_other(run.path / "config.json", directory.read_config) > FLIPS / 2
    assert never_other(run.path / "summary.json", directory.read_summary) > FLIPS / 2
    summary = directory.read_summary()
    assert summary is not None
    raised = never_other(
        run.path / "predictions.parquet", lambda: directory.read_predictions(summary).to_pydict()
    )
    assert raised == FLIPS + 5


def test_the_record_of_a_feature_set(planted: Path) -> None:
    cache = Cache(planted)
    [name] = cache.feature_sets()
    path = planted / "features" / name / "feature_set.json"
    assert never_other(path, lambda: cache.feature_set_record(name)) > FLIPS / 2


def test_history_is_for_people_and_resuming_does_not_read_it(planted: Path) -> None:
    whole = run_quick(planted, run="whole", epochs=6)
    run = run_quick(planted, run="one", epochs=3)
    (run.path / "history.csv").write_text("epoch,loss\nx")
    longer = jaxreg.train_head(cache=planted, run=run.path, resume=True, epochs=6)
    losses = [
        [line.rsplit(",", 1)[0] for line in (path / "history.csv").read_text().splitlines()]
        for path in (longer.path, whole.path)  # without the seconds
    ]
    assert losses[0] == losses[1]


def test_verify_names_the_damaged_file_of_a_run(planted: Path, capsys) -> None:
    run = run_quick(planted, run="one", epochs=1)
    assert verify.main([str(run.path)]) == 0
    names = [
        path.relative_to(run.path).as_posix()
        for path in sorted(run.path.rglob("*"))
        if path.is_file()
    ]
    assert {"config.json", "history.csv", "report.html", "plots/curves.png"} < set(names)
    for name in names:
        whole = (run.path / name).read_bytes()
        (run.path / name).write_bytes(whole + b" " if not name.endswith(".json") else whole[:-9])
        capsys.readouterr()
        assert verify.main([str(run.path)]) == 6, name
        named = name.split("/")[1].removesuffix(".json") if "checkpoints" in name else name
        assert named in capsys.readouterr().err
        (run.path / name).write_bytes(whole)
    assert verify.main([str(run.path)]) == 0
    with pytest.raises(InputError, match="no run"):
        verify.main([str(run.path / "nowhere")])


def test_a_run_with_damaged_predictions_is_left_out_of_the_table(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    (run.path / "predictions.parquet").write_bytes(b"PAR1")
    said: list[str] = []
    assert read_runs(run.path.parent, say=said.append).rows == []
    assert "predictions.parquet is damaged" in said[0]


def test_a_part_of_garbage_under_the_name_of_its_hash_is_damage(planted: Path, capsys) -> None:
    cache = Cache(planted)
    [name] = cache.feature_sets()
    folder = column_folder(cache, name, cache.columns(name)[0])
    path = folder / f"part-{hashlib.sha256(b'garbage').hexdigest()[:16]}.parquet"
    path.write_bytes(b"garbage")
    assert verify.main(["--cache", str(planted)]) == 6
    assert f"damaged: {path}" in capsys.readouterr().err
    path.unlink()
    record = planted / "features" / name / "feature_set.json"
    record.unlink()
    record.mkdir()
    assert verify.main(["--cache", str(planted)]) == 6
    shutil.rmtree(record)


def test_verify_names_unfinished_files_and_repair_deletes_old_ones(planted: Path, capsys) -> None:
    import os

    old, new = (planted / f".part-{name}.parquet.12.0123abcd.tmp" for name in ("a", "b"))
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert verify.main(["--cache", str(planted)]) == 0
    assert "2 unfinished files" in capsys.readouterr().err
    assert verify.main(["--cache", str(planted), "--repair"]) == 0
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": {"size": [76, 76]}}, "is that of"),
        ({"recipe": {"preprocess": "unit"}}, "is that of"),
        ({"recipe": {"weights": "random:1:v1"}}, "is that of"),
        ({"recipe": {"decode": 2}}, "no decode rules 2"),
        ({"recipe": {"resize": "x"}}, "resize 'x'"),
        ({"weights_tag": "../../evil"}, "is not a name"),
        ({"recipe": {"backbone": "../evil"}}, "is not a name"),
        ({"recipe": {"size": 3}}, "cannot be read"),
    ],
)
def test_another_recipe_in_a_run_is_refused_also_with_a_new_sha256(
    planted: Path, change: dict, said: str
) -> None:
    run = run_quick(planted, run="one", head="ridge")
    directory = RunDirectory(run.path)
    record = directory.read_config()
    for name, value in change.items():
        record[name] = {**record[name], **value} if isinstance(value, dict) else value
    directory.write_config(record)
    proofs = list((run.path / "checkpoints").glob("*.json"))
    from jaxreg.common.json_files import load_json, write_json

    for proof in proofs:  # as somebody would who wants it to fit
        content = load_json(proof)
        write_json(proof, {**content, "run": record})
    summary = load_json(run.path / "summary.json")
    directory.write_summary({**summary, "files": directory.digests()})
    with pytest.raises(InputError, match=said):
        jaxreg.load_run(run.path)
