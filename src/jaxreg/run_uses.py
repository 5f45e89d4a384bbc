"""What a loaded run is made into, each by a package of its own."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jaxreg.explanation.choices import IMAGES
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.examples import Examples

if TYPE_CHECKING:
    from jaxreg.artefact.export_run import Exported
    from jaxreg.explanation.explanation import Explanation
    from jaxreg.trained_run import TrainedRun


class RunUses:
    """A part of `TrainedRun`. A method imports what it needs when it is called."""

    def export(
        self,
        out: str | os.PathLike[str],
        *,
        format: str | None = None,
        overwrite: bool = False,
        weights: str | None = None,
        cache: str | Path | None = None,
    ) -> "Exported":
        """Write the run as a model that takes pixels and needs no jaxreg.

        The model is loaded again and compared with the run on 32 images before it takes its place.
        A README beside it says how to load it.

        Args:
            out: the file, or the folder of a SavedModel.
            format: keras, savedmodel, onnx or openvino; by default what the name of `out` tells.
            overwrite: replace an artefact that is there.
            weights: a file, where the weights have moved.
            cache: the folder or bucket of datasets and features; by default the run's own.

        Raises:
            InputError: the run cannot have this format, something is there already, or the model
                differs from the run by more than 1e-3 of a target's std; then nothing is written.
            UnavailableError: the weights are not to be found.

        >>> made = run.export("angle.keras")
        >>> made.path.name, made.images, made.max_difference < 1e-3
        ('angle.keras', 32, True)
        """
        from jaxreg.artefact.export_run import export_run

        run = cast("TrainedRun", self)
        asked = {"format": format, "overwrite": overwrite}
        return export_run(run, out, **asked, weights=weights, cache=cache)

    def explain(
        self,
        source: str | os.PathLike[str] | Examples,
        *,
        out: str | os.PathLike[str] | None = None,
        images: int = IMAGES,
        method: str | None = None,
        overwrite: bool = False,
        name: str | None = None,
        options: SourceOptions | None = None,
        cache: str | Path | None = None,
        weights: str | None = None,
        embeddings: str | Sequence[str] = (),
        say: Callable[[str], None] = lambda text: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> "Explanation":
        """Say where in the pictures the predictions come from.

        Args:
            source: as for `jaxreg explain`, or examples made in Python.
            out: a folder to make, with pictures, a table and a page; None: none.
            images: images to draw, spread evenly over the source. With `occlusion` only they are
                explained.
            method: `exact` takes a ridge on grids apart. `occlusion` covers cells in turn. None:
                exact where it can be.
            overwrite: replace a folder that `explain` made.
            name: of the source, for the command on the page.
            options: which columns a table has; those that are left out are the dataset's own.
            cache, weights, embeddings, say, should_stop: as `predict_table` takes them.

        Raises:
            InputError: the run has no pictures, the method cannot explain it, no image can be
                used, `out` is there already; and as `predict_table`.
            Stopped, UnavailableError: as `predict_table`.

        >>> found = run.explain("frames.csv")
        >>> found.method, found.grid, found.cells.shape
        ('exact', '2x3', (40, 1, 2, 3))
        >>> whole = found.cells.sum(axis=(2, 3)) + found.intercept
        >>> bool(abs(whole - found.predictions).max() < 1e-5)
        True
        """
        from jaxreg.explanation.explain_run import explain_run
        from jaxreg.explanation.explanation_folder import check_folder, write_folder
        from jaxreg.new_source import open_for_run

        run = cast("TrainedRun", self)
        folder = None if out is None else check_folder(out, overwrite=overwrite)
        examples = source
        if not isinstance(examples, Examples):
            examples = open_for_run(examples, options or SourceOptions(), run, cache)
        found = explain_run(
            run,
            examples,
            images=images,
            method=method,
            cache=cache,
            weights=weights,
            embeddings=embeddings,
            say=say,
            should_stop=should_stop,
        )
        if folder is None:
            return found
        given = name or ("SOURCE" if isinstance(source, Examples) else os.fspath(source))
        return write_folder(folder, found, given, should_stop)
