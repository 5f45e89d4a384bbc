"""The headline of a verdict: what learns, in one line, and as the head of a page."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxreg.train_config import TrainConfig
from jaxreg.verdict.finding import Compared, Finding

LEARNS, CHANCE, FAILS = "learning", "not clearly learning", "not learning"
SHOWN = 6  # learned targets that are listed; those that are not learned all are
FOLDS = 5


class Headline(NamedTuple):
    """What a verdict says first."""

    line: str  # whether the run learns, with the errors of its targets
    title: str  # the same as one short sentence; only a single target has its errors here
    text: str = ""  # why, or what more there is to say


def headline(
    compared: Mapping[str, Compared],
    healthy: Mapping[str, bool],
    error: Finding | None,
    with_error: Container[str],
) -> Headline:
    """Whether the run learns, its numbers, and why where it does not.

    Args:
        compared: the errors by target, of one training or of several.
        healthy: by target.
        error: the first finding of severity error.
        with_error: the targets that such a finding is about.
    """
    names = sorted(compared, key=lambda name: healthy[name])  # stable: the targets' own order
    if error is None:
        return _without_error(compared, names)
    wrong = tuple(name for name in compared if not healthy[name])
    why = error if error.targets == wrong else error.named()
    start = _start(compared, wrong, error, with_error)
    numbers = _numbers(compared, [name for name in names if compared[name].mae is not None])
    line = f"{start}: {numbers}" if numbers else start
    return Headline(line, start if len(compared) > 1 else line, why.evidence)


def is_chance(compared: Mapping[str, Compared]) -> bool:
    """Whether more rows would show that a target is learned after all."""
    return any(_kind(one) == CHANCE for one in compared.values())


def every_row(config: TrainConfig, units: int) -> dict[str, Any] | None:
    """The settings that score every row; None where this run cannot have folds, or has them.

    Args:
        config: of the run.
        units: how many parts of the rows its split can hold out.
    """
    tail = config.split == "tail"  # it has only one end
    if config.folds is not None or (units < 3 and not tail):  # one part trains, and one watches
        return None
    changed: dict[str, Any] = {"folds": FOLDS if tail else min(FOLDS, units)}
    if tail:
        changed["split"] = "blocks"
    return changed | ({"test": 0.0} if config.test else {})  # a fold is held out to the end too


def _start(
    compared: Mapping[str, Compared],
    wrong: Sequence[str],
    error: Finding,
    with_error: Container[str],
) -> str:
    """What is wrong. With several targets it names all that are not healthy."""
    several = len(compared) > 1
    if error.code == "split-leak":
        return f"not to be believed for {', '.join(wrong)}" if several else "not to be believed"
    failing = [name for name in wrong if not compared[name].learns]
    held_back = [name for name in wrong if compared[name].learns]
    if not several:
        return FAILS if failing else "learning, but held back"
    if not failing:
        return f"learning, but held back in {', '.join(held_back)}"
    chance = [n for n in failing if _kind(compared[n]) == CHANCE and n not in with_error]
    fails = [name for name in failing if name not in chance]
    kinds = [(FAILS, fails), (CHANCE, chance), ("held back in", held_back)]
    return ", ".join(f"{kind} {', '.join(some)}" for kind, some in kinds if some)


def _without_error(compared: Mapping[str, Compared], names: Iterable[str]) -> Headline:
    """Each kind of target with its numbers: not learned, perhaps learned, learned."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_kind(compared[name]), []).append(name)
    ordered = sorted(kinds.items(), key=_bad)
    parts = [f"{k}: {_numbers(compared, some, chance=k == CHANCE)}" for k, some in ordered]
    line = ". ".join([parts[0], *(part[:1].upper() + part[1:] for part in parts[1:])])
    doubt = _doubt(compared, kinds.get(CHANCE, []))
    if len(compared) == 1:
        [(kind, some)] = ordered
        return Headline(line, f"{kind}: {_numbers(compared, some)}", doubt)
    title = "; ".join(f"{kind} {_listed(compared, some)}" for kind, some in ordered)
    shown = _shown(compared, [name for _, some in ordered for name in some])
    shares = [f"{name} {_share(compared[name])} the median predictor" for name in shown]
    text = f"the MAE of each target: {'; '.join(shares)}"
    return Headline(line, title, f"{text}. {doubt}" if doubt else text)


def _doubt(compared: Mapping[str, Compared], names: Sequence[str]) -> str:
    """The errors of gains that may be chance, as a sentence."""
    several = len(compared) > 1
    gains = [f"{name} " * several + _plus_minus(compared[name]) for name in names]
    if not gains:
        return ""
    return f"The difference to the median predictor may be chance ({'; '.join(gains)})"


def _listed(compared: Mapping[str, Compared], names: Sequence[str]) -> str:
    shown = _shown(compared, names)
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _shown(compared: Mapping[str, Compared], names: Sequence[str]) -> list[str]:
    """The names without the learned ones after the first SHOWN."""
    learned = [name for name in names if compared[name].learns]
    return [name for name in names if name not in learned[SHOWN:]]


def _bad(entry: tuple[str, list[str]]) -> int:
    return (FAILS, CHANCE, LEARNS).index(entry[0])


def _kind(obs: Compared) -> str:
    if obs.learns:
        return LEARNS
    # a NaN where a prediction is not finite fails too
    return CHANCE if obs.gain >= -2 * obs.gain_error else FAILS


def _numbers(compared: Mapping[str, Compared], names: list[str], *, chance: bool = False) -> str:
    """The errors of some targets; each has its name if the run has several.

    `chance` adds the error of the gain, or a lower MAE would look like a contradiction.
    """
    shown = _shown(compared, names)
    named = [
        (f"{name} " if len(compared) > 1 else "") + _compared(compared[name], chance=chance)
        for name in shown
    ]
    rest = len(names) - len(shown)
    return "; ".join(named) + (f"; and {rest} more" if rest else "")


def _compared(obs: Compared, *, chance: bool) -> str:
    if obs.mae is None:
        return "has predictions that are not finite"
    text = f"MAE {obs.mae:.3g}, {_share(obs)} the median predictor ({obs.median_mae:.3g})"
    if obs.ridge_mae is not None:
        text += f", ridge reaches {obs.ridge_mae:.3g}"
    if chance:
        text += f"; this difference may be chance ({_plus_minus(obs)})"
    return text


def _plus_minus(obs: Compared) -> str:
    return f"{obs.gain:.2g} ± {obs.gain_error:.2g}"


def _share(obs: Compared) -> str:
    """`63% below`, `4.2 times`, or `against` where the median is perfect and no share exists."""
    if obs.mae is None:
        return "is not finite, against"
    if not obs.median_mae:
        return "against"
    share = obs.gain / obs.median_mae
    if abs(share) < 0.005:
        return "no better than"
    if share < -1:
        return f"{1 - share:.3g} times that of"
    return f"{share:.0%} below" if share > 0 else f"{-share:.0%} above"
