"""The score of a sweep: heads chosen without a fold predict the fold."""

from dataclasses import replace

import numpy as np

from jaxreg.errors import Stopped
from jaxreg.experiment.members import Member, fit_ridge
from jaxreg.search.choice import Chosen, Plan
from jaxreg.search.head_stage import predicted
from jaxreg.search.trial_draws import numeric_of
from jaxreg.search.watch import Watch
from jaxreg.target_types import mean_over
from jaxreg.training.lanes import Lanes


def predict_fold(
    plan: Plan, chosen: Chosen, fold: int, capacities: tuple[int, int], watch: Watch
) -> np.ndarray:
    """Train what was chosen without a fold, as a run trains it, and predict the fold.

    Args:
        plan: of the sweep.
        chosen: by the rows outside the fold.
        fold: its number.
        capacities: of training and validation rows.
        watch: asked whether to stop.

    Returns:
        (rows, targets) for the rows of the fold, target units; NaN where no head stayed finite.

    Raises:
        Stopped: the watch said so.
    """
    sets = plan.sets
    folds = sets.base.folds
    rows = np.flatnonzero(folds[fold].labels == "test")
    members: list[Member] = []
    for settings in chosen.finalists:
        own = sets.of_trial(chosen.columns, settings, folds)[fold]
        config = own.config
        baseline = members[0].baseline if members else fit_ridge(own, in_fold=True)
        if baseline is not None and config.components is not None:
            baseline.solved.eigen.check(config.components)
        seeds = 1 if config.head == "ridge" else sets.asked.get("seeds", 1)
        for seed in range(config.seed, config.seed + seeds):
            its = replace(own, config=replace(config, seed=seed, seeds=1))
            members.append(Member(fold, seed, its, baseline))
    if members[0].config.head == "ridge":
        each = [predicted(member, rows) for member in members]
    else:
        lanes = Lanes(members, capacities)
        if not lanes.run(sets.base.config.epochs, should_stop=watch.ended):
            raise Stopped(f"stopped in fold {fold}")
        each = lanes.predict([rows] * len(members))
    finite = [one for one in each if np.isfinite(one).all()]
    return mean_over(sets.base.types, finite or each)


def shared_of(chosen: Chosen) -> dict[str, object]:
    """The settings that all finalists have in common: all, where there is only one."""
    first = dict(chosen.finalists[0])
    if len(chosen.finalists) == 1:
        return first
    return {name: value for name, value in first.items() if name not in numeric_of(first)}
