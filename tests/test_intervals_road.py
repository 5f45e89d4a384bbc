"""The coverage of intervals on drives of the drawn road that no head has seen."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

import jaxreg
from jaxreg.conformal import distribution, half_width
from jaxreg.extract_config import SourceOptions
from jaxreg.sources import open_source, pixels

pytestmark = pytest.mark.slow

DRIVES, LEVELS, DRAWS = 40, (0.5, 0.8, 0.9), 4


@pytest.fixture(scope="module")
def road() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (frames, 256), which are small grey pictures; steering; the number of the drive."""
    examples = open_source(f"road:{100 * DRIVES}")
    frames = range(0, 100 * DRIVES, 4)
    small = []
    for frame in frames:
        shown = pixels.decode(pixels.read(examples.images[frame])).astype(np.float32).mean(axis=2)
        small.append(shown.reshape(8, shown.shape[0] // 8, 32, -1).mean(axis=(1, 3)).ravel())
    steering = np.array(examples.columns["steering"].to_pylist())[frames]
    return np.array(small, np.float32), steering, np.arange(len(steering)) // 25


def test_new_drives_are_covered(
    road: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """A one-sided test at 1%, with Bonferroni's bound over the levels.

    The mean over the new drives must not be significantly below the level. The test lets drives
    count, not frames.
    """
    x, y, drive = road
    covered: dict[float, list[float]] = {level: [] for level in LEVELS}
    for draw in range(DRAWS):
        known = np.random.default_rng(draw).permutation(DRIVES)[: DRIVES // 2]
        rows, new = np.isin(drive, known), ~np.isin(drive, known)
        lines = [f"{i},drive {drive[i]},{y[i]:.9f}" for i in np.flatnonzero(rows)]
        table, vectors = tmp_path / f"road{draw}.csv", tmp_path / "x.npy"
        table.write_text("\n".join(["name,drive,steering", *lines]) + "\n")
        np.save(vectors, x[rows])
        jaxreg.extract_features(
            table,
            cache=tmp_path / "cache",
            options=SourceOptions(id_column="name"),
            embeddings=str(vectors),
            embeddings_name="grey",
        )
        run = jaxreg.train_head(
            f"road{draw}",
            cache=tmp_path / "cache",
            ckpts=tmp_path,
            target=("steering",),
            head="ridge",
            folds=5,
            split="group:drive",
        )
        told = run.predictions.to_pandas()
        both = (told[f"{part}.steering"].to_numpy(np.float64) for part in ("prediction", "target"))
        apart = np.abs(np.subtract(*both))
        units = np.unique(told["unit"], return_inverse=True)[1]
        errors = np.abs(run.predict_features(x[new])[:, 0] - y[new])
        for level in LEVELS:
            half = half_width(distribution(apart, units), level)
            if level == run.summary["intervals"]["level"]:
                assert run.summary["intervals"]["half_width"]["steering"] == half
            covered[level] += [(errors[drive[new] == d] <= half).mean() for d in set(drive[new])]
    for level, each in covered.items():
        error = np.std(each, ddof=1) / np.sqrt(DRIVES // 2)  # the draws share drives
        bound = student.ppf(1 - 0.01 / len(LEVELS), DRIVES // 2 - 1)
        print(f"level {level}: {np.mean(each):.3f} of the frames of new drives, error {error:.3f}")
        assert np.mean(each) > level - bound * error
