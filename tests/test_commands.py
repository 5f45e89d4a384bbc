"""The commands as a user meets them: what they import, print, and answer to bad input."""

import dataclasses
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import jaxreg
from jaxreg import extract, predict, verify
from jaxreg.arguments import parse as parse_words
from jaxreg.arguments import refuse_repeated_options
from jaxreg.cache.recipe import Column
from jaxreg.config_io import from_json
from jaxreg.errors import InputError, TooManyFailed, UnavailableError
from jaxreg.extract_config import FEATURES_PRESETS, ExtractConfig, SourceOptions
from jaxreg.merge_settings import merge

COMMANDS = ("extract", "train", "predict", "verify", "demo", "diagnose", "list", "runs")
HEAVY = ("tensorflow", "keras", "jax", "flax", "optax", "orbax", "sklearn", "matplotlib", "pyarrow")


def loaded_after(program: str, *, cwd: Path | None = None) -> set[str]:
    """Which packages a Python program has imported when it ends."""
    watch = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *{m.split('.')[0] for m in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", watch + program],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert "LOADED" in done.stdout, done.stderr
    return set(done.stdout[done.stdout.rindex("LOADED") :].split())


def test_importing_jaxreg_imports_nothing_heavy() -> None:
    assert not loaded_after("import jaxreg").intersection(HEAVY)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_light_and_fits_two_screens_and_shows_an_example(command: str) -> None:
    program = (
        f"import sys; sys.argv = ['x', '--help']\nfrom jaxreg import cli, {command}\n"
        f"cli.run_command({command}.main)"
    )
    assert not loaded_after(program).intersection(HEAVY)
    done = subprocess.run(
        [sys.executable, "-m", f"jaxreg.{command}", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert len(done.stdout.splitlines()) <= 130
    assert "None" not in done.stdout
    assert f"Example: jaxreg {command}" in " ".join(done.stdout.split())


def test_a_preset_of_features_goes_behind_what_is_said() -> None:
    def parse(*words: str) -> ExtractConfig:
        kinds = [SourceOptions, ExtractConfig]
        own, given = parse_words("extract", extract.ExtractArguments, kinds, ["photos.csv", *words])
        assert own.source == "photos.csv"
        asked = merge(preset=FEATURES_PRESETS.get(own.preset or ""), given=given)
        return from_json(ExtractConfig, asked)

    best = parse("--preset", "best")
    assert (best.layers, best.pool) == (("mixed2",), "grid:2x4")
    assert best.size == (150, 150)
    other = parse("--preset", "best", "--size", "native", "--layers", "mixed3")
    assert (other.layers, other.pool, other.size) == (("mixed3",), "grid:2x4", "native")
    assert parse().pool is None
    with pytest.raises(InputError, match="no preset 'bst'"):
        jaxreg.extract_features("photos.csv", preset="bst")  # pyright: ignore


def test_no_public_name_is_a_module_and_each_is_found_twice() -> None:
    for module in pkgutil.walk_packages(jaxreg.__path__, "jaxreg."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in set(jaxreg.__all__) - {"__version__"}:
        assert callable(getattr(jaxreg, name))
        assert getattr(jaxreg, name) is getattr(jaxreg, name)
    assert not set(jaxreg.__all__) & {m.name for m in pkgutil.iter_modules(jaxreg.__path__)}


@pytest.mark.parametrize("argv", [["--seed", "1", "--seed=2"], ["--x-y", "1", "--x_y", "2"]])
def test_an_option_given_twice_is_an_error(argv: list[str]) -> None:
    with pytest.raises(InputError, match="is given more than once"):
        refuse_repeated_options(argv)


def test_a_flag_and_its_opposite_are_one_option() -> None:
    with pytest.raises(InputError, match="--scale-target is given more than once"):
        refuse_repeated_options(["--scale-target", "--no-scale-target"])


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["extract", "nowhere.csv"], 2, "error: no"),
        (["extract", "road:10", "--weights", "none.h5"], 2, "none.h5"),
        (["extract", "road:10", "--size", "64", "64"], 2, "at least 75"),
        (["extract", "road:10", "--weights", "random", "--layers", "mixed11"], 2, "mixed11"),
        (["train", "nothing", "--cache", "none"], 2, "no dataset 'nothing'"),
        (["train", "--sede", "1"], 2, "--seed"),
        (["predict", "none", "x.jpg", "--out", "p.csv"], 2, "no run ckpts/none"),
        (["predict", "none", "x.jpg", "--out", "p.txt"], 2, "ends in .csv, .parquet, .jsonl"),
        (["predict", "none", "x.jpg"], 2, "error: --out is missing"),
        (["bundle", "none"], 2, "error: --out is missing"),
        (["verify", "--cache", "none"], 2, "no cache none"),
        (["list", "colours"], 2, "datasets"),
        (["runs", "none"], 2, "no folder none"),
        (["trian"], 2, "try: jaxreg train"),
        ([], 2, "usage: jaxreg COMMAND"),
    ],
)
def test_bad_words_get_one_message_and_no_traceback(
    tmp_path: Path, words: list[str], code: int, text: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jaxreg", *words], capture_output=True, text=True, check=False,
        cwd=tmp_path,
    )  # fmt: skip
    told = done.stderr + done.stdout
    assert done.returncode == code
    assert text in told
    assert "Traceback" not in told


# ---- extract and predict, with the real network on small images


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 40 images whose brightness is the target, and four that cannot be used."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    lines = ["file,brightness,camera"]
    for i in range(40):
        level = int(rng.integers(20, 235))
        noise = rng.integers(-20, 21, (90, 100, 3))
        Image.fromarray((level + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{level / 255:.4f},front")
    whole = (folder / "0.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    (folder / "page.png").write_text("<html></html>")
    (folder / "empty.png").touch()
    lines += [f"{name}.png,0.5,front" for name in ("half", "page", "empty", "absent")]
    (folder / "photos.csv").write_text("\n".join(lines) + "\n")
    return folder


def small(photos: Path, *more: str) -> list[str]:
    cache = str(photos / "cache")
    return ["--cache", cache, "--weights", "random", "--size", "75", "75", "--json", *more]


@pytest.fixture(scope="module")
def extracted(photos: Path) -> dict:
    """What `extract --json` printed for the good rows."""
    output = subprocess.run(
        [sys.executable, "-m", "jaxreg.extract", str(photos / "photos.csv"),
         *small(photos, "--max-failed", "0.1")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(output.stdout.splitlines()[-1])


def test_extract_says_what_it_did(photos: Path, extracted: dict) -> None:
    assert extracted.keys() == {
        "dataset", "feature_set", "columns", "images", "computed", "reused", "failed", "engine",
        "precision", "images_per_second", "seconds",
    }  # fmt: skip
    assert extracted["seconds"].keys() == {"start", "read", "compute", "write", "total"}
    counts = {name: extracted[name] for name in ("images", "computed", "reused", "failed")}
    assert counts == {"images": 40, "computed": 40, "reused": 0, "failed": 4}
    failed = (photos / "cache" / "datasets" / "photos.failed.csv").read_text().splitlines()
    assert failed[0] == "id,reason"
    assert [line.split(",")[0] for line in failed[1:]] == [
        "half.png", "page.png", "empty.png", "absent.png",
    ]  # fmt: skip
    table = pq.read_table(photos / "cache" / "datasets" / "photos.parquet")
    assert table.num_rows == 40
    assert {"id", "digest", "order", "path", "brightness", "camera"} <= set(table.column_names)


def test_the_second_extract_computes_nothing_and_loads_no_network(
    photos: Path, extracted: dict
) -> None:
    words = [str(photos / "photos.csv"), *small(photos, "--max-failed", "0.1")]
    program = f"from jaxreg import extract\nassert extract.main({words!r}) == 0"
    assert not loaded_after(program).intersection({"tensorflow", "keras", "jax", "flax"})


def test_renaming_and_moving_images_computes_nothing(
    photos: Path, extracted: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(40):
        (tmp_path / f"moved-{i}.png").write_bytes((photos / f"{i}.png").read_bytes())
    assert extract.main([str(tmp_path), "--name", "moved", *small(photos)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["computed"], told["reused"]) == (0, 40)


def test_too_many_failed_ends_with_4_after_writing_what_was_good(
    photos: Path, extracted: dict
) -> None:
    words = [str(photos / "photos.csv"), "--name", "strict", *small(photos)]
    with pytest.raises(TooManyFailed) as caught:
        extract.main(words)
    told, listed = caught.value, photos / "cache" / "datasets" / "strict.failed.csv"
    assert told.exit_code == 4
    assert told.found.startswith("4 of 44 images could not be used (half.png: broken PNG")
    assert "The dataset strict has the good rows: 40 rows. You can train on it." in told.found
    assert told.found.endswith(f"All reasons: {listed}")
    assert len(listed.read_text().splitlines()) == 1 + 4
    assert "max_failed" in told.expected
    assert extract.main([*words, *told.remedy.split()]) == 0  # 4 / 44 is below the 0.1 in it
    assert told.remedy == "--max-failed 0.1"
    assert pq.read_table(photos / "cache" / "datasets" / "strict.parquet").num_rows == 40


def test_another_dtype_in_a_column_is_refused(photos: Path, extracted: dict) -> None:
    words = [str(photos / "photos.csv"), *small(photos, "--dtype", "float16")]
    with pytest.raises(
        InputError, match=r"holds float32, and --dtype float16[\s\S]*--dtype float32"
    ):
        extract.main(words)


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image file"):
        extract.main([str(tmp_path / "empty"), "--weights", "random"])


@pytest.fixture(scope="module")
def run(photos: Path, extracted: dict) -> Path:
    """A head trained on the brightness of the photos."""
    return jaxreg.train_head(
        "photos", cache=photos / "cache", ckpts=photos / "ckpts", hidden=(8,), epochs=5
    ).path


def test_predict_gives_a_row_for_every_image_and_a_reason_for_every_gap(
    photos: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = []
    for suffix in ("csv", "parquet", "jsonl"):
        out = tmp_path / f"predictions.{suffix}"
        assert predict.main([str(run), str(photos / "photos.csv"), "--out", str(out)]) == 0
        tables.append(out)
    table = pq.read_table(tables[1])
    assert table.column_names == ["id", "prediction.brightness", "target.brightness", "reason"]
    assert table.num_rows == 44
    reasons = {
        i: r for i, r in zip(*(table[c].to_pylist() for c in ("id", "reason")), strict=True) if r
    }
    assert reasons.keys() == {"half.png", "page.png", "empty.png", "absent.png"}
    assert table["prediction.brightness"].null_count == 4
    lines = [json.loads(line) for line in tables[2].read_text().splitlines()]
    assert lines == table.to_pylist()
    assert tables[0].read_text().splitlines()[0] == ",".join(f'"{c}"' for c in table.column_names)
    # the same head on the same features as in training: the same numbers
    kept = pq.read_table(run / "predictions.parquet")
    by_id = dict(zip(*(kept[c].to_pylist() for c in ("id", "prediction.brightness")), strict=True))
    told = dict(zip(*(table[c].to_pylist() for c in ("id", "prediction.brightness")), strict=True))
    assert {name: told[name] for name in by_id} == by_id
    both = np.array([[told[name], known] for name, known in zip(
        *(table[c].to_pylist() for c in ("id", "target.brightness")), strict=True)
        if told[name] is not None], dtype=float)  # fmt: skip
    mae = np.abs(both[:, 0] - both[:, 1]).mean()
    assert f"; MAE {mae:.3g}, R² " in capsys.readouterr().err


def test_predict_of_nothing_usable_is_an_error_and_the_table_is_written(
    photos: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "none.csv"
    with pytest.raises(InputError, match=r"none of the 1 images can be used; .*half\.png: broken"):
        predict.main([str(run), str(photos / "half.png"), "--out", str(out)])
    assert len(out.read_text().splitlines()) == 2


def test_predict_without_anything_to_compute_loads_no_network(
    photos: Path, run: Path, tmp_path: Path
) -> None:
    words = [str(run), str(photos / "0.png"), "--out", str(tmp_path / "one.csv")]
    program = f"from jaxreg import predict\nassert predict.main({words!r}) == 0"
    assert not loaded_after(program).intersection({"tensorflow", "keras"})


def test_the_api_predicts_from_paths_bytes_and_arrays_alike(photos: Path, run: Path) -> None:
    path = photos / "3.png"
    array = np.array(Image.open(path))
    loaded = jaxreg.load_run(run)
    told = loaded.predict([path, str(path), path.read_bytes()])
    assert told.shape == (3, 1)
    assert (told == told[0]).all()
    for one in (array, array[None], Image.open(path)):
        np.testing.assert_allclose(loaded.predict(one), told[:1], rtol=1e-4)
    with pytest.raises(InputError, match=r"1 of 2 images cannot be used: .*half\.png \(broken PNG"):
        loaded.predict([path, photos / "half.png"])


def test_a_new_image_whose_weights_are_gone_is_exit_3(
    photos: Path, run: Path, tmp_path: Path
) -> None:
    loaded = jaxreg.load_run(run)
    gone = dataclasses.replace(
        loaded.features.networks[0], weights="0" * 64, weights_tag="00000000"
    )
    other = dataclasses.replace(
        loaded,
        features=dataclasses.replace(
            loaded.features,
            columns=((gone.feature_set, Column()),),
            recipes={gone.feature_set: gone},
        ),
    )
    with (
        pytest.warns(UserWarning, match="a new cache is made in "),
        pytest.raises(UnavailableError, match=r"cannot be found[\s\S]*--weights FILE"),
    ):
        other.predict([photos / "3.png"], cache=tmp_path / "cache")
    assert UnavailableError.exit_code == 3


def test_verify_names_damage_and_repair_sets_it_aside(
    photos: Path, extracted: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    cache = tmp_path / "cache"
    shutil.copytree(photos / "cache", cache)
    assert verify.main(["--cache", str(cache)]) == 0
    part = next((cache / "features").rglob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    assert verify.main(["--cache", str(cache)]) == verify.DAMAGED
    assert part.name in capsys.readouterr().err
    assert verify.main(["--cache", str(cache), "--repair"]) == 0
    assert not part.exists()
    assert part.with_name(part.name + ".bad").exists()
    (cache / "features" / extracted["feature_set"] / "feature_set.json").write_text("{}")
    assert verify.main(["--cache", str(cache)]) == verify.DAMAGED


def test_sigterm_in_extract_keeps_what_was_computed(tmp_path: Path) -> None:
    import signal

    cache = str(tmp_path / "cache")
    command = [
        sys.executable, "-m", "jaxreg.extract", "road:4000", "--weights", "random",
        "--size", "75", "75", "--cache", cache, "--batch-size", "8",
    ]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if "images/s" in line:
            break
    child.send_signal(signal.SIGTERM)
    _, text = child.communicate()
    assert child.returncode == 143
    assert "their features are kept" in text
    parts = list((tmp_path / "cache" / "features").rglob("part-*.parquet"))
    assert sum(pq.read_table(part).num_rows for part in parts) >= 8
    assert not (tmp_path / "cache" / "datasets").exists()


def test_a_broken_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m jaxreg --help | true", shell=True, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
