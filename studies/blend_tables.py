"""Whether the blend is behind its parts: `python studies/blend_tables.py`.

    python studies/blend_tables.py                                   # made of numbers, drawn road
    python studies/blend_tables.py --tub FOLDER --weights FILE       # and a recording
    python studies/blend_tables.py --only "curved, 12"               # one of the tables

Each table is split into five folds. The three heads have the settings of `--preset best`: a ridge,
the MLP on 128 components, and the blend of both. The MAE is of all held-out rows together.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import jaxreg
from jaxreg.trained_run import TrainedRun
from made_tables import Table, made_tables, road_tables, tub_tables

MLP = {"learning_rate": 1e-3, "min_delta": 0.0}


@dataclass(frozen=True)
class Arguments:
    """Compare the blend with its parts on many tables."""

    cache: str = "cache-blend"  # folder of features; what is there is used
    tub: str | None = None  # a folder of DonkeyCar with the target user/angle
    weights: str = "random"  # for the tub, as for extract
    only: str = ""  # tables with this text in their names


def main(arguments: Arguments) -> None:
    """Make the tables that are missing, train on each, and print a line for each."""
    cache = Path(arguments.cache)
    tables = [*made_tables(cache), *road_tables(cache)]
    if arguments.tub:
        tables += tub_tables(cache, arguments.tub, arguments.weights)
    print("| table | rows | ridge | MLP | blend | behind the better part | share of the ridge |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for table in tables:
        if arguments.only in table.name:
            print(_line(table, cache), flush=True)


def scores_of(table: Table, cache: Path) -> tuple[float, float, float, list[float], int]:
    """The MAE of the ridge, of the MLP and of the blend; its shares by fold; the number of rows."""
    with tempfile.TemporaryDirectory() as folder:

        def run(name: str, **settings: Any) -> TrainedRun:
            asked = {**table.asked, **settings, "folds": 5, "cache": cache, "ckpts": folder}
            return jaxreg.train_head(table.dataset, run=name, **asked)

        blend = run("blend", head="blend", **MLP)
        ridge = run("ridge", head="ridge")
        mlp = run("mlp", head="mlp", components=blend.settings.components, **MLP)
        shares = [one["blend_share"][0] for one in blend.summary["members"]]
    maes = [one.summary["metrics"]["mae"] for one in (ridge, mlp, blend)]
    return maes[0], maes[1], maes[2], shares, blend.summary["rows"]["validation"]


def _line(table: Table, cache: Path) -> str:
    *found, shares, rows = scores_of(table, cache)
    behind = found[2] / min(found[:2]) - 1
    maes = " | ".join(f"{mae:.4g}" for mae in found)
    between = f"{min(shares):.2f} to {max(shares):.2f}"
    return f"| {table.name} | {rows} | {maes} | {behind:+.1%} | {between} |"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(tyro.cli(Arguments))
