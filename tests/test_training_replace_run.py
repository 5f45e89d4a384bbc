"""--overwrite: whose folder it is, which files are deleted, and what a kill leaves."""

import errno
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

import jaxreg
from jaxreg.common.json_files import load_json, write_json
from jaxreg.errors import InputError
from jaxreg.training import replace_run
from jaxreg.training.replace_run import foreign_files, is_run
from planted_runs import predictions_of, run_quick


def test_a_folder_with_a_config_of_somebody_else_is_never_overwritten(planted: Path) -> None:
    project = planted.parent / "project"
    for content in ({"model_type": "bert"}, {"format": 2, "kind": "model"}, {"kind": "run"}, [], 3):
        (project / "src").mkdir(parents=True)
        (project / "config.json").write_text(json.dumps(content))
        (project / "src" / "main.py").write_text("precious")
        with pytest.raises(InputError, match="is not a run of jaxreg"):
            run_quick(planted, run=str(project), overwrite=True)
        assert (project / "src" / "main.py").read_text() == "precious"
        shutil.rmtree(project)


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt", "plots/mine.txt", "plots/x.png", "plots/predicted-mine.png", "sub/a",
        "checkpoints/mine", "checkpoints/000001/mine.txt", "checkpoints/000001/head/d/mine",
        "checkpoints/000001-mine", "checkpoints/000001/mine/", ".hidden", "empty/",
    ],
)  # fmt: skip
def test_a_users_own_file_in_a_run_stops_overwriting_by_name(planted: Path, name: str) -> None:
    run = run_quick(planted, run="one", epochs=1)
    assert foreign_files(run.path) == []
    before = predictions_of(run.path)
    path = run.path / name
    if name.endswith("/"):
        path.mkdir()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
    with pytest.raises(InputError, match=f"did not write: .*{name.rstrip('/')}"):
        run_quick(planted, run="one", epochs=1, overwrite=True)
    assert path.exists()
    assert predictions_of(run.path) == before


