"""The headline of a verdict: one sentence that says what learns, with its numbers."""

from collections.abc import Iterable, Mapping, Sequence

from jaxreg.train_config import TrainConfig
from jaxreg.verdict.finding import Compared, Finding

LEARNS, CHANCE, FAILS = "learning", "not clearly learning", "not learning"
SHOWN = 6  # learned targets whose numbers are given; those that are not learned have them all


def headline(
    compared: Mapping[str, Compared],
    healthy: Mapping[str, bool],
    error: Finding | None,
    change: str,
    config: TrainConfig,
) -> str:
    """Whether the run learns, its numbers, and what to try where it does not.

    Args:
        compared: the errors by target, of one training or of several.
        healthy: by target.
        error: the first finding of severity error.
        change: what the findings of severity error ask for, in short.
        config: the settings of the run.
    """
    names = sorted(compared, key=lambda name: healthy[name])  # stable: the targets' own order
    if error is None:
        return _without_error(compared, names, config)
    wrong = tuple(name for name in compared if not healthy[name])
    why = error if error.targets == wrong else error.named()
    is_words = change.startswith(("-", "jaxreg"))
    tried = f". {'Try ' if is_words else ''}{change if is_words else _capital(change)}"
    numbers = _numbers(compared, [name for name in names if compared[name].mae is not None])
    start = _start(compared, wrong, error)
    text = f"{start}: {why.evidence}" + (tried if change else "")
    return text + (f" ({numbers})" if numbers else "")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _start(compared: Mapping[str, Compared], wrong: Sequence[str], error: Finding) -> str:
    """What is wrong. With several targets it names all that are not healthy."""
    several = len(compared) > 1
    if error.code == "split-leak":
        return f"not to be believed for {', '.join(wrong)}" if several else "not to be believed"
    failing = [name for name in wrong if not compared[name].learns]
    held_back = [name for name in wrong if compared[name].learns]
    if not several:
        return FAILS if failing else "learning, but held back"
    held = f"held back in {', '.join(held_back)}"
    if not failing:
        return f"learning, but {held}"
    return f"not learning {', '.join(failing)}" + (f", {held}" if held_back else "")


def _without_error(
    compared: Mapping[str, Compared], names: Iterable[str], config: TrainConfig
) -> str:
    """Each kind of target with its numbers: not learned, perhaps learned, learned."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_kind(compared[name]), []).append(name)
    parts = [
        f"{kind}: {_numbers(compared, some, chance=kind == CHANCE)}"
        for kind, some in sorted(kinds.items(), key=_bad)
    ]
    text = ". ".join([parts[0], *map(_capital, parts[1:])])
    if CHANCE not in kinds:
        return text
    return f"{text}; {_more(config)} would show whether it learns"


def _more(config: TrainConfig) -> str:
    """What tells more: folds that this run can have, else more rows."""
    if config.folds is not None:
        return "more rows"
    split = "--split blocks " if config.split == "tail" else ""  # a tail has only one end
    test = "--test 0 " if config.test else ""  # each fold is held out until the end already
    return f"{split}{test}--folds 5 scores every row and"


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
    learned = [name for name in names if compared[name].learns]
    shown = [name for name in names if name not in learned[SHOWN:]]
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
        text += f"; this difference may be chance ({obs.gain:.2g} ± {obs.gain_error:.2g})"
    return text


def _share(obs: Compared) -> str:
    """`63% below`, `4.2 times`, or `against` where the median is perfect and no share exists."""
    if not obs.median_mae:
        return "against"
    share = obs.gain / obs.median_mae
    if abs(share) < 0.005:
        return "no better than"
    if share < -1:
        return f"{1 - share:.3g} times that of"
    return f"{share:.0%} below" if share > 0 else f"{-share:.0%} above"
