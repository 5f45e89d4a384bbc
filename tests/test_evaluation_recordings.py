"""`evaluate` on copies of recordings: darker, mirrored and relabelled, with a real network."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import jaxreg
from jaxreg.errors import UnavailableError
from jaxreg.sources import open_source
from jaxreg.sources.examples import Examples
from jaxreg.sources.pixels import decode, read

pytestmark = pytest.mark.slow

TARGETS = {"road": "steering", "tub": "user/angle"}

Pixels = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module", params=["road", "tub"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[Any, Examples, str]:
    """A run on a recording, the recording, and the name of the target."""
    folder = tmp_path_factory.mktemp(request.param)
    options: dict[str, Any] = {"weights": "random", "size": (75, 75), "layers": ("mixed5",)}
    source: Any = "road:600"
    if request.param == "tub":  # random weights do not learn its steering
        weights = request.getfixturevalue("trained_weights")
        options = {"weights": str(weights), "preset": "best", "preprocess": "unit"}
        source = request.getfixturevalue("tub")
    jaxreg.extract_features(source, name="drive", cache=folder / "cache", **options)
    target = TARGETS[request.param]
    trained = {"head": "ridge", "folds": 5, "target": target}
    run = jaxreg.train_head("drive", cache=folder / "cache", ckpts=folder / "ckpts", **trained)
    return run, open_source(source), target


def with_pixels(examples: Examples, change: Pixels) -> Examples:
    contents = map(read, examples.images)
    images = [np.ascontiguousarray(change(decode(content))) for content in contents]
    return dataclasses.replace(examples, images=images)


def with_targets(examples: Examples, name: str, change: Pixels) -> Examples:
    place = examples.columns.column_names.index(name)
    y = change(examples.columns[name].to_numpy().astype(np.float64))
    return dataclasses.replace(
        examples, columns=examples.columns.set_column(place, name, pa.array(y))
    )


def codes(found: Any) -> list[str]:
    return [finding.code for finding in found.findings]


def test_a_darker_copy_has_shifted_images(recording: Any) -> None:
    run, examples, _ = recording
    found = run.evaluate(with_pixels(examples, lambda rgb: rgb // 2))
    assert "images-shifted" in codes(found)
    [evidence] = [f.evidence for f in found.findings if f.code == "images-shifted"]
    assert "the new images are darker" in evidence


def test_a_mirrored_copy_is_reversed(recording: Any) -> None:
    run, examples, _ = recording
    found = run.evaluate(with_pixels(examples, lambda rgb: rgb[:, ::-1]))
    assert codes(found)[0] == "predictions-reversed"
    assert found.headline.startswith("far worse than promised")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda y: np.random.default_rng(0).permutation(y), {"targets-mismatched"}),
        (lambda y: 2 * y, {"targets-mismatched", "targets-shifted"}),
        (lambda y: y + 1.5 * y.std(), {"targets-mismatched", "targets-shifted"}),
    ],
    ids=["shuffled", "scaled", "moved"],
)
def test_a_relabelled_copy_is_named(recording: Any, change: Pixels, expected: set[str]) -> None:
    run, examples, target = recording
    found = run.evaluate(with_targets(examples, target, change))
    assert set(codes(found)) == expected
    assert found.headline.startswith("far worse than promised")
    assert found.trained == len(examples)


def test_a_held_out_part_of_the_same_drive_is_not_called_different(recording: Any) -> None:
    """The last fifth, which did not train."""
    run, examples, target = recording
    own = jaxreg.train_head(
        "drive",
        cache=run.cache,
        ckpts=run.path.parent,
        run="tail",
        head="ridge",
        split="tail",
        validation=0.2,
        target=target,
    )
    last = np.arange(len(examples) * 4 // 5 + len(examples) // 100, len(examples))
    part = dataclasses.replace(
        examples,
        ids=tuple(examples.ids[row] for row in last),
        images=[examples.images[row] for row in last.tolist()],
        columns=examples.columns.take(last),
        order=None if examples.order is None else examples.order[last],
        group=None if examples.group is None else tuple(examples.group[row] for row in last),
        paths=None if examples.paths is None else tuple(examples.paths[row] for row in last),
        rows=None,
        written={},
    )
    found = own.evaluate(part)
    assert found.trained == 0
    assert "images-shifted" not in codes(found)
    assert not found.far_worse


@pytest.mark.parametrize("recording", ["tub"], indirect=True)  # random weights are no file
def test_weights_that_are_gone(recording: Any, tmp_path: Path) -> None:
    run, examples, _ = recording
    gone = dataclasses.replace(run, config={**run.config, "weights_path": str(tmp_path / "gone")})
    new = with_pixels(examples, lambda rgb: rgb[::-1])
    with pytest.raises(UnavailableError) as raised:
        gone.evaluate(new, cache=tmp_path / "cache")
    assert raised.value.exit_code == 3
