"""The predictions of a run for new examples, and what is known of the rows that trained it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.cache.cache_url import is_bucket
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.object_store import place_of
from jaxreg.cache.store import Cache
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.extraction.given_vectors import open_embeddings
from jaxreg.extraction.new_features import FeatureMaker, NewFeatures
from jaxreg.extraction.pipeline import Progress
from jaxreg.side_columns import Encoded, sentences
from jaxreg.sources.examples import Examples
from jaxreg.training.run_directory import RunDirectory
from jaxreg.training.run_recipes import weights_places

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


class KnownRows(NamedTuple):
    """The rows of a run."""

    dataset: Dataset  # the rows that have all features
    table: pa.Table  # predictions.parquet: a line for each of them, in their order
    trained: np.ndarray  # (rows,) bool: whether a row trained a head of the run


class NewPredictions(NamedTuple):
    """What a run says of new examples."""

    predictions: np.ndarray  # (examples, targets) float64, NaN where there is none
    features: NewFeatures
    maker: FeatureMaker  # that made them
    beside: Encoded  # the side columns of the examples
    known: KnownRows | None  # None for a bundle, or without the dataset of the run
    trained: np.ndarray  # (examples,) bool: whether an example trained a head of the run

    @property
    def store(self) -> Cache:
        """The cache that holds the new features."""
        return self.maker.cache

    @property
    def reasons(self) -> dict[int, str]:
        """Why there is no prediction, by number of the example."""
        return self.features.reasons


def predict_examples(
    run: "TrainedRun",
    examples: Examples,
    *,
    cache: str | Path | None,
    weights: str | None,
    embeddings: str | Sequence[str],
    say: Callable[[str], None],
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> NewPredictions:
    """Predict for examples; arguments and errors as of `TrainedRun.predict_table`."""
    given = [embeddings] if isinstance(embeddings, str) else embeddings
    id_column = examples.description.get("id_column")
    vectors = open_embeddings(str(run.path), run.features, given, id_column)
    folder = cache if cache is not None else run.cache
    if folder is None:
        folder = RunDirectory(run.path).cache()  # which names the places, or has found it now
    store = Cache(folder)
    if cache is None and is_bucket(store.root):  # a folder has been looked for
        store.check_there()
    if not store.store.exists(""):
        say(f"note: a new cache is made in {place_of(store.root)}")
    for note in examples.notes:
        say(f"note: {note}")
    beside = run.side.encode(examples.columns, examples.written)
    for text in sentences(beside, run.side, "rows"):
        say(f"note: {text}")
    for recipe in run.features.networks:
        if run.network is not None and recipe.quantized is not None:
            store.keep_quantized(recipe, run.network)
    maker = FeatureMaker(
        store,
        run.features,
        dtype=run.config["dtype"],
        weights=weights,
        places=weights_places(run.config),
        say=say,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    new = maker.make(examples, vectors)
    known = known_rows(run, store)
    trained = trained_examples(run, known, new.digests)
    if count := int(trained.sum()):
        what = "images" if run.features.networks else "rows"
        which = f"{count} of the {len(trained)} {what}" if len(trained) > 1 else f"the {what[:-1]}"
        say(f"note: this run was trained on {which}; errors on new {what} are larger")
    predictions = np.full((len(examples), len(run.targets)), np.nan)
    if len(new.rows):
        with step("predicting"):
            own = beside._replace(values=beside.values[new.rows])
            predictions[new.rows] = run.predict_encoded(new.x, own)
    return NewPredictions(predictions, new, maker, beside, known, trained)


def known_rows(run: "TrainedRun", store: Cache) -> KnownRows | None:
    """The rows of a run, if its dataset and predictions.parquet are there."""
    try:
        dataset, table = read_dataset(store, run.config["dataset"]), run.predictions
    except InputError:  # a bundle, or another cache
        return None
    if run.features.fingerprint(dataset) != run.config["dataset_sha256"]:
        return None
    # with folds each row that a fold holds out trains the heads of the others
    sides = ("train", "validation") if run.settings.folds else ("train",)
    trained = np.isin(table["split"].to_pylist(), sides)
    return KnownRows(dataset.having(run.features.digest_columns), table, trained)


def trained_examples(
    run: "TrainedRun", known: KnownRows | None, digests: Sequence[str | None]
) -> np.ndarray:
    """(examples,) whether the image or the vector of each trained a head of the run.

    Args:
        run: the run.
        known: its rows, as `known_rows` gives them; None: they are not known, so no example did.
        digests: as `ChosenFeatures.row_digests` has them.
    """
    if known is None:
        return np.zeros(len(digests), bool)
    own = run.features.row_digests(known.dataset)
    some = {digest for digest, used in zip(own, known.trained, strict=True) if used}
    return np.array([digest in some for digest in digests], bool)
