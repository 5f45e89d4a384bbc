"""Words that a command does not know get one message with what they mean."""

import shlex
from pathlib import Path

import pytest

from jaxreg import bundle, extract, predict, train
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.option_names import _MEANT, _NONE, options_of


def refused(main, words: str) -> InputError:
    with pytest.raises(InputError) as raised:
        main(shlex.split(words))
    return raised.value


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("road --lr 1e-3", "--learning-rate 1e-3"),
        ("road --lr=1e-3", "--learning-rate 1e-3"),
        ("road --bs 32 --quiet", "--batch-size 32"),
        ("road --batchsize 32", "--batch-size 32"),
        ("road --val_split .1", "--validation .1"),
        ("road --n-folds 5", "--folds 5"),
        ("road --random_state 3", "--seed 3"),
        ("road --hiden 64 32", "--hidden 64 32"),
        ("--lr 1e-3 road", "--learning-rate 1e-3"),
        ("road --scale-feature", "--scale-features"),
        ("road -e 3", "--epochs 3"),
        ("road --wd 0.1", "--weight-decay 0.1"),
        ("road --gpu 0", "set JAX_PLATFORMS=cpu or JAX_PLATFORMS=cuda before the command"),
        ("road --backbone vgg16", "give --backbone vgg16 to jaxreg extract"),
        ("road --ray local", "give --ray local to jaxreg extract"),
        ("road --zzzzzz", ""),
    ],
)
def test_an_unknown_option_of_train(words, remedy):
    error = refused(train.main, words)
    assert error.remedy == remedy
    option = next(word for word in words.split() if word.startswith("-")).partition("=")[0]
    assert error.found == f"jaxreg train has no option {option}"
    assert "jaxreg train --help" in error.expected


def test_an_unknown_option_of_other_commands():
    assert refused(predict.main, "r s --out-file x.csv").remedy == "--out x.csv"
    assert refused(extract.main, "road:3 --lr 1").remedy == "give --learning-rate 1 to jaxreg train"
    assert refused(extract.main, "road:3 --image-size 75 75").remedy == "--size 75 75"
    assert refused(bundle.main, "run -o x.zip").remedy == "--out x.zip"


def test_numbers_below_zero_are_values():
    error = refused(extract.main, "road:3 --range -5 -.1 --max-failed -1e-3 --nme x")
    assert error.found == "jaxreg extract has no option --nme"
    assert error.remedy == "--name x"


def test_every_alias_has_an_option_or_an_explanation():
    options = {option[2:] for option in options_of([train.TrainConfig], train.TrainArguments)}
    options |= {option[2:] for option in options_of([ExtractConfig, SourceOptions])}
    options |= {option[2:] for option in options_of([SourceOptions], predict.PredictArguments)}
    assert {meant for meant in _MEANT.values() if meant not in options | _NONE.keys()} == set()
    assert {name for name in _MEANT if name in options} <= {"name"}  # train calls it run


def test_files_of_a_glob_without_quotes(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my photos/more").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "c.png", "more/d.jpg"):
        Path("my photos", name).touch()
    here = "'my photos/a.jpg' 'my photos/b.jpg'"
    assert refused(extract.main, here).remedy == "put the glob in quotes: 'my photos/*.jpg'"
    error = refused(predict.main, f"run {here} 'my photos/c.png' --out x.csv")
    assert "there are 3 files: my photos/a.jpg" in error.found
    assert error.remedy == "put the glob in quotes: 'my photos/*'"
    error = refused(extract.main, f"{here} 'my photos/more/d.jpg'")
    assert error.remedy == "put the glob in quotes: 'my photos/**/*.jpg'"


def test_a_word_too_many_is_named():
    assert refused(train.main, "road --keep-going yes").found == "jaxreg train does not use yes"
    assert refused(extract.main, "a.csv b.csv").found == "jaxreg extract does not use b.csv"


def test_help_comes_first(capsys):
    with pytest.raises(SystemExit) as raised:
        train.main(["--lr", "--help"])
    assert raised.value.code == 0
    assert "--learning-rate" in capsys.readouterr().out
