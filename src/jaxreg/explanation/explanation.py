"""What `explain` found: contributions of cells, their means, and findings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.common.files import safe_name
from jaxreg.explanation.changed_pictures import ChangedPictures
from jaxreg.explanation.choices import Method
from jaxreg.explanation.lattice import Lattice
from jaxreg.explanation.linear_parts import Parts
from jaxreg.explanation.place_search import FoundPlace
from jaxreg.verdict.finding import Finding

PAGE = "explanation.html"
"""The page in the folder."""


@dataclass(frozen=True, repr=False)
class Explanation:
    """Where in the pictures the predictions of a run come from.

    The numbers are in target units. With the method `exact`, the cells of an image, `others` and
    `intercept` add up to its prediction. With `occlusion`, the number of a cell is the prediction
    less the prediction with this cell hidden; there is no sum.
    """

    run: Path
    method: Method
    why: str  # why this method, in words
    lattice: Lattice
    ids: tuple[str, ...]  # of the images
    targets: tuple[str, ...]
    predictions: np.ndarray  # (images, targets) float64
    true: np.ndarray  # (images, targets) float64; NaN where the source has no number
    cells: np.ndarray  # (images, targets, rows, columns) float64
    others: dict[str, np.ndarray]  # by part without a place (images, targets); exact only
    intercept: np.ndarray | None  # (targets,); exact only
    findings: tuple[Finding, ...]
    found_places: dict[str, FoundPlace]  # by target: the places of the findings
    notes: tuple[str, ...]  # what could not be tested, in words
    unusable: int  # images that could not be used
    shown: tuple[int, ...]  # the images to draw
    numbers: tuple[int, ...]  # of each image among `pictures`
    pictures: ChangedPictures  # pixels
    seconds: float
    computed: int  # changed copies that the network computed
    out: Path | None = None  # the folder, if one was written

    def __repr__(self) -> str:
        found = f", {len(self.findings)} findings" if self.findings else ""
        return f"<explanation of {len(self)} images, {self.method}, {self.grid}{found}>"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def grid(self) -> str:
        """Rows and columns of the cells: 2x4."""
        return self.lattice.text

    @property
    def mean_signed(self) -> np.ndarray:
        """(targets, rows, columns): the mean contribution of each cell over the images."""
        return self.cells.mean(axis=0)

    @property
    def mean_absolute(self) -> np.ndarray:
        """(targets, rows, columns): the mean size of the contributions of each cell."""
        return np.abs(self.cells).mean(axis=0)

    @property
    def sum_error(self) -> float | None:
        """The largest difference between a sum and its prediction; None where there is no sum."""
        sums = Parts(self.lattice, self.cells, self.others, self.intercept).sums
        if sums is None:
            return None
        return float(np.abs(sums - self.predictions).max(initial=0.0))

    @property
    def table(self) -> pa.Table:
        """A row for each part of each prediction.

        Columns: id, target, part (`cell`, `intercept` or the name of what has no place), row and
        column of a cell from 0 at the top left, contribution, and the prediction.
        """
        images, targets, rows, columns = self.cells.shape
        place = np.indices((images, targets, rows, columns)).reshape(4, -1)
        parts: list[list[Any]] = [
            [place[0], place[1], ["cell"] * place.shape[1], place[2], place[3], self.cells.ravel()]
        ]
        others = dict(self.others)
        if self.intercept is not None:
            others["intercept"] = np.tile(self.intercept, (images, 1))
        which = np.indices((images, targets)).reshape(2, -1)
        for name, values in others.items():
            none = np.full(which.shape[1], -1)
            parts.append([*which, [name] * which.shape[1], none, none, values.ravel()])
        image, target, part, row, column, values = (
            np.concatenate([np.asarray(one[at]) for one in parts]) for at in range(6)
        )
        order = np.lexsort((column, row, target, image))  # stable: parts keep their order
        image, target, row, column = (one[order] for one in (image, target, row, column))
        outside = row < 0
        return pa.table(
            {
                "id": pa.array(np.array(self.ids, object)[image], pa.string()),
                "target": pa.array(np.array(self.targets, object)[target], pa.string()),
                "part": pa.array(part[order].tolist(), pa.string()),
                "row": pa.array(row, pa.int32(), mask=outside),
                "column": pa.array(column, pa.int32(), mask=outside),
                "contribution": values[order],
                "prediction": self.predictions[image, target],
            }
        )

    @property
    def lines(self) -> list[str]:
        """What a terminal shows of it."""
        count = f"{len(self)} image{'s' * (len(self) != 1)}"
        lines = [f"{self.method} ({self.why}): {count}, {self.grid} cells"]
        if self.intercept is None:
            rate = len(self) / self.seconds if self.seconds else 0.0
            lines[0] += f", {rate:.2g} images/s"
        if self.unusable:
            lines.append(f"{self.unusable} could not be used")
        lines += [f"{one.severity}: {one.code}: {one.evidence}" for one in self.findings]
        lines += [f"try: {one.remedy}" for one in self.findings]
        lines += [f"note: {note}" for note in self.notes]
        return lines if self.out is None else [*lines, f"the page: {self.out / PAGE}"]

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        copies = self.computed / self.seconds if self.seconds else 0.0
        return {
            "path": None if self.out is None else str(self.out),
            "run": str(self.run),
            "images": len(self),
            "drawn": len(self.shown),
            "failed": self.unusable,
            "method": self.method,
            "why": self.why,
            "grid": self.grid,
            "sum_error": self.sum_error,
            "findings": [self._finding(one) for one in self.findings],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "copies": self.computed,
            "copies_per_second": round(copies, 1),
        }

    def _finding(self, finding: Finding) -> dict[str, Any]:
        if self.out is None:
            return finding.to_json()
        places = [self.targets.index(name) for name in finding.targets or self.targets[:1]]
        return {
            **finding.to_json(),
            "page": str(self.out / PAGE),
            "pictures": [str(self.out / self.file_name("shortcut", at)) for at in places],
        }

    def file_name(self, start: str, target: int) -> str:
        """The name of a picture of a target in the folder."""
        if len(self.targets) == 1:
            return f"{start}.png"
        return f"{start}-{target + 1}-{_short(self.targets[target])}.png"

    def image_name(self, image: int, target: int) -> str:
        """The name of the picture of an image in the folder."""
        return self.file_name(f"images/{image + 1:05d}-{_short(self.ids[image])}", target)


def _short(name: str) -> str:
    """A name in that of a file."""
    return safe_name(name).encode()[:100].decode(errors="ignore")
