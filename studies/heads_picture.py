"""The picture of the study of heads: `python studies/best_head.py … --picture FILE`."""

from collections.abc import Sequence
from pathlib import Path

COLORS = {"mlp": "#0072B2", "ridge": "#000000", "blend": "#D55E00", "kernel": "#009E73"}
MARKERS = "osD^vPX*"

Point = tuple[str, str, float, float]  # columns, head, seconds, error


def draw(points: Sequence[Point], path: Path) -> None:
    """A colour for each kind of head, a form for each choice of columns; the best are named."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    figure, axes = pyplot.subplots(figsize=(10, 5.5), layout="constrained")
    columns = list(dict.fromkeys(point[0] for point in points))
    forms = dict(zip(columns, MARKERS, strict=False))
    for where, head, seconds, mae in points:
        color = COLORS[_kind(head)]
        axes.scatter(seconds, mae, color=color, marker=forms[where], s=40, alpha=0.75, lw=0)
    for _, head, seconds, mae in _named(points):
        axes.annotate(head, (seconds, mae), xytext=(6, -3), fontsize=8, textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlabel("seconds, all five trainings")
    axes.set_ylabel("MAE on held-out blocks")
    axes.grid(alpha=0.3, which="both")
    handles = [
        Line2D([], [], ls="", marker="o", color=color, label=kind) for kind, color in COLORS.items()
    ]
    handles += [
        Line2D([], [], ls="", marker=form, color="#777777", label=where)
        for where, form in forms.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def _kind(head: str) -> str:
    return head.split()[0].rstrip(",")


def _named(points: Sequence[Point]) -> list[Point]:
    """The original head at its best and at its worst, and what nothing quicker was better than."""
    front = [one for one in points if not any(o[2] < one[2] and o[3] < one[3] for o in points)]
    original = sorted((one for one in points if "original" in one[1]), key=lambda one: one[3])
    return list(dict.fromkeys([*front, original[0], original[-1]]))
