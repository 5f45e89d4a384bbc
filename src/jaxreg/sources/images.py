"""The files in a folder or of a glob, and images without numbers, for prediction."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jaxreg.common.remote_file import AnyFile
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.columns import no_columns
from jaxreg.sources.examples import Examples
from jaxreg.sources.kinds import is_image
from jaxreg.sources.naming import listed, natural_key

UNREAD = (".json", ".jsonl", ".xml", ".npy", ".mat", ".feather")
"""Suffixes of files that often hold the numbers of images, and that jaxreg does not read."""


@dataclass(frozen=True)
class Found:
    """The files in a folder, or those that match a pattern."""

    root: Path  # ids are paths below it
    images: list[Path]
    others: list[Path]
    links: list[str]  # folders that are links; they are passed over

    def open(self, kind: str, location: str, options: SourceOptions, remedy: str = "") -> Examples:
        """The images in natural order of their ids, with notes on all that is passed over.

        Raises:
            InputError: an option is for a table; `remedy` names one.
        """
        options.refuse_all_but("images without a table", remedy=remedy)
        examples = _examples(kind, self.images, self.root, location, options)
        return replace(
            examples, notes=(*said_of_others(self.others), *self._on_links(), *self._on_unread())
        )

    def _on_links(self) -> list[str]:
        if not self.links:
            return []
        count = len(self.links)
        return [
            f"passed over {count} linked folder{'s' * (count != 1)}: {listed(sorted(self.links))}"
        ]

    def _on_unread(self) -> list[str]:
        unread = sorted(path for path in self.others if path.suffix.lower() in UNREAD)
        return [
            f"{path} may hold numbers of the images, but jaxreg reads no {path.suffix}; "
            "to use them, write a .csv table of image names and numbers"
            for path in unread[:1]
        ]


def find_in_folder(folder: Path) -> Found:
    """Every file below `folder`. Hidden files and folders and macOS's `._*` files are left out."""
    files: list[tuple[Path, bool]] = []
    linked: list[str] = []
    folders = [str(folder)]
    while folders:
        for entry in _entries(folders.pop()):
            if not _holds(entry.is_dir):
                files.append((Path(entry.path), entry.is_symlink() or _holds(entry.is_file)))
            elif entry.is_symlink():
                linked.append(entry.name)
            else:
                folders.append(entry.path)
    return Found(folder, *_sorted_out(files), linked)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What a folder holds and does not hide; nothing if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []


def _holds(question: Callable[[], bool]) -> bool:
    """The answer of a question about a file; False where there is none, as of links in a circle."""
    try:
        return question()
    except OSError:
        return False


def find_matches(pattern: str) -> Found:
    """The files that match; ids are paths below the pattern's part before any wildcard."""
    paths = map(Path, glob.iglob(pattern, recursive=True))
    found = [(path, path.is_file() or path.is_symlink()) for path in paths if not path.is_dir()]
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts[:-1])
    return Found(Path(*fixed), *_sorted_out(found), [])


def open_image(file: Path, location: str, options: SourceOptions) -> Examples:
    """One image; its id is its file name."""
    return _examples("image", [file], file.parent, location, options)


def _sorted_out(files: Iterable[tuple[Path, bool]]) -> tuple[list[Path], list[Path]]:
    """The images among the files that are not hidden, and the files that are passed over.

    Args:
        files: each with whether it is a regular file or a link. A link to nothing whose name is
            that of an image is a failed image.
    """
    images, others = [], []
    for file, there in files:
        if not file.name.startswith("."):
            (images if there and is_image(file) else others).append(file)
    return images, others


def said_of_others(others: Iterable[AnyFile]) -> tuple[str, ...]:
    """A note that counts the files which are no images."""
    suffixes = Counter(file.suffix.lower() or "without a suffix" for file in others)
    if not suffixes:
        return ()
    kinds = listed(f"{count} {suffix}" for suffix, count in suffixes.most_common())
    count = suffixes.total()
    what = "1 file that is no image" if count == 1 else f"{count} files that are no images"
    return (f"passed over {what}: {kinds}",)


def _examples(
    kind: str, files: list[Path], root: Path, location: str, options: SourceOptions
) -> Examples:
    above = "" if root == Path() else os.path.join(root, "")  # relative_to takes 50 times as long
    by_name = {str(file).removeprefix(above).replace(os.sep, "/"): file for file in files}
    return images_by_name(kind, by_name, location, options)


def images_by_name(
    kind: str, by_name: Mapping[str, AnyFile], location: str, options: SourceOptions
) -> Examples:
    """Images without numbers, in natural order of the names that become their ids."""
    options.refuse_all_but("images without a table")
    named = sorted(by_name.items(), key=lambda pair: (natural_key(pair[0]), pair[0]))
    return Examples(
        ids=tuple(name for name, _ in named),
        images=[file for _, file in named],
        columns=no_columns(len(named)),
        description={"kind": kind, "location": location},
        paths=tuple(str(file) for _, file in named),
    )
