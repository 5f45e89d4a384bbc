"""Pages of made-up content, for tests of templates and of the browser."""

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from jaxreg.diagnosis.trials import Trial
from jaxreg.metrics import Scores
from jaxreg.report import plots, prediction_plots
from jaxreg.report.html_file import others
from jaxreg.report.run_content import GroupTable
from jaxreg.report.summary import Summary
from jaxreg.report.worst_rows import WorstRow

TARGETS = ("user/angle", "user/throttle")

LABELS = ("training", "validation")


def jpeg(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (160, 120), colour).save(file, "JPEG")
    return file.getvalue()


def history(epochs: int) -> dict[str, Any]:
    epoch = np.arange(1, epochs + 1)
    return {
        "epoch": epoch,
        "loss": 0.1 * np.exp(-epoch / 10) + 0.004,
        "val_loss": 0.08 * np.exp(-epoch / 12) + 0.009,
        "learning_rate": 1e-4 * 0.95 ** (epoch * 19 / 1000),
    }


@cache
def made_plots() -> dict[str, bytes]:
    """The three plots of a run."""
    rng = np.random.default_rng(5)
    true = rng.uniform(-1, 1, 400)
    predicted = 0.8 * true + rng.normal(0, 0.1, 400)
    split = rng.choice(["train", "validation", "left-out"], 400, p=[0.7, 0.25, 0.05])
    data = ("user/angle", true, predicted, split)
    return {
        "curves": plots.curves([history(60)], 48, LABELS),
        "predicted": prediction_plots.predicted_against_true(*data).png,
        "residuals": prediction_plots.residuals(*data),
    }


MODEL: Scores = {"mae": 0.11284, "rmse": 0.17, "r2": 0.7654, "spearman": 0.8812, "huber": 0.0143}


MEDIAN: Scores = {"mae": 0.30217, "rmse": 0.41, "r2": -0.04, "spearman": None, "huber": 0.0711}


MEAN: Scores = {"mae": 0.32, "rmse": 0.402, "r2": 0.0, "spearman": None, "huber": 0.0699}


RIDGE: Scores = {"mae": 0.1209, "rmse": 0.164, "r2": 0.78, "spearman": 0.87, "huber": 0.0131}


LINES = {"this model": MODEL, "ridge": RIDGE, "training median": MEDIAN, "training mean": MEAN}


SUMMARY = Summary(
    metrics=MODEL,
    test=MODEL,
    baselines={"mean": MEAN, "median": MEDIAN, "ridge": RIDGE},
    epochs=60,
    best_epoch=48,
    stopping_epoch_best=48,
    stopped_early=True,
    blend_share=None,
    by_target={TARGETS[0]: MODEL, TARGETS[1]: MEDIAN},
    members=None,
    members_mean=None,
    members_std=None,
    combined=None,
    dead=None,
    rows={"train": 12_760, "validation": 200, "test": 100, "left-out": 40},
    notes=["40 of 1000 rows lie beside a held-out block and were left out of training."],
    seconds={"load": 0.081, "compile": 3.4, "train": 21.25},
    verdict={
        "healthy": True,
        "headline": "learning: MAE 0.113, 63% below the median predictor (0.302)",
        "title": "learning: MAE 0.113, 63% below the median predictor (0.302)",
        "text": "",
        "remedy": "",
        "findings": [
            {
                "code": "inputs-unscaled",
                "severity": "warning",
                "evidence": "the features deviate by 0.0009",
                "remedy": "--scale-features",
            }
        ],
    },
    provenance={"versions": {"jax": "0.10.2", "flax": "0.12.8"}, "device": "cpu", "seed": 0},
)


def report_content() -> dict[str, Any]:
    """What `write_report` gives to the template."""
    pictures = made_plots()
    return {
        "title": "tub-3",
        "circular": False,
        "intervals": None,
        "interval_command": None,
        "units": [],
        "subtitle": "tub",
        "verdict": SUMMARY.verdict,
        "summary": SUMMARY,
        "findings": others(SUMMARY.verdict),
        "untrained": None,
        "scores": [
            ("user/angle, validation rows (200)", LINES),
            ("user/throttle, validation rows (200)", {"this model": MEDIAN}),
            ("all targets, test rows (100)", {"this model": MODEL, "training mean": MEAN}),
        ],
        "sweep": None,
        "members": [],
        "trainings": "",
        "groups": [
            GroupTable(
                "validation rows: the MAE of 2 groups",
                "place",
                ["this model", "ridge"],
                [("brick", 26, [0.59, 0.6]), ("chelsea", 1_020, [0.19, None])],
            )
        ],
        "diagnose": "jaxreg diagnose ckpts/tub-3",
        "provenance": SUMMARY.provenance,
        "curves_caption": "Grey: training",
        "run_facts": {
            "dataset": "tub",
            "source": {"kind": "tub", "where": "data/tub", "rows": 1000},
            "split": "blocks:10",
            "head": "MLP 512-256-128-64",
        },
        "settings": {
            "hidden": (512, 256),
            "learning_rate": 1e-4,
            "scale_target": True,
            "run": None,
        },
        "command": "jaxreg train tub --target user/angle user/throttle",
        "stds": dict.fromkeys(("user/angle", "user/throttle"), 0.2),
        "worst": [
            (
                f"{name}, {side} rows",
                name,
                [
                    WorstRow(
                        f"{i}_cam_image_array_.jpg",
                        0.5,
                        0.123456 + i,
                        None if i == 3 else jpeg((20 * i, 120, 250 - 20 * i)),
                        "no such file" if i == 4 else "",
                    )
                    for i in range(6)
                ],
            )
            for name, side in zip(TARGETS, ("validation", "test"), strict=True)
        ],
        "slices": [],
        "worst_slices": [],
        "slopes": {},
        "over_time": [],
        "suspects": [],
        "scored_all": False,
        "points": {},
        "pictures": "{}",
        "curves": pictures["curves"],
        "plots": [(name, pictures["predicted"], pictures["residuals"]) for name in TARGETS],
    }


def diagnosis_content() -> dict[str, Any]:
    """What `write_diagnosis` gives to the template; names and texts are long."""
    trial = Trial("overfit", "Can it <learn>?", "it can", {}, {"loss": np.ones(9)})
    finding = {
        "code": "output-bounded",
        "severity": "error",
        "evidence": "a <b> & c " * 20,
        "remedy": "jaxreg train " + "x" * 300,
        "numbers": {},
    }
    words = dict.fromkeys(("headline", "title", "text"), "not learning: " + "w" * 200)
    picture = made_plots()["curves"]
    return {
        "title": "run",
        "subtitle": "diagnosis of <data>",
        "verdict": {"healthy": False, **words, "remedy": "", "findings": [finding]},
        "lead_picture": picture,
        "run_facts": {"target": "y" * 200, "rows": "10 train, 2 validation"},
        "report": True,
        "findings": [(finding, False, picture)],
        "trials": [(trial, picture)],
        "columns": {
            "heads": ["MAE"],
            "lines": [("identity.mixed10.avg", [0.25]), ("z" * 200, [0.125])],
        },
        "command": "jaxreg diagnose run",
        "seconds": 1.0,
    }
