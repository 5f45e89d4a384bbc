"""`jaxreg train`: its words, its settings, its exit codes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxreg
from jaxreg import train
from jaxreg.arguments import parse as parse_words
from jaxreg.common import progress_line, steps
from jaxreg.common.json_files import write_json
from jaxreg.common.steps import Step
from jaxreg.config_io import from_json
from jaxreg.errors import InputError
from jaxreg.merge_settings import merge, preset_settings, read_settings
from jaxreg.train_config import TrainConfig
from planted_runs import history_of, predictions_of, run_quick, words


def test_a_preset_named_again_goes_on_with_its_own_run(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpts = str(planted.parent / "ckpts")
    best = ["--cache", str(planted), "--ckpts", ckpts, "--run", "one", "--preset", "best"]
    assert train.main([*best, "planted", "--hidden", "8", "--split", "tail", "--epochs", "2"]) == 0
    # planted's column is mixed10.avg, and the preset of features another
    note = "note: trained on identity.mixed10.avg; extract --preset best computes the features"
    assert note in capsys.readouterr().err
    assert train.main([*best, "--resume"]) == 0
    with pytest.raises(InputError, match="--head blend there, mlp now"):
        train.main([*best, "--resume", "--head", "mlp"])


def test_sigterm_saves_and_exits_with_143(planted: Path) -> None:
    command = [sys.executable, "-m", "jaxreg.train", *words(planted, "--run", "cut")]
    command[command.index("--epochs") + 1] = "100000"
    child = subprocess.Popen([*command, "--patience", "100000"], stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("epoch"):
            break
    child.send_signal(signal.SIGTERM)
    _, text = child.communicate()
    assert child.returncode == 143
    assert "stopped after epoch" in text
    assert "--resume" in text
    assert list((planted.parent / "ckpts" / "cut" / "checkpoints").glob("*.json"))


def test_a_config_file_repeats_a_run_and_flags_go_before_it(planted: Path) -> None:
    run = run_quick(planted, seed=3)
    again = ["planted", "--cache", str(planted), "--ckpts", str(planted.parent / "ckpts")]
    again += ["--config", str(run.path / "config.json")]
    assert train.main([*again, "--run", "again"]) == 0
    assert predictions_of(run.path.parent / "again") == predictions_of(run.path)
    assert train.main([*again, "--run", "other", "--seed", "4"]) == 0
    settings = jaxreg.load_run(run.path.parent / "other").settings
    assert (settings.seed, settings.hidden) == (4, (16, 8))


def parse(*words: str) -> TrainConfig:
    """The settings that a command line comes to, by the one merge."""
    own, given = parse_words("train", train.TrainArguments, [TrainConfig], words)
    file = None if own.config is None else read_settings(Path(own.config))
    asked = merge(preset=preset_settings(own.preset), file=file, given=given)
    return from_json(TrainConfig, asked)


def test_the_presets_are_the_programs_of_the_discussion() -> None:
    both = {
        "hidden": (512, 256, 128, 64), "dropout": 0.25, "huber_delta": 0.5, "batch_size": 32,
        "decay_steps": 100_000, "decay_rate": 0.95, "epochs": 100, "patience": 10,
        "min_delta": 0.0003, "validation": 0.2, "split": "tail", "scale_features": False,
        "scale_target": False,
    }  # fmt: skip
    question = vars(parse("--preset", "question"))
    assert question.items() >= {**both, "output_activation": "relu", "learning_rate": 0.1}.items()
    answer = vars(parse("--preset", "answer"))
    assert answer.items() >= {**both, "output_activation": "linear", "learning_rate": 1e-4}.items()
    best = vars(parse("--preset", "best"))
    assert best.items() >= {"head": "blend", "learning_rate": 1e-3, "min_delta": 0.0}.items()
    original = parse("--preset", "original")
    assert original == parse() == TrainConfig()


def test_a_flag_goes_before_config_before_preset_before_default(tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    settings = {"learning_rate": 0.2, "scale_target": True, "patience": 3}
    file.write_text(json.dumps({"format": 2, "settings": settings}))
    got = parse("--preset", "question", "--config", str(file), "--patience", "5", "--no-keep-going")
    assert (got.patience, got.keep_going) == (5, False)  # flags
    assert (got.learning_rate, got.scale_target) == (0.2, True)  # the file
    assert (got.output_activation, got.split) == ("relu", "tail")  # the preset
    assert got.epochs == 100  # the default
    with pytest.raises(InputError, match="no preset 'questoin'\n  expected: original or question"):
        preset_settings("questoin")


def test_a_dead_output_is_said_and_ends_it_with_5(planted: Path, capsys) -> None:
    options = ["planted", "--cache", str(planted), "--ckpts", str(planted.parent / "ckpts")]
    options += ["--preset", "question", "--run", "dead", "--json"]
    assert train.main(options) == train.DEAD
    told = capsys.readouterr()
    summary = json.loads(told.out.splitlines()[-1])
    last = len(history_of(planted.parent / "ckpts" / "dead")) - 1  # the first line is names
    assert f"warning: epoch {last}: " in told.err
    assert "the output is one constant, and no gradient can change it; it is over" in told.err
    codes = [finding["code"] for finding in summary["verdict"]["findings"]]
    assert "dead-output" in codes
    assert not summary["verdict"]["healthy"]
    assert train.main([*options, "--resume"]) == 0  # it is finished: nothing is trained again


@pytest.mark.parametrize("more", [[], ["--keep-going"]])
def test_a_loss_that_is_not_finite_stops_with_5_and_is_named(
    planted: Path, capsys, more: list[str]
) -> None:
    options = ["--json", "--run", "diverged", "--no-scale-features", "--huber-delta", "1e38", *more]
    wild = [w if w != "0.01" else "1e30" for w in words(planted, *options)]
    assert train.main(wild) == train.DEAD
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["verdict"]["findings"][0]["code"] == "non-finite"
    assert not told["verdict"]["healthy"]
    assert told["run"].endswith("diverged")
    assert told["epochs"] < 12


def test_resume_needs_a_run_and_a_finished_one_ends_with_0(planted: Path) -> None:
    with pytest.raises(InputError, match="--resume without --run"):
        run_quick(planted, resume=True)
    options = ["--run", "diverged", "--no-scale-features", "--huber-delta", "1e38"]
    wild = [w if w != "0.01" else "1e30" for w in words(planted, *options)]
    assert train.main(wild) == train.DEAD
    assert train.main([*wild, "--resume"]) == 0


@pytest.mark.parametrize(
    "settings", [{"epochs": "3"}, {"hidden": "8"}, {"dropout": True}, {"epochs": 3_000_000_000}]
)
def test_a_config_file_with_wrong_values_names_the_setting(
    planted: Path, tmp_path: Path, settings: dict
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"format": 2, "settings": settings}))
    with pytest.raises(InputError, match=f"--{next(iter(settings))} is"):
        train.main(["planted", "--cache", str(planted), "--config", str(file)])


def test_the_second_signal_exits_at_once() -> None:
    program = (
        "import os, signal, time\nfrom jaxreg import cli\n"
        "with cli.stop_signal() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGINT); assert stop()\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 130


def test_a_signal_while_a_csv_file_is_read_asks_to_stop() -> None:
    """Arrow would end its reading with an error, on which the command would blame the file."""
    program = (
        "import io, os, signal\nfrom pyarrow import csv\nfrom jaxreg import cli\n"
        "class Interrupted(io.BytesIO):\n"
        "    def read(self, size=-1):\n"
        "        os.kill(os.getpid(), signal.SIGINT); self.read = super().read\n"
        "        return self.read(size)\n"
        "with cli.stop_signal() as stop:\n"
        "    table = csv.read_csv(Interrupted(b'a\\n' + 10**6 * b'1\\n'))\n"
        "    assert stop() and len(table) == 10**6\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_config_file_that_is_not_settings_says_what_it_should_be(
    planted: Path, tmp_path: Path
) -> None:
    words = ["planted", "--cache", str(planted), "--config", str(tmp_path / "file.json")]
    with pytest.raises(InputError, match=r"no .*file.json\n  expected: a JSON file"):
        train.main(words)
    (tmp_path / "file.json").write_text('{"format": 2, "settings": [1]}')
    with pytest.raises(InputError, match=r"the settings in .* are \[1\]"):
        train.main(words)
    write_json(tmp_path / "file.json", {"asked": {"epochs": 9}})
    changed = (tmp_path / "file.json").read_text().replace(": 9", ": 6")
    (tmp_path / "file.json").write_text(changed)
    with pytest.raises(InputError, match="its SHA-256 is not that of its content"):
        train.main(words)


def test_the_last_epochs_of_one_fold_are_not_those_of_the_run(planted: Path) -> None:
    rows: list[dict] = []
    run = run_quick(planted, folds=3, patience=1, epochs=30, on_epoch=rows.append)
    epochs = sorted(member["epochs"] for member in run.summary["members"])
    assert epochs[-1] > epochs[-2]  # one fold goes on alone
    last = run.summary["members"][int(np.argmax([m["epochs"] for m in run.summary["members"]]))]
    text = train._epoch_text(rows[-1])
    assert text.startswith(f"epoch {epochs[-1]}/30 (only fold {last['fold']} seed 0): loss ")
    assert train._epoch_text(rows[0]).startswith("epoch 1/30 (mean of 3): loss ")


@pytest.mark.parametrize(
    ("seconds", "end"), [(0.0031, "3.1 ms"), (0.25, "250 ms"), (1.5, "1.50 s"), (123.4, "123.40 s")]
)
def test_short_epochs_are_told_in_milliseconds(seconds: float, end: str) -> None:
    scores = dict.fromkeys(("loss", "val_loss", "val_mae"), 0.5)
    text = train._epoch_text({"epoch": 1, "epochs": 2, "seconds": seconds, **scores})
    assert text.endswith(f", {end}")


def test_one_target_may_be_a_plain_string(planted: Path) -> None:
    assert run_quick(planted, target="speed").targets == ("speed",)


def test_a_new_run_with_resume_says_so(planted: Path) -> None:
    lines: list[str] = []
    run_quick(planted, run="typo", resume=True, say=lines.append)
    assert any(line.startswith("nothing to resume in") for line in lines)


class Begun(list[Step]):
    """The running steps; it keeps the names of all that began."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def append(self, one: Step) -> None:
        self.names.append(one.name)
        super().append(one)