def test_a_link_in_a_run_is_foreign_and_what_it_points_to_stays(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    shutil.move(run.path / "plots", planted.parent / "elsewhere")
    (run.path / "plots").symlink_to(planted.parent / "elsewhere")
    with pytest.raises(InputError, match="did not write: plots"):
        run_quick(planted, run="one", epochs=1, overwrite=True)
    assert any((planted.parent / "elsewhere").iterdir())


def test_a_run_behind_a_link_is_replaced_and_the_link_stays(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    before = predictions_of(run.path)
    shutil.move(run.path, planted.parent / "real")
    run.path.symlink_to(planted.parent / "real")
    run_quick(planted, run="one", epochs=1, seed=1, overwrite=True)
    assert run.path.is_symlink()
    assert predictions_of(planted.parent / "real") != before
    assert sorted(path.name for path in run.path.parent.iterdir()) == ["one"]


def test_a_kill_while_replacing_leaves_a_run_to_go_on_from(planted: Path, monkeypatch) -> None:
    """After each renaming, and before the old run is deleted."""
    first = run_quick(planted, run="one", epochs=2)
    folder, real = first.path, Path.rename

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    for renames in range(3):
        allowed = iter([real] * renames + [killed])
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", lambda *paths, left=allowed: next(left)(*paths))
            patched.setattr(shutil, "rmtree", killed)
            with pytest.raises(Killed):
                replace_run.replace_run(folder, lambda new: _write_config(first.path, new))
        resumed = jaxreg.train_head("planted", cache=planted, run=folder, resume=True)
        assert resumed.summary["epochs"] == 2
        again = run_quick(planted, run="one", epochs=2, overwrite=True)
        assert predictions_of(again.path) == predictions_of(resumed.path)
        assert sorted(path.name for path in folder.parent.iterdir()) == ["one"]


def test_a_kill_at_each_step_of_replacing_loses_neither_run(tmp_path: Path, monkeypatch) -> None:
    """Each call that changes the disk may be the last one; from then on nothing is changed."""

    class Killed(BaseException):
        pass

    folder = tmp_path / "one"

    def make(path: Path, name: str) -> None:
        write_json(path / "config.json", {"kind": "run", "name": name})

    def replace(new: Path) -> None:
        make(new, "new")

    steps, done = 0, False
    while not done:
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("plots/curves.png", "checkpoints/000001/head/d/" + "0" * 32, "history.csv"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("old")
        make(folder, "old")
        calls = itertools.count()

        def dying(real, calls=calls, steps=steps):
            def call(*paths, **options):
                if next(calls) >= steps:
                    raise Killed
                return real(*paths, **options)

            return call

        with monkeypatch.context() as patched:
            for name in ("rename", "replace", "unlink", "remove", "rmdir", "mkdir"):
                patched.setattr(os, name, dying(getattr(os, name)))
            try:
                replace_run.replace_run(folder, replace)
                done = True
            except Killed:
                pass
        replace_run.restore(folder)
        assert is_run(folder)
        if load_json(folder / "config.json")["name"] == "old":
            assert (folder / "history.csv").read_text() == "old"
            assert (folder / "plots" / "curves.png").read_text() == "old"
        replace_run.check_replaceable(folder)
        replace_run.replace_run(folder, replace)
        assert load_json(folder / "config.json")["name"] == "new"
        assert [path.name for path in tmp_path.iterdir()] == ["one"]
        steps += 1
    assert steps > 8


@pytest.mark.parametrize("name", [".one.new", ".one.old"])
@pytest.mark.parametrize("file", ["config.json", "mine.txt", "summary.json"])
def test_a_users_folder_with_a_name_that_replacing_needs_stops_it(
    tmp_path: Path, name: str, file: str
) -> None:
    write_json(tmp_path / "one" / "config.json", {"kind": "run"})
    (tmp_path / name).mkdir()
    (tmp_path / name / file).write_text('{"theirs": 1}')
    with pytest.raises(InputError, match=f"{name} holds {file}"):
        replace_run.replace_run(tmp_path / "one", lambda new: None)
    assert (tmp_path / name / file).read_text() == '{"theirs": 1}'
    assert is_run(tmp_path / "one")


def test_the_folder_that_the_command_runs_in_is_not_replaced(tmp_path: Path, monkeypatch) -> None:
    run = tmp_path / "one"
    write_json(run / "config.json", {"kind": "run"})
    (run / "checkpoints").mkdir()
    for folder, place in ((run, Path()), (run / "checkpoints", Path(".."))):
        monkeypatch.chdir(folder)
        with pytest.raises(InputError, match="this command runs in"):
            replace_run.check_replaceable(place)


def _write_config(run: Path, folder: Path) -> None:
    old = run.with_name(".one.old")
    shutil.copy((run if run.exists() else old) / "config.json", folder / "config.json")


def test_files_that_cannot_be_deleted_are_one_message(planted: Path, monkeypatch) -> None:
    run = run_quick(planted, run="one", epochs=1)

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(run.path / "plots"))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(InputError, match=r"cannot delete .*plots: Permission denied"):
        run_quick(planted, run="one", epochs=1, overwrite=True)


def test_a_damaged_config_is_no_proof_and_the_message_offers_another_run(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    (run.path / "config.json").write_text("{")
    assert not is_run(run.path)
    with pytest.raises(InputError, match=r"jaxreg train DATASET --run .*one-again"):
        jaxreg.load_run(run.path)


def test_a_path_with_a_dot_is_a_folder_here(planted: Path, monkeypatch) -> None:
    monkeypatch.chdir(planted.parent)
    run = jaxreg.train_head("planted", cache=planted, run="./here", head="ridge", target=("angle",))
    assert (planted.parent / "here" / "summary.json").is_file()
    assert run.path == planted.parent / "here"  # as a message prints it, it means no run of ckpts
