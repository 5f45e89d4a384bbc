"""`jaxreg log`: what the readers of TensorBoard and MLflow find of a run."""

import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.util import tensor_util

from jaxreg import log
from jaxreg.common.json_files import write_json
from jaxreg.errors import InputError, JaxregError
from jaxreg.tracking import tracker
from jaxreg.tracking.event_files import write_event_files
from jaxreg.tracking.logged_run import read_logged_run, read_logged_runs
from jaxreg.tracking.mlflow_runs import MlflowRuns
from tracked_runs import ODD, make_runs, odd_run

TO = ("--to", "tensorboard", "--out")


@pytest.fixture(scope="module")
def ckpts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def board(ckpts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after all runs were logged by one command."""
    folder = tmp_path_factory.mktemp("board")
    assert log.main([str(ckpts), *TO, str(folder)]) == 0
    return folder


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return found


def settings_of(events: EventAccumulator) -> dict[str, Any]:
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    own = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in own.items()}


def text_of(event: Any) -> str:
    content: Any = tensor_util.make_ndarray(event.tensor_proto).item()
    return content.decode()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_curves_are_those_of_history(ckpts: Path, board: Path) -> None:
    """Each member has its own folder, so that TensorBoard draws members over each other."""
    every = rows_of(ckpts / "folds" / "history.csv")
    places = {"one": rows_of(ckpts / "one" / "history.csv")}
    places |= {f"folds/fold-{k}": [r for r in every if r["fold"] == str(k)] for k in (0, 1)}
    for place, rows in places.items():
        assert len(rows) == 5
        events = read(board / place)
        for name in ("loss", "val_loss", "val_mae", "learning_rate"):
            found = events.Scalars(f"epoch/{name}")
            assert [one.step for one in found] == [int(row["epoch"]) for row in rows]
            expected = np.array([row[name] for row in rows], np.float32)
            np.testing.assert_array_equal([one.value for one in found], expected)
        times = [one.wall_time for one in events.Scalars("epoch/loss")]
        expected = np.cumsum([float(row["seconds"]) for row in rows[1:]])
        np.testing.assert_allclose(np.subtract(times[1:], times[0]), expected, atol=1e-5)
        summary = ckpts / place.split("/")[0] / "summary.json"
        assert times[-1] <= summary.stat().st_mtime


def test_scores_settings_text_and_plots(ckpts: Path, board: Path) -> None:
    summary = json.loads((ckpts / "one" / "summary.json").read_text())
    settings = json.loads((ckpts / "one" / "config.json").read_text())["settings"]
    events = read(board / "one")
    for tag, value in {
        "score/mae": summary["metrics"]["mae"],
        "test/r2": summary["test"]["r2"],
        "baseline/ridge/mae": summary["baselines"]["ridge"]["mae"],
        "rows/validation": summary["rows"]["validation"],
        "seconds/total": summary["seconds"]["total"],
    }.items():
        (found,) = events.Scalars(tag)
        assert found.value == np.float32(value)
    own = settings_of(events)
    assert own["hidden"] == "16 8"
    assert own["learning_rate"] == settings["learning_rate"]
    assert own["scale_target"] is True
    assert own["recipe.size"] == "299 299"
    assert "folds" not in own  # it is null
    (text,) = events.Tensors("verdict")
    said = text_of(text)
    assert summary["verdict"]["headline"] in said
    assert "random-weights" in said
    (image,) = events.Images("plots/curves")
    assert image.encoded_image_string == (ckpts / "one" / "plots" / "curves.png").read_bytes()


def test_several_targets_and_intervals(ckpts: Path, board: Path) -> None:
    two = json.loads((ckpts / "two" / "summary.json").read_text())
    (found,) = read(board / "two").Scalars("target/speed/baselines/median/mae")
    assert found.value == np.float32(two["by_target"]["speed"]["baselines"]["median"]["mae"])
    folds = json.loads((ckpts / "folds" / "summary.json").read_text())
    (found,) = read(board / "folds").Scalars("interval/coverage")
    assert found.value == np.float32(folds["intervals"]["coverage"])
    (found,) = read(board / "folds" / "fold-1").Scalars("score/mae")
    assert found.value == np.float32(folds["members"][1]["metrics"]["mae"])


def test_each_trial_of_a_sweep_is_a_row_of_hparams(ckpts: Path, board: Path) -> None:
    rows = rows_of(ckpts / "sweep" / "trials.csv")
    folders = sorted((board / "sweep" / "trials").iterdir())
    assert [int(folder.name.removeprefix("trial-")) for folder in folders] == [
        int(row["trial"]) for row in rows
    ]
    for folder, row in zip(folders, rows, strict=True):
        events = read(folder)
        (mae,) = events.Scalars("score/mae")
        assert mae.value == np.float32(row["mae"])
        own = settings_of(events)
        assert (own["stage"], own.get("fold", "")) == (row["stage"], row["fold"])
    record = json.loads((ckpts / "sweep" / "sweep.json").read_text())
    (optimism,) = read(board / "sweep").Scalars("sweep/optimism")
    assert optimism.value == np.float32(record["optimism"])


def test_odd_names_and_numbers(ckpts: Path, tmp_path: Path) -> None:
    run = odd_run(ckpts / "one", epochs=1500)
    logged = write_event_files(run, tmp_path)
    events = read(Path(logged.place))
    assert len(events.Scalars("epoch/loss")) == 1500
    for name, value in run.scores.items():
        (found,) = events.Scalars(name if "/" in name else f"score/{name}")
        with np.errstate(over="ignore"):
            np.testing.assert_equal(np.float32(found.value), np.float32(value))
    (about,) = events.Tensors("about")
    assert "a \\| b" in text_of(about)
    failed = read(Path(logged.place) / "trials" / "trial-0002")
    content = failed.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    assert metadata.parse_session_end_info_plugin_data(content).status == 2  # STATUS_FAILURE


def test_a_run_is_logged_once(ckpts: Path, tmp_path: Path, capsys: Any) -> None:
    words = [str(ckpts / "folds"), *TO, str(tmp_path), "--json"]
    for new in (True, False):
        assert log.main(words) == 0
        (told,) = json.loads(capsys.readouterr().out.splitlines()[-1])["runs"]
        assert (told["new"], told["place"]) == (new, str(tmp_path / "folds"))
        assert len([*tmp_path.rglob("events*")]) == 3
    (own,) = (tmp_path / "folds").glob("events*")
    own.unlink()  # as a kill before the end leaves it
    assert write_event_files(read_logged_run(ckpts / "folds"), tmp_path).new
    assert own.exists()
    again = shutil.copytree(ckpts / "one", tmp_path / "other" / "folds")
    with pytest.raises(InputError, match="another training") as refused:
        write_event_files(read_logged_run(again), tmp_path)
    assert "--overwrite" in refused.value.remedy
    write_event_files(read_logged_run(again), tmp_path, overwrite=True)
    assert len([*(tmp_path / "folds").rglob("events*")]) == 1
    assert len(read(tmp_path / "folds").Scalars("epoch/loss")) == 5


def test_what_is_no_finished_run_is_one_message(
    ckpts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(ckpts, tmp_path / "ckpts")
    (folder / "one" / "summary.json").unlink()
    (folder / "two" / "history.csv").write_text("epoch\n")
    config = json.loads((folder / "sweep" / "config.json").read_text())
    (folder / "sweep" / "config.json").write_text(json.dumps({**config, "format": 1}))
    for name, said in {
        "one": "one is not finished",
        "two": "history.csv is damaged",
        "sweep": "has format 1",
        "none": "no run",
    }.items():
        with pytest.raises(InputError, match=said):
            read_logged_run(folder / name)
    told: list[str] = []
    copied = shutil.copytree(folder / "folds", tmp_path / "copied")
    (run,) = read_logged_runs([folder, folder / "folds", copied], told.append)
    assert told.pop() == f"{copied} is left out: it is a copy of {folder / 'folds'}"
    assert run.name == "folds"
    assert [text.split(" is left out: ")[0] for text in told] == [
        str(folder / name) for name in ("one", "sweep", "two")
    ]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        write_event_files(run, tmp_path / "file")
    with pytest.raises(InputError, match="--uri with --to tensorboard"):
        log.main(["x", *TO, "y", "--uri", "z"])
    with pytest.raises(InputError, match="no RUN"):
        log.main([*TO, "y"])
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="tensorboard is not installed") as refused:
        write_event_files(run, tmp_path)
    assert refused.value.remedy == "pip install 'jaxreg[tensorboard]'"


def test_a_sweep_that_goes_on_is_refused(ckpts: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(ckpts / "sweep", tmp_path / "sweep")
    record = json.loads((folder / "sweep.json").read_text())
    del record["format"], record["sha256"]
    write_json(folder / "sweep.json", {**record, "finished": False})
    with pytest.raises(InputError, match=r"the sweep in .* is not finished") as refused:
        read_logged_run(folder)
    assert "--resume" in refused.value.remedy


def test_it_starts_without_tensorflow_and_jax(ckpts: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from jaxreg import log; log.main(sys.argv[1:]); "
        "print([name for name in ('tensorflow', 'jax', 'keras', 'mlflow') if name in sys.modules])"
    )
    words = [sys.executable, "-c", code, str(ckpts / "one"), *TO, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def uri(ckpts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database into which one command has logged all runs. MLflow puts files beside it."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
        assert log.main([str(ckpts), "--to", "mlflow"]) == 0
        yield f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def logged_in(client: Any, experiment: str, name: str = "") -> list[Any]:
    place = client.get_experiment_by_name(experiment)
    runs = client.search_runs([place.experiment_id])
    return [run for run in runs if name in ("", run.info.run_name)]


def test_mlflow_has_what_the_files_say(ckpts: Path, client: Any, tmp_path: Path) -> None:
    summary = json.loads((ckpts / "one" / "summary.json").read_text())
    (run,) = logged_in(client, "planted", "one")
    rows = rows_of(ckpts / "one" / "history.csv")
    for name in ("loss", "val_loss", "val_mae", "learning_rate"):
        found = client.get_metric_history(run.info.run_id, name)
        told = [(one.step, one.value) for one in sorted(found, key=lambda one: one.step)]
        assert told == [(int(row["epoch"]), float(row[name])) for row in rows]
    for name, value in {
        **summary["metrics"],
        "test/mae": summary["test"]["mae"],
        "baseline/ridge/r2": summary["baselines"]["ridge"]["r2"],
    }.items():
        assert run.data.metrics[name] == value
    assert run.data.params["hidden"] == "16 8"
    assert run.data.params["scale_target"] == "True"
    assert run.data.params["columns"] == "identity.mixed10.avg"
    tags = run.data.tags
    assert tags["jaxreg.healthy"] == str(summary["verdict"]["healthy"]).lower()
    assert tags["jaxreg.headline"] == summary["verdict"]["headline"]
    assert tags["jaxreg.version.jax"] == summary["provenance"]["versions"]["jax"]
    assert "random-weights" in tags["mlflow.note.content"]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "one")
    lasted = (run.info.end_time - run.info.start_time) / 1000
    assert lasted == pytest.approx(summary["seconds"]["total"], abs=2e-3)
    (dataset,) = run.inputs.dataset_inputs
    assert summary["provenance"]["dataset"].startswith(dataset.dataset.digest)
    assert dataset.dataset.name == "planted"
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    files = {"config.json", "summary.json", "history.csv", "predictions.parquet", "report.html"}
    assert kept == {*files, "plots"}
    for name in (*files, "plots/curves.png"):
        got = client.download_artifacts(run.info.run_id, name, str(tmp_path))
        assert Path(got).read_bytes() == (ckpts / "one" / name).read_bytes()


def test_mlflow_has_members_as_curves_and_trials_as_runs(ckpts: Path, client: Any) -> None:
    folds = json.loads((ckpts / "folds" / "summary.json").read_text())
    (run,) = logged_in(client, "planted", "folds")
    assert len(client.get_metric_history(run.info.run_id, "val_loss/fold-1")) == 5
    scores = client.get_metric_history(run.info.run_id, "member/mae")
    assert {one.step: one.value for one in scores} == {
        number: member["metrics"]["mae"] for number, member in enumerate(folds["members"])
    }
    (sweep,) = logged_in(client, "planted", "sweep")
    runs = logged_in(client, "planted")
    inside = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == sweep.info.run_id]
    rows = rows_of(ckpts / "sweep" / "trials.csv")
    inside.sort(key=lambda run: run.info.start_time)
    assert [run.info.run_name for run in inside] == [
        f"sweep-trial-{int(row['trial']):04d}" for row in rows
    ]
    assert [run.data.metrics["mae"] for run in inside] == [float(row["mae"]) for row in rows]
    assert len(runs) == len(rows) + 4


def test_mlflow_takes_odd_names_and_numbers(ckpts: Path, client: Any, uri: str) -> None:
    """Each name stands for one value; MLflow itself refuses what it does not allow."""
    run = odd_run(ckpts / "one", epochs=1001)
    made = MlflowRuns(uri).log(run, experiment="odd: <names>/..")
    found = client.get_run(made.place).data
    assert len(client.get_metric_history(made.place, "loss")) == 1001
    assert {*ODD.values()} <= {*found.metrics.values()}
    assert {*map(str, ODD.values())} <= {*found.params.values()}
    assert found.metrics["user/angle"] == 1.0
    assert found.metrics["Größe _m²_"] == 2.0
    assert (found.metrics["a_b"], found.metrics["a_b_2"]) == (3.0, 4.0)
    assert math.isnan(found.metrics["nan"])
    assert found.metrics["inf"] == sys.float_info.max  # MLflow has no infinity
    assert (len(found.params["long"]), found.params["long"][-1]) == (6000, "…")
    assert len(found.tags["jaxreg.headline"]) == 8000
    failed = logged_in(client, "odd: <names>/..", "one-trial-0002")
    assert [one.info.status for one in failed] == ["FAILED"]


def test_mlflow_has_a_run_once(
    ckpts: Path, client: Any, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, runs = odd_run(ckpts / "one"), MlflowRuns(uri)

    def killed(*words: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(client), "log_artifact", killed)
        with pytest.raises(KeyboardInterrupt):
            runs.log(run, experiment="once")
    (half,) = logged_in(client, "once")
    assert half.info.status == "KILLED"
    first = runs.log(run, experiment="once")
    assert (first.new, len(logged_in(client, "once", "one"))) == (True, 1)
    assert runs.log(run, experiment="once") == first._replace(new=False)
    client.update_run(first.place, "RUNNING")  # as SIGKILL leaves it
    second = runs.log(run, experiment="once")
    third = runs.log(run, experiment="once", overwrite=True)
    assert len({first.place, second.place, third.place}) == 3
    assert [one.info.run_id for one in logged_in(client, "once", "one")] == [third.place]
    assert len(logged_in(client, "once")) == 3  # with its two trials


@pytest.mark.parametrize(
    ("uri", "code", "said"),
    [
        ("http://127.0.0.1:1", 3, "MLflow at http://127.0.0.1:1: Connection refused"),
        ("mlflow.db", 2, "--uri mlflow.db"),
        ("file:runs", 2, "--uri file:runs"),
        ("foo://x", 2, "MLflow at foo://x: "),
        ("mysql+none://me:secret@host/x", 2, "MLflow at mysql+none://me:***@host/x: "),
    ],
)
def test_an_mlflow_that_cannot_be_had_is_one_message(
    uri: str, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(JaxregError) as refused:
        MlflowRuns(uri)
    assert refused.value.exit_code == code
    assert refused.value.found.startswith(said)
    assert "secret" not in str(refused.value)


def test_mlflow_that_is_absent_or_an_experiment_that_was_deleted(
    ckpts: Path, client: Any, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read_logged_run(ckpts / "one")
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(InputError, match=r"experiment gone .* was deleted"):
        MlflowRuns(uri).log(run, experiment="gone")
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="mlflow is not installed") as refused:
        MlflowRuns(uri)
    assert refused.value.remedy == "pip install 'jaxreg[mlflow]'"
