"""The pictures of an explanation as PNGs: cells in red and blue over an image."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patches import Rectangle

from jaxreg.explanation.explanation import Explanation
from jaxreg.explanation.place_search import FoundPlace
from jaxreg.report.plots import BLACK, BLUE, VERMILLION, figure, save, short_name, styled
from jaxreg.target_numbers import number_text

WIDTH = 4.0  # inches of a picture without its legend
TALLEST = 5.0  # inches
SIDE = 480  # pixels of the longest side of what is drawn below the cells
STRONGEST = 0.75  # of a cell's colour, at the largest number of the scale
LONGEST = 60  # letters of an id


def _colours() -> ListedColormap:
    """From blue, which lowers a prediction, through nothing to red, which raises it."""
    ends = np.array([[0, 0.32, 0.72], [0.82, 0.16, 0.08]])
    size = np.linspace(-1, 1, 255)
    colours = np.where(size[:, None] < 0, ends[0], ends[1])
    return ListedColormap(np.column_stack([colours, STRONGEST * np.abs(size)]))


def scale_of(values: np.ndarray) -> float:
    """The end of the scale for some contributions: nearly the largest, so one hides no other."""
    sizes = np.abs(values[np.isfinite(values)])
    return float(np.quantile(sizes, 0.995)) if len(sizes) and sizes.max() > 0 else 1.0


@styled
def overlay(
    rgb: np.ndarray, cells: np.ndarray, end: float, title: Sequence[str], legend: str
) -> bytes:
    """Draw cells over an image.

    Args:
        rgb: uint8 (height, width, 3).
        cells: (rows, columns); red above 0, blue below.
        end: the number with the strongest colour.
        title: lines above the image.
        legend: beside the scale.
    """
    drawing, axes = _picture(rgb, title)
    _cells(axes, cells, end)
    _scale(drawing, axes, end, legend)
    return _small(save(drawing))


@styled
def mean_map(explained: Explanation, target: int, rgb: np.ndarray, *, sizes: bool) -> bytes:
    """The mean contributions of the cells, or with `sizes` their mean size, over the mean image."""
    values = (explained.mean_absolute if sizes else explained.mean_signed)[target]
    count = f"{len(explained):,} images"
    title = f"mean size of the contributions, {count}" if sizes else f"mean contribution, {count}"
    drawing, axes = _picture(rgb, [title])
    end = scale_of(values)
    _cells(axes, values, end)
    name = explained.targets[target]
    legend = f"size for {short_name(name, 20)}" if sizes else _legend(name)
    _scale(drawing, axes, end, legend, 0.0 if sizes else -end)
    return _small(save(drawing))


@styled
def found_place(explained: Explanation, target: int, rgb: np.ndarray, found: FoundPlace) -> bytes:
    """The place of a finding on an image, and predictions with and without it."""
    drawing, (left, right) = figure((7.6, 3.6), ncols=2, width_ratios=(1.2, 1))
    _show(left, rgb, ["predictions follow this place"])
    height, width = rgb.shape[:2]
    rows, columns = found.place.pixels(height, width)
    at = columns.start - 0.5, rows.start - 0.5
    size = columns.stop - columns.start, rows.stop - rows.start
    left.add_patch(Rectangle(at, *size, fill=False, edgecolor=VERMILLION, lw=2.2))
    moved = found.moved
    right.scatter(moved.other, moved.moved, s=22, color=VERMILLION, lw=0, label="with the place")
    right.scatter(moved.other, moved.own, s=12, color=BLUE, lw=0, label="without")
    middle = float(np.mean(moved.other))
    right.axline((middle, middle), slope=1, color=BLACK, lw=1)
    right.set_xlabel("prediction for the other picture")
    right.set_ylabel(f"prediction of {short_name(explained.targets[target], 24)}", parse_math=False)
    right.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return _small(save(drawing))


def image_title(explained: Explanation, image: int, target: int) -> list[str]:
    """The lines above an image: its id, the prediction and the target."""
    values = explained.predictions[:, target]
    std = float(values.std())
    text = f"predicted {number_text(float(values[image]), std)}"
    true = explained.true[image, target]
    if not np.isnan(true):
        text += f", target {number_text(float(true), std)}"
    if len(explained.targets) > 1:
        text = f"{short_name(explained.targets[target], 30)}: {text}"
    return [short_name(explained.ids[image], LONGEST), text]


def _legend(target: str) -> str:
    return f"adds to {short_name(target, 24)}"


def legend_of(explained: Explanation, target: int) -> str:
    """What the scale of a picture shows."""
    return _legend(explained.targets[target])


def _picture(rgb: np.ndarray, title: Sequence[str]) -> tuple[Any, Axes]:
    height = min(TALLEST, max(1.0, WIDTH * rgb.shape[0] / rgb.shape[1]))
    drawing, axes = figure((WIDTH + 1.0, height + 0.25 * len(title) + 0.2))
    _show(axes, rgb, title)
    return drawing, axes


def _show(axes: Axes, rgb: np.ndarray, title: Sequence[str]) -> None:
    axes.imshow(rgb)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("\n".join(title), fontsize=9, loc="left", parse_math=False)


def _cells(axes: Axes, cells: np.ndarray, end: float) -> None:
    extent = (*axes.get_xlim(), *axes.get_ylim())
    axes.imshow(cells, _colours(), vmin=-end, vmax=end, extent=extent, interpolation="nearest")


def _scale(drawing: Any, axes: Axes, end: float, legend: str, low: float | None = None) -> None:
    mapped = ScalarMappable(Normalize(-end, end), _colours())
    low = -end if low is None else low
    bar = drawing.colorbar(mapped, ax=axes, fraction=0.05, pad=0.02, ticks=[low, 0, end])
    bar.ax.set_ylim(low, end)
    bar.ax.set_yticklabels([f"{value:.2g}" for value in (low, 0, end)], fontsize=8)
    bar.ax.set_ylabel(legend, fontsize=8, parse_math=False)
    bar.outline.set_linewidth(0.5)


def _small(png: bytes) -> bytes:
    """The same picture in 256 colours: a page holds many."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True)
    return out.getvalue()


def shrunk(rgb: np.ndarray) -> np.ndarray:
    """The image with a longest side of at most SIDE pixels."""
    from PIL import Image

    picture = Image.fromarray(rgb)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(picture)
