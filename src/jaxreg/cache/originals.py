"""The images that a dataset was made from, read again."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from jaxreg.cache.dataset_table import Dataset
from jaxreg.common.remote_file import is_url, located
from jaxreg.errors import JaxregError
from jaxreg.sources import open_source
from jaxreg.sources.examples import Image
from jaxreg.sources.pixels import UnusableImage, digest, read

DRAWN = "road"  # the kind of source that is opened without reading anything


class Originals:
    """The images of a dataset, where its source still has them.

    Args:
        dataset: the dataset.
        quick: read only what one local file or no file holds. Some sources, such as tables with
            images in them, must be opened as a whole to get one image, and URLs take time.
    """

    def __init__(self, dataset: Dataset, *, quick: bool = False) -> None:
        self.dataset, self.quick = dataset, quick
        names = dataset.table.column_names
        self.paths = dataset.table["path"] if "path" in names else None

    def read(self, row: int) -> bytes | np.ndarray:
        """The bytes or the array of the image of a row: from its path, else from its source.

        Raises:
            UnusableImage: it is gone, or has changed.
        """
        wanted = self.dataset.table["digest"][row].as_py()
        reason = "jaxreg reads this kind of source only as a whole"
        if self.paths is not None:
            path = self.paths[row].as_py() or ""
            if self.quick and is_url(path):
                raise UnusableImage("it is at a URL, and is not read again for this")
            try:
                return self._same(read(located(path)), wanted)
            except (UnusableImage, JaxregError) as error:
                reason = str(error)
        if self.quick and self.dataset.source["kind"] != DRAWN:
            raise UnusableImage(reason)
        images, places = self._opened
        place = places.get(self.dataset.table["id"][row].as_py())
        if place is None:
            raise UnusableImage(f"the source of {self.dataset.name} has lost images")
        return self._same(read(images[place]), wanted)

    def _same(self, content: bytes | np.ndarray, wanted: str) -> bytes | np.ndarray:
        if digest(content) != wanted:
            raise UnusableImage(f"images of {self.dataset.name} have changed since")
        return content

    @property
    def _opened(self) -> tuple[Sequence[Image], dict[str, int]]:
        """The images of the source, not read yet, and the place of each id among them."""
        if isinstance(self._source, str):
            raise UnusableImage(self._source)
        return self._source

    @cached_property
    def _source(self) -> tuple[Sequence[Image], dict[str, int]] | str:
        """What `_opened` returns, or the reason why there is none."""
        dataset = self.dataset
        if dataset.source["kind"] not in (DRAWN, "mnist") and "location" not in dataset.source:
            return f"{dataset.name} was made from images in memory, which cannot be read again"
        try:
            examples = open_source(dataset.opened, dataset.options, ranged=True)
        except JaxregError as error:
            return f"the source of {dataset.name} cannot be opened: {error}".splitlines()[0]
        return examples.images, {name: place for place, name in enumerate(examples.ids)}
