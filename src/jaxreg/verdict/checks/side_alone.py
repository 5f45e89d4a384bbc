"""Looks at what side columns bring to a run, and at what they reach without the images."""

import numpy as np

from jaxreg import metrics
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

REACHES = 1.05  # times the run's error: side columns below it reach the score alone
LEAST = 0.01  # of the error: a smaller gain is none
WITHOUT: dict[str, object] = {"side_columns": ()}


def side_columns_alone(obs: Observed) -> Evidence | None:
    """A ridge or a small tree on the side columns alone is as good as the run."""
    if obs.mae is None or not {"side", "side_tree"} <= obs.beside.keys():
        return None
    rows, y, runs = _known(obs)
    maes = {
        word: float(np.abs(obs.difference(obs.beside[name][rows], y)).mean())
        for name, word in [("side", "ridge"), ("side_tree", "small tree")]
    }
    word = min(maes, key=lambda name: maes[name])
    best = obs.beside["side" if word == "ridge" else "side_tree"][rows]
    kind, usual = obs.types[0], obs.median_for(rows)
    gain, error = metrics.bootstrap_gain(y, best, usual, runs, kind=kind)
    if maes[word] > REACHES * obs.mae or gain <= 2 * error:
        return None
    sentence = (
        f"a {word} on the side columns alone ({_names(obs)}) has an MAE of {maes[word]:.3g}, and "
        f"the run {obs.mae:.3g}: they reach the score without the {obs.noun}s. A column that is "
        "known only together with the target gives it away"
    )
    numbers = {"side": maes["ridge"], "side_tree": maes["small tree"], "run": obs.mae}
    return Evidence(sentence, WITHOUT, numbers)


def side_columns_gain(obs: Observed) -> Evidence | None:
    """What a ridge gains from the side columns. It is found in each run that has some."""
    if obs.ridge is None or "features" not in obs.beside:
        return None
    rows, y, runs = _known(obs)
    both, features = obs.ridge[rows], obs.beside["features"][rows]
    maes = [float(np.abs(obs.difference(one, y)).mean()) for one in (features, both)]
    gain, error = metrics.bootstrap_gain(y, both, features, runs, kind=obs.types[0])
    helps = gain > max(2 * error, LEAST * maes[0])
    less = f"{gain / maes[0]:.0%} less (the difference is {gain:.2g} ± {error:.1g})"
    sentence = (
        f"a ridge on the features alone has an MAE of {maes[0]:.3g}, and {maes[1]:.3g} with the "
        f"side columns ({_names(obs)}): " + (less if helps else "they bring nothing")
    )
    numbers = {"features": maes[0], "both": maes[1], "gain": gain, "gain_error": error}
    return Evidence(sentence, "" if helps else WITHOUT, numbers)


def _known(obs: Observed) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The validation rows that have the target, their targets, and which are neighbours in time."""
    there = ~np.isnan(obs.y[obs.validation]).any(axis=1)
    rows = obs.validation[there]
    return rows, obs.y[rows], None if obs.runs is None else obs.runs[there]


def _names(obs: Observed) -> str:
    return ", ".join(obs.side.names)
