"""What a command prints for a word that is wrong: what was typed, with the word that is meant."""

import shlex
import sys
from pathlib import Path

import pytest

from jaxreg import bundle, cli, predict, train, verify
from jaxreg.__main__ import main
from jaxreg.errors import InputError
from planted_runs import run_quick


def remedy_of(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The remedy that `jaxreg …` prints."""
    monkeypatch.setattr(sys, "argv", shlex.split(typed))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-2].startswith("  expected: ")
    return told[-1].removeprefix("  try: ")


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("jaxreg train plantd --head ridge", "jaxreg train planted --head ridge"),
        ("jaxreg train --head ridge plantd", "jaxreg train --head ridge planted"),
        ("jaxreg train --preset best", "jaxreg train planted --preset best"),
        ("jaxreg diagnose plantd --target angle", "jaxreg diagnose planted --target angle"),
        ("jaxreg predict one-9 'a b' --out o.csv", "jaxreg predict ckpts/one-1 'a b' --out o.csv"),
        ("jaxreg verify ckpts/one-9 --json", "jaxreg verify ckpts/one-1 --json"),
        ("jaxreg predict other a --out o.csv", "jaxreg runs ckpts"),
    ],
)
def test_the_remedy_is_what_was_typed_with_the_word_that_is_meant(
    typed: str,
    remedy: str,
    planted: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_quick(planted, run="one-1", head="ridge")
    monkeypatch.chdir(planted.parent)
    if "--preset" in typed:  # which of them is meant is not known: the first is named
        (planted / "datasets" / "xplanted.parquet").write_bytes(b"")
    assert remedy_of(typed, monkeypatch, capsys) == remedy


def test_python_and_an_option_with_an_equals_sign_get_a_sentence(
    planted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_quick(planted, run="one-1", head="ridge")
    monkeypatch.chdir(planted.parent)
    with pytest.raises(InputError) as caught:
        train.main(["plantd"])
    assert caught.value.remedy == "use the dataset planted"
    for command, words in ((predict, ["a", "--out", "o.csv"]), (bundle, ["--out", "o.zip"])):
        with pytest.raises(InputError) as caught:
            command.main(["one-9", *words])
        assert caught.value.remedy == "use the run ckpts/one-1"
    with pytest.raises(InputError, match=r"no run ckpts.other\n  expected: .*\n  try: jaxreg runs"):
        verify.main(["other"])
    typed = "jaxreg train --run=one-9 --resume plantd"
    assert remedy_of(typed, monkeypatch, capsys) == "jaxreg train --run=one-9 --resume planted"


def test_the_module_of_a_command_is_the_command() -> None:
    error = InputError("no dataset 'a'", instead=("a", "b c"))
    assert cli.retyped(["/x/jaxreg/train.py", "a", "--run", "a"], error) == (
        "jaxreg train 'b c' --run a"
    )
    assert cli.retyped(["jaxreg train", "c"], error) == ""
    assert cli.retyped(["jaxreg train", ""], InputError("nothing is meant")) == ""
