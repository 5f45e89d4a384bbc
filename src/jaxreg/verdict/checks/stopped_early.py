"""Looks at the losses by epoch: a stop that came too soon, overfitting, a constant output."""

import jax.numpy as jnp
import numpy as np

from jaxreg.head import early_stopping
from jaxreg.target_numbers import number_text
from jaxreg.target_types import center_and_std
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import STAGES, STEPS

CONTINUED = 0.85  # of the run's validation loss: going on must get below it
RISES, FALLS = 1.1, 0.4  # validation and training loss since the best epoch
CONSTANT = 0.05  # of the targets' std: predictions that vary less are one constant
PATIENCE = 10  # the default's


def stopping_eager(obs: Observed) -> Evidence | None:
    """Early stopping ended a run that more steps improve."""
    probe, config = obs.probe, obs.config
    if probe is None or not obs.state.stopped or obs.has_decayed or obs.bounded:
        return None
    steps = obs.epochs * -(-len(obs.train) // config.batch_size)
    reached = float(probe.reached[probe.at(1.0)])
    if steps >= STAGES * STEPS or reached >= CONTINUED * probe.run:
        return None
    noise = float(np.abs(np.diff(obs.history["val_loss"])).mean()) if obs.epochs > 1 else 0.0
    if _stops(obs.history["val_loss"], config.patience):
        why = f"--patience {config.patience}"
        changed = {"patience": max(PATIENCE, 3 * config.patience)}
    else:
        why, least = f"--min-delta {config.thresholds[1]:g}", float(f"{probe.run / 1000:.1g}")
        changed = {"min_delta": least, "patience": max(PATIENCE, config.patience)}
    sentence = (
        f"{why} stopped the training after {steps} steps at a validation loss of {probe.run:.2g} "
        f"(which moves by {noise:.1g} from epoch to epoch); {STAGES * STEPS} steps reach "
        f"{reached:.2g}"
    )
    numbers = {"steps": steps, "reached": reached, "noise": noise}
    return Evidence(sentence, changed, numbers, targets=probe.improved(1.0, obs.targets))


def overfit_curve(obs: Observed) -> tuple[float, float] | None:
    """The last validation and training losses over those of the best epoch, if it overfits."""
    loss, validation = obs.history["loss"], obs.history["val_loss"]
    best = int(obs.state.best_epoch) - 1
    if best < 0 or best >= obs.epochs - 2:
        return None
    if not (np.isfinite(loss).all() and np.isfinite(validation).all()) or not validation[best]:
        return None
    rises, falls = (float(part[-3:].mean() / part[best]) for part in (validation, loss))
    return (rises, falls) if rises > RISES and falls < FALLS else None


def stuck_at_median(obs: Observed) -> Evidence | None:
    """The predictions are one constant, no better than the median."""
    if obs.learns or obs.mae is None:
        return None
    pred, y = obs.predictions[obs.validation, 0], obs.y[obs.validation, 0]
    (_, [std]), (mean, [own]) = (center_and_std(obs.types, values[:, None]) for values in (y, pred))
    if not std:  # no prediction can vary as such targets do
        return None
    share = own / std
    if share > CONSTANT:
        return None
    sentence = (
        f"the std of the predictions is {share:.1%} of that of the targets; their mean is "
        f"{number_text(float(mean[0]), std)}, and the training median is "
        f"{number_text(float(obs.median[0]), std)}"
    )
    return Evidence(sentence, obs.diagnose, {"share": share})


def _stops(values: np.ndarray, patience: int) -> bool:
    """Whether early stopping would have ended this series without --min-delta."""
    state = early_stopping.start()
    for value in values / (values.max() or 1.0):  # float32 holds the ratios of any unit
        state, stop = early_stopping.update(state, jnp.float32(value), patience, 0.0)
        if stop:
            return True
    return False
