"""What a loaded run is made into, each by a package of its own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from jaxreg.artefact.export_run import Exported
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
            format: keras or savedmodel; by default what the name of `out` tells.
            overwrite: replace an artefact that is there.
            weights: a file, where the weights have moved.
            cache: the folder of datasets and features; by default the run's own.

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
