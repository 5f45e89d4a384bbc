"""The catalogue's score: `PYTHONPATH=src:tests python -m faults.scoring [--tuning] [KIND …]`."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from faults.kinds import KINDS, Kind
from faults.made import HELD_OUT, TUNING, Shape, train
from jaxreg.verdict.judge import judge

STRENGTHS = 3
SEEDS = {"tuning": (100, 101, 102), "held-out": (11, 12, 13)}
SHAPES = {"tuning": TUNING, "held-out": HELD_OUT}


class Outcome(NamedTuple):
    kind: Kind
    strength: int
    seed: int
    codes: list[str]  # named, in order
    severities: list[str]
    healthy: bool
    headline: str

    @property
    def first(self) -> bool:
        return bool(self.codes) and self.codes[0] == self.kind.cause

    @property
    def named(self) -> bool:
        return self.kind.cause in self.codes


def outcome(kind: Kind, strength: int, seed: int, shape: Shape) -> Outcome:
    rng = np.random.default_rng([seed, strength])
    obs = train(kind.plant(kind.base(shape, seed), strength, rng))
    verdict = judge(obs)
    return Outcome(
        kind,
        strength,
        seed,
        [finding["code"] for finding in verdict["findings"]],
        [finding["severity"] for finding in verdict["findings"]],
        verdict["healthy"],
        verdict["headline"],
    )


def outcomes(
    half: str,
    names: Sequence[str] = (),
    strengths: Callable[[Kind], Sequence[int]] = lambda kind: range(STRENGTHS),
) -> Iterator[Outcome]:
    for name, kind in KINDS.items():
        if not names or name in names:
            for strength in strengths(kind):
                for seed in SEEDS[half]:
                    yield outcome(kind, strength, seed, SHAPES[half])


def table(results: Sequence[Outcome]) -> str:
    """How often the planted cause was named first, of the seeds; kinds by strengths."""
    lines = [f"{'kind':32} {'cause':24} weak  middle  strong"]
    for kind in {one.kind.name: one.kind for one in results}.values():
        cells = []
        for strength in range(STRENGTHS):
            some = [one for one in results if one.kind is kind and one.strength == strength]
            cells.append(f"{sum(one.first for one in some)}/{len(some)}" if some else "-")
        lines.append(f"{kind.name:32} {kind.cause:24} {cells[0]:5} {cells[1]:7} {cells[2]}")
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    half = "tuning" if "--tuning" in words else "held-out"
    names = [word for word in words if not word.startswith("--")]
    begin, results = time.perf_counter(), []
    for one in outcomes(half, names):
        results.append(one)
        if "--all" in words or not one.first:
            named = [f"{s}: {c}" for s, c in zip(one.severities, one.codes, strict=True)]
            verdict = "healthy" if one.healthy else ""
            print(one.kind.name, one.strength, one.seed, one.first, verdict, named)
            if "--lines" in words:
                print("   ", one.headline)
    print(table(results))
    great = [one for one in results if one.strength]
    share, seconds = np.mean([one.first for one in great]), time.perf_counter() - begin
    print(f"{half}: named first in {share:.1%} of {len(great)} at the two greater strengths")
    print(f"{seconds:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
