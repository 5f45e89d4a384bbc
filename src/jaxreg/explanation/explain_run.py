"""Explain the predictions of a run for a source: from its images to contributions and findings."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jaxreg.backbone.int8 import some
from jaxreg.common.steps import step
from jaxreg.errors import InputError, Stopped, UnavailableError
from jaxreg.explanation.changed_pictures import ChangedPictures, hidden_copies, place_colours
from jaxreg.explanation.choices import IMAGES, METHODS, MOST, Method
from jaxreg.explanation.explanation import Explanation
from jaxreg.explanation.lattice import squares
from jaxreg.explanation.linear_parts import Parts, linear_parts, why_not_exact
from jaxreg.explanation.place_search import (
    READ,
    SAMPLE,
    FoundPlace,
    PlaceSearch,
    independent,
)
from jaxreg.extraction.pipeline import Progress
from jaxreg.new_predictions import predict_examples
from jaxreg.sources.columns import is_number
from jaxreg.sources.examples import Examples
from jaxreg.target_types import difference
from jaxreg.verdict.checks.small_place import FEWEST, INDEPENDENT, shortcut
from jaxreg.verdict.finding import Evidence, Finding
from jaxreg.verdict.image_causes import SHORTCUT

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def chosen_method(run: "TrainedRun", asked: str | None) -> tuple[Method, str]:
    """How the run is explained, and why so.

    Raises:
        InputError: no such method, or it cannot explain this run.
    """
    if asked is not None and asked not in METHODS:
        raise InputError(f"no method {asked!r}", expected=" or ".join(METHODS))
    if not run.features.networks:
        raise InputError(
            f"{run.path} is a run on embeddings, which have no picture",
            expected="a run on the features of images",
        )
    why = why_not_exact(run)
    if asked == "exact" and why:
        raise InputError(
            f"--method exact with {run.path}: {why}",
            expected="a ridge on grids, with plain targets",
            remedy="--method occlusion",
        )
    if asked is not None:
        return "exact" if asked == "exact" else "occlusion", "as asked for"
    if why:
        return "occlusion", why
    return "exact", "the run is a ridge on grids"


def explain_run(
    run: "TrainedRun",
    examples: Examples,
    *,
    images: int = IMAGES,
    method: str | None = None,
    cache: str | Path | None = None,
    weights: str | None = None,
    embeddings: str | Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Explanation:
    """Explain a run on a source.

    Args:
        run: the run.
        examples: the source.
        images: how many images are drawn, spread evenly over the source; with occlusion they alone
            are explained.
        method: `exact` or `occlusion`; None: exact where the run allows it.
        cache, weights, embeddings, say, on_progress, should_stop: as of `predict_table`.

    Raises:
        InputError: a run on embeddings alone, a method that cannot explain the run, fewer than one
            image, no image that can be used, or as of `predict_table`.
        Stopped: `should_stop` said so.
        UnavailableError: something must be computed and the weights are not to be found.
    """
    if images < 1:
        raise InputError(f"--images is {images}", expected="at least 1")
    how, why = chosen_method(run, method)
    begin = time.perf_counter()
    if not len(examples):
        name, reason = examples.unusable[0]
        raise InputError(f"no image can be used; the first: {name}: {reason}")
    rows = some(range(len(examples)), max(images, MOST if how == "exact" else SAMPLE))
    own = _rows(examples, rows)
    new = predict_examples(
        run,
        own,
        cache=cache,
        weights=weights,
        embeddings=embeddings,
        say=say,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    used = new.features.rows
    if not len(used):
        first = min(new.reasons)
        raise InputError(
            f"none of {len(own)} images can be used; the first: {own.ids[first]}: "
            f"{new.reasons[first]}"
        )
    pictures = ChangedPictures(run, own, new)
    predictions, true = new.predictions[used], _targets(run, own)[used]
    numbers = list(range(len(used))) if how == "exact" else some(range(len(used)), images)
    if how == "exact":
        with step("taking the ridge apart"):
            found = linear_parts(run, new)
    else:
        found = _occlusion(pictures, numbers, should_stop)
    places, findings, notes = _shortcuts(pictures, predictions, true, should_stop)
    return Explanation(
        run=run.path,
        method=how,
        why=why,
        **found._asdict(),
        ids=tuple(own.ids[used[number]] for number in numbers),
        targets=run.targets,
        predictions=predictions[numbers],
        true=true[numbers],
        findings=findings,
        found_places=places,
        notes=notes,
        unusable=len(own) - len(used),
        shown=tuple(some(range(len(numbers)), images)),
        numbers=tuple(numbers),
        pictures=pictures,
        seconds=time.perf_counter() - begin,
        computed=pictures.computed,
    )


def _rows(examples: Examples, rows: Sequence[int]) -> Examples:
    """Some of the examples."""
    if len(rows) == len(examples):
        return examples
    parts = {
        name: tuple(values[row] for row in rows)
        for name in ("ids", "group", "paths")
        if (values := getattr(examples, name)) is not None
    }
    places = np.array(rows)
    arrays = {
        name: values[places]
        for name in ("order", "rows")
        if (values := getattr(examples, name)) is not None
    }
    written = {name: text.take(pa.array(places)) for name, text in examples.written.items()}
    names = examples.columns.column_names  # there may be none, of which `take` would take no rows
    numbered = examples.columns.append_column("", pa.array(range(len(examples))))
    return replace(
        examples,
        **parts,
        **arrays,
        images=_Some(examples.images, rows),
        columns=numbered.take(pa.array(places)).select(names),
        written=written,
    )


def _targets(run: "TrainedRun", examples: Examples) -> np.ndarray:
    """(examples, targets) float64: the numbers of the source, NaN where it has none."""
    found = np.full((len(examples), len(run.targets)), np.nan)
    for at, name in enumerate(run.targets):
        if name in examples.columns.column_names:
            column = examples.columns[name]
            if is_number(column.type):
                found[:, at] = column.cast(pa.float64(), safe=False).to_numpy()
    return found


def _occlusion(
    pictures: ChangedPictures, numbers: Sequence[int], should_stop: Callable[[], bool]
) -> Parts:
    """The prediction less that with a cell hidden, for each cell of some pictures."""
    lattice = squares(*pictures.rgb(numbers[0]).shape[:2])
    places = lattice.places()
    colours = place_colours(pictures, numbers, places).mean(axis=0)
    cells = np.zeros((len(numbers), len(pictures.run.targets), *lattice))
    with step("hiding cells", len(numbers), "images") as counting:
        for at, number in enumerate(numbers):
            if should_stop():
                raise Stopped("stopped; nothing is written")
            each = pictures.predict(number, lambda rgb: hidden_copies(rgb, places, colours))
            effect = difference(pictures.run.types, each[:1], each[1:])
            cells[at] = effect.T.reshape(-1, *lattice)
            counting.reach(at + 1)
    return Parts(lattice, cells, {}, None)


def _shortcuts(
    pictures: ChangedPictures,
    predictions: np.ndarray,
    true: np.ndarray,
    should_stop: Callable[[], bool],
) -> tuple[dict[str, FoundPlace], tuple[Finding, ...], tuple[str, ...]]:
    """The places that predictions follow, the findings, and what could not be tested."""
    run = pictures.run
    sample = some(range(len(predictions)), SAMPLE)
    unknown = "nobody can say whether a small place decides"
    if len(sample) < FEWEST:
        return {}, (), (f"{unknown}: that needs {FEWEST} images",)
    places: dict[str, FoundPlace] = {}
    findings: list[Finding] = []
    notes: list[str] = []
    with step("looking for a place that decides"):
        for target, name in enumerate(run.targets):
            own = predictions[:, target]
            if independent(run.types[target : target + 1], own[sample]) < INDEPENDENT:
                notes.append(
                    f"{unknown} {name}: the images are too alike, as those of a short drive"
                )
                continue
            first, second = (
                PlaceSearch(pictures, half, predictions[half], target, should_stop)
                for half in (sample[::2], sample[1::2])
            )
            try:
                place = first.find()
            except UnavailableError as error:
                return {}, (), (f"{unknown}: {error.found}",)
            if place is None:
                continue
            known = true[:, target]
            read = some(range(len(known)), READ)
            values = known[read] if np.isfinite(known[read]).all() else own[read]
            tested = second.test(place, read, values)
            if (evidence := shortcut(tested.moved)) is not None:
                places[name] = tested
                findings.append(_finding(evidence, (name,) if len(run.targets) > 1 else ()))
    return places, tuple(findings), tuple(notes)


def _finding(evidence: Evidence, targets: tuple[str, ...]) -> Finding:
    remedy = str(evidence.remedy)
    numbers = dict(evidence.numbers)
    code, severity = SHORTCUT.code, SHORTCUT.severity
    return Finding(code, severity, evidence.sentence, remedy, numbers, targets).named()


class _Some(Sequence):
    """Some of the images, which may be read only when they are asked for."""

    def __init__(self, images: Sequence, rows: Sequence[int]) -> None:
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self.images[row] for row in self.rows[index]]
        return self.images[self.rows[index]]