def test_each_long_step_has_a_name(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Begun()
    monkeypatch.setattr(steps, "running", begun)
    assert train.main(words(planted)) == 0
    expected = [
        "importing", "importing JAX and reading the features", "solving the ridge",
        "compiling the head", "training", "predicting every row", "looking for causes",
        "drawing the report", "loading the run",
    ]  # fmt: skip
    assert [name for name in dict.fromkeys(begun.names) if name in expected] == expected
    assert not begun  # each has ended


def test_quiet_shows_no_step_and_no_epoch(
    planted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("AFTER", "EVERY", "REDRAWN"):
        monkeypatch.setattr(progress_line, limit, 0.001)
    with progress_line.shown():
        assert train.main(words(planted, "--quiet")) == 0
    told = capsys.readouterr().err
    assert [line for line in told.splitlines() if line.endswith(" …")] == []
    assert "epoch 1/12: " not in told


def test_the_last_line_is_what_to_type_next(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words(planted, "--run", "good")) == 0
    run = planted.parent / "ckpts" / "good"
    healthy = f"next: jaxreg predict {run} SOURCE --out predictions.csv"
    assert capsys.readouterr().err.splitlines()[-1] == healthy
    for silent in ("--quiet", "--json"):
        assert train.main(words(planted, silent)) == 0
        assert "next: " not in capsys.readouterr().err
    wrong = words(planted, "--learning-rate", "1e-9")
    wrong[wrong.index("0.01") - 1 : wrong.index("0.01") + 1] = []
    assert train.main([*wrong, "--run", "slow"]) == 0  # not healthy, and of no known cause
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"next: jaxreg diagnose {planted.parent / 'ckpts' / 'slow'}"
    places = ["--cache", str(planted), "--ckpts", str(planted.parent / "ckpts")]
    assert train.main(["planted", *places, "--preset", "question"]) == train.DEAD
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("try: jaxreg train planted")
    assert sum(lines[-1].removeprefix("try: ") in line for line in lines) == 1  # said once
