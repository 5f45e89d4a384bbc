"""The kit for a machine with a GPU and no network: what it holds, and how it is checked there.

Nothing here downloads; `make gpu-kit` itself is tried by hand.
"""

import re
import runpy
import signal
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pack() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "gpu" / "pack.py")))


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "gpu"))
    monkeypatch.delitem(sys.modules, "check", raising=False)
    import check  # pyright: ignore[reportMissingImports]

    return check


def wheel(folder: Path, name: str, *files: str, size: int = 0) -> Path:
    """A wheel of these files; each module tells its own name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in files or ("made/__init__.py",):
            archive.writestr(file, f"name = {file!r}\n" + "#" * size)
    return path


def test_a_kit_brings_all_requirements_but_those_of_the_machine_and_tensorflow(pack) -> None:
    asked = {pack.name_of(each) for each in PROJECT["project"]["dependencies"]}
    kept = {pack.name_of(each) for each in pack.needed(PROJECT)}
    assert {"keras", "tyro", "typeguard", "psutil", "beartype"} <= kept
    assert "tensorflow" not in kept
    assert asked - kept == (asked & pack.ON_THE_MACHINE) | {"tensorflow"}


def test_what_jax_needs_is_the_machines_own(pack) -> None:
    found = {"keras": "3.15.1", "numpy": "2.4.6", "h5py": "3.14.0", "optree": "0.20.0"}
    assert pack.lacking(found, {"jax": "0.10.2", "numpy": "2.4.6"}) == [
        "keras==3.15.1",
        "optree==0.20.0",
    ]


def test_the_copied_files_are_there_and_small(pack, tmp_path: Path) -> None:
    pack.copy_tree(tmp_path)
    assert pack.faults(tmp_path) == []
    for part in ("tests/conftest.py", "gpu/check.py", "benchmarks/gpu.py", "Makefile"):
        assert (tmp_path / part).is_file()
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 10_000_000


def test_a_kit_with_tensorflow_or_jax_or_too_many_bytes_is_refused(pack, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "tensorflow-2.21.0-cp312-cp312-manylinux_2_27_x86_64")
    wheel(tmp_path / "wheels", "jax-0.10.2-py3-none-any")
    wheel(tmp_path / "wheels", "odd-1.0-py3-none-any", "odd-1.0.data/purelib/odd.py")
    wheel(tmp_path / "wheels", "large-1.0-py3-none-any", size=pack.MOST_BYTES)
    told = pack.faults(tmp_path)
    assert [line.partition(":")[2] for line in told[:3]] == [
        " a kit holds no jax",
        " unpacking does not install it",
        " a kit holds no tensorflow",
    ]
    assert re.fullmatch(r"60\.0 MB; at most 60 MB are allowed", told[3])


def test_a_folder_that_is_no_kit_is_left_alone(pack, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["pack.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="is no kit"):
        pack.main()
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_only_what_the_machine_lacks_or_has_too_old_is_unpacked(
    check, tmp_path: Path, monkeypatch
) -> None:
    for name in ("numpy-9.0", "lacking_here-1.0", "tyro-9.0", "jaxreg-9.0"):
        wheel(tmp_path / "wheels", f"{name}-py3-none-any", f"{name.partition('-')[0]}_made.py")
    monkeypatch.setattr(check, "floors", lambda: {"tyro": "8.0", "numpy": "2.0"})
    wheels = sorted((tmp_path / "wheels").iterdir())
    told = check.unpack(wheels, tmp_path / "out")
    assert told == ["jaxreg 9.0", "lacking_here 1.0", "tyro 9.0"]
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["jaxreg_made.py", "lacking_here_made.py", "tyro_made.py"]


def test_a_package_for_another_machine_stops_the_check(check, tmp_path: Path) -> None:
    other = wheel(tmp_path, "lacking_here-1.0-cp399-cp399-manylinux_2_17_sparc64")
    with pytest.raises(SystemExit, match=r"lacking_here 1\.0 .* is for cp399-cp399-manylinux"):
        check.unpack([other], tmp_path / "out")
    here = metadata.version("numpy")
    same = wheel(tmp_path, f"numpy-{here}-cp399-cp399-manylinux_2_17_sparc64")
    assert check.unpack([same], tmp_path / "out") == []


def test_versions_below_those_of_pyproject_are_named(check, capsys, monkeypatch) -> None:
    assert check.floors()["jax"] == "0.8"
    monkeypatch.setattr(check, "floors", lambda: {"numpy": "999", "keras": "3.12", "nowhere": "1"})
    check.tell_versions(["keras 3.15.1"])
    said = capsys.readouterr().out
    assert f"warning: numpy {metadata.version('numpy')} is below 999" in said
    assert "from the kit: keras 3.15.1" in said
    assert "nowhere not there" in said
    assert said.count("warning") == 1


def test_every_part_names_tests_that_exist(check) -> None:
    for part in check.PARTS:
        text = (ROOT / "tests" / part.words[0]).read_text()
        for word in (
            re.findall(r"\w+", part.words[2].replace(" or ", " ")) if part.words[1:] else []
        ):
            assert f"{word}" in text, part
    assert sum(part.seconds for part in check.PARTS) <= 8 * 60


def test_a_part_that_fails_or_takes_too_long_is_named_and_the_others_run(
    check, tmp_path: Path, monkeypatch, capsys
) -> None:
    """The processes are stand-ins; the last one is the benchmark."""
    parts = [check.Tests(name, 60, (f"{name}.py",)) for name in ("good", "bad", "slow")]
    monkeypatch.setattr(check, "PARTS", parts)
    code = {
        "good": "print('3 passed in 1s')",
        "bad": "print('E  1 != 2'); raise SystemExit(1)",
        "slow": "import time; time.sleep(600)",
    }
    real = check.run

    def run(words, seconds, show, **changed):
        name = next((name for name in code if f"tests/{name}.py" in words), "good")
        limit = 0.5 if name == "slow" else 60
        return real([sys.executable, "-c", code[name]], limit, show, **changed)

    monkeypatch.setattr(check, "run", run)
    assert check.check(8, True, tmp_path) == 1
    said = capsys.readouterr().out
    assert "good: at most 60 s …\npassed: good: 3 passed in 1s" in said
    assert "failed: bad: E  1 != 2" in said
    assert "no time: slow: it did not end within" in said
    assert "passed: 2 of 4 parts" in said
    monkeypatch.setattr(check, "PARTS", [parts[0], parts[2]])
    assert check.check(8, True, tmp_path) == 2
    monkeypatch.setattr(check, "PARTS", parts[:1])
    assert check.check(8, True, tmp_path) == 0
    assert check.check(0.001, True, tmp_path) == 2  # "not begun"


def test_a_process_that_takes_too_long_may_end_its_own_processes(check, tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): pathlib.Path(sys.argv[1]).touch(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\ntime.sleep(600)"
    )
    ended = tmp_path / "ended"
    status, said = check.run([sys.executable, "-c", code, str(ended)], 3, False)
    assert (status, said) == (None, "ready\n")
    assert ended.exists()


def test_a_lost_connection_ends_the_check_with_its_files(tmp_path: Path) -> None:
    """SIGHUP is an exit, and Python deletes temporary folders. Under nohup it is nothing."""
    code = (
        f"import signal, sys, tempfile\nsys.path.insert(0, {str(ROOT / 'gpu')!r})\nimport check\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\ncheck.end_as_with_ctrl_c()\n"
        "signal.raise_signal(signal.SIGHUP)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\ncheck.end_as_with_ctrl_c()\n"
        "with tempfile.TemporaryDirectory(dir=sys.argv[1]):\n"
        "    print('going on', flush=True)\n"
        "    signal.raise_signal(signal.SIGHUP)"
    )
    # a process of its own: a signal that comes late would end the one that runs the tests
    words = [sys.executable, "-c", code, str(tmp_path)]
    ended = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGHUP, "going on\n")
    assert not [*tmp_path.iterdir()]
