"""The files about the project agree with each other and with the Makefile."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_file_names_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == citation["version"] == metadata.version("jaxreg")
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_every_file_names_one_license_and_one_author() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == citation["license"] == text.split()[0]
    [author] = PROJECT["authors"]
    assert citation["authors"] == [author]
    assert author["name"] in text


def test_hooks_call_the_makefile() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for repository in config["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            make, target = hook["entry"].split()
            assert make == "make"
            assert target in targets


def test_pythons_that_were_run_are_those_that_are_allowed() -> None:
    """The classifiers begin with the lowest version that may be installed; README names them."""
    named = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert all(version in (ROOT / "README.md").read_text() for version in named)


def test_the_package_has_the_mark_of_types() -> None:
    assert (ROOT / "src" / "jaxreg" / "py.typed").is_file()
