"""A run that is stopped, killed or damaged goes on, or says why it cannot."""

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxreg
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, Stopped
from jaxreg.run_loading import load_states
from jaxreg.trained_run import TrainedRun
from jaxreg.training import checkpoint
from jaxreg.training.run_directory import RunDirectory
from planted_runs import digests_of, edit_dataset, history_of, predictions_of, run_quick, words


def test_a_stopped_run_resumes_to_the_same_bits(planted: Path) -> None:
    whole = run_quick(planted, run="whole")
    lines: list[str] = []
    with pytest.raises(Stopped, match="stopped after epoch 1"):
        run_quick(planted, run="cut", should_stop=lambda: True)
    cut = planted.parent / "ckpts" / "cut"
    assert not (cut / "summary.json").exists()
    resumed = jaxreg.train_head(cache=planted, run=cut, resume=True, say=lines.append)
    assert "resumed at epoch 1" in lines
    assert predictions_of(resumed.path) == predictions_of(whole.path)
    assert history_of(resumed.path) == history_of(whole.path)


def test_sigkill_and_resume_give_the_same_bits(planted: Path) -> None:
    whole = run_quick(planted, run="whole", epochs=400, patience=400)
    _kill_until_done(planted, "cut", whole, np.random.default_rng().uniform(0, 1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("after_an_epoch", [True, False])
def test_sigkill_at_eight_moments_gives_the_same_bits(planted: Path, after_an_epoch: bool) -> None:
    """Moments from the first epoch on, and from the start of the process on."""
    whole = run_quick(planted, run="whole", epochs=20_000, patience=20_000)
    rng, killed, runs = np.random.default_rng(), 0, 0
    while killed < 8:  # a run may end before its turn to be killed comes
        # one in each part of the time, so that eight are early, late and between in every run
        parts = rng.permutation(np.linspace(0, 1, 9)[:-1] + rng.uniform(0, 1 / 8, 8))
        moments = parts[killed:] * (1.5 if after_an_epoch else 6)
        killed += _kill_until_done(planted, f"cut-{runs}", whole, moments, after_an_epoch)
        runs += 1


def _kill_until_done(
    planted: Path, name: str, whole: TrainedRun, moments: np.ndarray, after_an_epoch: bool = True
) -> int:
    """Kill the same command again and again, `moments` seconds after its first epoch or its start,
    let it end at last, and compare it with a run that nobody killed. Returns how often it was."""
    epochs = str(whole.settings.epochs)
    command = [
        sys.executable, "-m", "jaxreg.train",
        *words(planted, "--run", name, "--patience", epochs, "--resume"),
    ]  # fmt: skip
    command[command.index("--epochs") + 1] = epochs
    killed = 0
    for seconds in moments:
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert child.stderr is not None
        if after_an_epoch:
            for line in child.stderr:
                if line.startswith("epoch"):
                    break
        with contextlib.suppress(subprocess.TimeoutExpired):  # what it says must not fill the pipe
            child.communicate(timeout=seconds)
        child.kill()
        child.communicate()
        if child.returncode != -signal.SIGKILL:
            break
        killed += 1
    subprocess.run(command, check=True, capture_output=True)
    cut = jaxreg.load_run(planted.parent / "ckpts" / name)
    assert predictions_of(cut.path) == predictions_of(whole.path)
    assert history_of(cut.path) == history_of(whole.path)
    jax.tree.map(np.testing.assert_array_equal, cut.params, whole.params)
    return killed


def _damage_the_latest(run: Path) -> None:
    latest = max(path for path in (run / "checkpoints").iterdir() if path.is_dir())
    block = max((p for p in latest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    block.write_bytes(block.read_bytes()[:-1])


def test_a_damaged_latest_checkpoint_falls_back_to_the_one_before(planted: Path) -> None:
    whole = run_quick(planted, run="whole")
    for _ in range(3):  # each ends after one more epoch
        with pytest.raises(Stopped):
            run_quick(planted, run="cut", resume=True, should_stop=lambda: True)
    cut = planted.parent / "ckpts" / "cut"
    _damage_the_latest(cut)
    lines: list[str] = []
    run_quick(planted, run="cut", resume=True, say=lines.append)
    assert any("is damaged; the one before it is used" in line for line in lines)
    assert predictions_of(cut) == predictions_of(whole.path)
    assert history_of(cut) == history_of(whole.path)


def test_the_only_checkpoint_damaged_begins_again_and_says_so(planted: Path) -> None:
    whole = run_quick(planted, run="whole")
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", should_stop=lambda: True)
    cut = planted.parent / "ckpts" / "cut"
    assert len(list((cut / "checkpoints").glob("*.json"))) == 1
    _damage_the_latest(cut)
    lines: list[str] = []
    run_quick(planted, run="cut", resume=True, say=lines.append)
    assert any("is damaged; training starts again" in line for line in lines)
    assert predictions_of(cut) == predictions_of(whole.path)


def test_a_checkpoint_of_another_format_is_refused(planted: Path, monkeypatch) -> None:
    with pytest.raises(Stopped):
        run_quick(planted, run="one", should_stop=lambda: True)
    monkeypatch.setitem(checkpoint.STATE_FORMAT, "mlp", 99)
    refused = r"of format \d+, by jaxreg 0[\s\S]*format 99, as jaxreg[\s\S]*"
    with pytest.raises(InputError, match=refused + "--overwrite"):
        run_quick(planted, run="one", resume=True)
    monkeypatch.setattr(checkpoint, "version", lambda _: "9.9")
    with pytest.raises(InputError, match=refused + r"pip install jaxreg==0\."):
        run_quick(planted, run="one", resume=True)


def test_a_finished_run_of_another_format_predicts_and_is_read(planted: Path, monkeypatch) -> None:
    whole = run_quick(planted, run="whole")
    x = jaxreg.load_features("planted", cache=planted)[0]
    expected = whole.predict_features(x)
    monkeypatch.setitem(checkpoint.STATE_FORMAT, "mlp", 99)
    np.testing.assert_array_equal(jaxreg.load_run(whole.path).predict_features(x), expected)
    states, history = load_states(RunDirectory(whole.path), pytest.fail)
    assert len(states) == 1
    assert len(history) == whole.summary["epochs"]


def test_a_checkpoint_of_another_run_is_refused(planted: Path) -> None:
    ckpts = planted.parent / "ckpts"
    for name, seed in [("one", 1), ("two", 2)]:
        with pytest.raises(Stopped):
            run_quick(planted, run=name, seed=seed, should_stop=lambda: True)
    shutil.rmtree(ckpts / "two" / "checkpoints")
    shutil.copytree(ckpts / "one" / "checkpoints", ckpts / "two" / "checkpoints")
    with pytest.raises(InputError, match=r"checkpoint .*000001 .*: --seed 1 there, 2 now"):
        run_quick(planted, run="two", seed=2, resume=True)


def test_a_run_on_another_recipe_is_refused(planted: Path) -> None:
    with pytest.raises(Stopped):
        run_quick(planted, run="one", should_stop=lambda: True)
    cache, digests = Cache(planted), digests_of(planted)
    other = Recipe(weights="random:1:v1", weights_tag="random1")
    cache.make_feature_set(other, None)
    column = Column()
    cache.add(
        other.feature_set, column, digests, cache.read(cache.feature_sets()[0], [column], digests)
    )
    first = next(name for name in cache.feature_sets() if name != other.feature_set)
    with pytest.raises(InputError, match=rf"--feature-set {first} there, {other.feature_set} now"):
        run_quick(planted, run="one", resume=True, feature_set=other.feature_set)


def test_a_checkpoint_of_other_shapes_is_refused(tmp_path: Path) -> None:
    record = {"settings": {"head": "mlp", "epochs": 1, "memory_limit": None}}
    checkpoints = checkpoint.Checkpoints(tmp_path, record)
    checkpoints.save(1, {"kernel": np.zeros((3, 2), np.float32)})
    checkpoints.wait()
    for other, message in [
        (np.zeros((3, 4), np.float32), r"\['kernel'\] of shape \(3, 2\)[\s\S]*shape \(3, 4\)"),
        (np.zeros((3, 2), np.float16), r"float32\n  expected: shape \(3, 2\) and float16"),
    ]:
        with pytest.raises(InputError, match=message):
            checkpoints.load({"kernel": other}, print)
    with pytest.raises(InputError, match="differ in which arrays there are"):
        checkpoints.load({"bias": np.zeros(2)}, print)


def test_resume_refuses_every_difference_by_name_but_more_epochs(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=3)
    for name, value in [("seed", 1), ("hidden", (8,)), ("epochs", 2), ("target", ("speed",))]:
        flag = "--" + name.replace("_", "-")
        with pytest.raises(InputError, match=flag):
            jaxreg.train_head(cache=planted, run=run.path, resume=True, **{name: value})
    longer = jaxreg.train_head(cache=planted, run=run.path, resume=True, epochs=12)
    assert longer.summary["epochs"] == 12
    assert predictions_of(longer.path) == predictions_of(run_quick(planted, run="two").path)


def test_resume_goes_on_with_the_features_it_began_with(planted: Path) -> None:
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", should_stop=lambda: True)
    edit_dataset(planted, feature_set="another-set", columns=(Column(layer="mixed2"),))
    run = jaxreg.train_head(cache=planted, run=planted.parent / "ckpts" / "cut", resume=True)
    assert run.summary["epochs"] == 12


def test_damaged_checkpoints_never_push_out_good_ones(planted: Path) -> None:
    cut = planted.parent / "ckpts" / "cut"
    for _ in range(3):
        with pytest.raises(Stopped):
            run_quick(planted, run="cut", resume=True, should_stop=lambda: True)
    for record in (cut / "checkpoints").glob("*.json"):
        record.write_text("{}")
    with pytest.raises(Stopped):  # begins anew, and what it saves must stay
        run_quick(planted, run="cut", resume=True, should_stop=lambda: True)
    assert sorted(path.name for path in (cut / "checkpoints").iterdir()) == [
        "000001",
        "000001.json",
    ]


def _names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_a_finished_run_keeps_its_last_checkpoint_and_a_stopped_run_two(planted: Path) -> None:
    cut = planted.parent / "ckpts" / "cut"
    for _ in range(3):
        with pytest.raises(Stopped):
            run_quick(planted, run="cut", resume=True, should_stop=lambda: True)
    assert _names(cut) == ["000002", "000002.json", "000003", "000003.json"]
    run_quick(planted, run="cut", resume=True)
    assert _names(cut) == ["000012", "000012.json"]


def test_resuming_a_finished_run_never_takes_its_only_checkpoint_away(
    planted: Path, monkeypatch
) -> None:
    run = run_quick(planted, run="one")

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoints, "_save", killed)
    jaxreg.train_head(cache=planted, run=run.path, resume=True)
    with pytest.raises(KeyboardInterrupt):
        jaxreg.train_head(cache=planted, run=run.path, resume=True, epochs=14)
    assert _names(run.path) == ["000012", "000012.json"]


def test_a_checkpoint_that_is_not_the_last_never_predicts_in_silence(planted: Path) -> None:
    """Put into the folder by hand: a finished run has only its last one."""
    with pytest.raises(Stopped):
        run_quick(planted, run="one", should_stop=lambda: True)
    run = planted.parent / "ckpts" / "one"
    shutil.copytree(run / "checkpoints", run.parent / "early")
    assert run_quick(planted, run="one", resume=True).summary["best_epoch"] > 2
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(run.parent / "early", run / "checkpoints")
    with pytest.raises(InputError, match="is not the one that this run ended with"):
        jaxreg.load_run(run)


def test_predicting_reads_the_head_alone(planted: Path) -> None:
    run = run_quick(planted, run="one")
    features = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)
    expected = run.predict_features(features)
    shutil.rmtree(run.path / "checkpoints" / "000012" / "training")
    again = jaxreg.load_run(run.path)
    np.testing.assert_array_equal(again.predict_features(features), expected)
    assert checkpoint.Checkpoints(run.path / "checkpoints", {}).damaged()
    for folder in ("", "000012", "000012/head"):
        (run.path / "checkpoints" / folder / ".DS_Store").write_bytes(b"a file manager's")
    once_more = jaxreg.load_run(run.path)
    np.testing.assert_array_equal(once_more.predict_features(features), expected)
    block = next((run.path / "checkpoints" / "000012" / "head").rglob("d/*"))
    block.write_bytes(block.read_bytes()[:-1])
    with pytest.raises(InputError, match="has no whole checkpoint"):
        jaxreg.load_run(run.path)


def test_a_save_takes_at_most_three_percent_of_the_time(tmp_path: Path, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: now[0])
    checkpoints = checkpoint.Checkpoints(tmp_path, {"settings": {"head": "mlp"}})
    state = {"kernel": np.zeros((1000, 1000), np.float32)}
    now[0] = 2.0
    assert not checkpoints.due(state)  # 0.03 s and 4 MB at 100 MB/s are 0.07 s: 2.33 s
    now[0] = 2.4
    assert checkpoints.due(state)
    write = checkpoints._keep_only

    def slow(kept: list[int]) -> None:
        write(kept)
        now[0] += 6.0

    monkeypatch.setattr(checkpoints, "_keep_only", slow)
    checkpoints.save(1, state)
    checkpoints.wait()
    now[0] = 2.4 + 199
    assert not checkpoints.due(state)
    now[0] = 2.4 + 201  # 6 s are 3% of 200 s
    assert checkpoints.due(state)


def test_a_damaged_checkpoint_pushes_out_no_whole_one(tmp_path: Path) -> None:
    record = {"settings": {"head": "mlp", "epochs": 1, "memory_limit": None}}
    state = {"kernel": np.zeros((3, 2), np.float32)}
    checkpoints = checkpoint.Checkpoints(tmp_path, record)
    for epoch in (10, 20):
        checkpoints.save(epoch, state)
    checkpoints.wait()
    (tmp_path / "000020.json").write_text("{}")
    again = checkpoint.Checkpoints(tmp_path, record)
    found = again.load(state, lambda text: None)
    assert found is not None
    assert found.epoch == 10
    again.save(30, state)
    again.wait()
    assert again.epochs() == [10, 30]
