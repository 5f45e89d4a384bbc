"""The page of an explanation: findings, the mean map and the images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxreg.explanation.explanation import Explanation
from jaxreg.report.html_file import write_page


def write_explanation_page(
    path: Path, explained: Explanation, pictures: Mapping[str, bytes], command: str
) -> None:
    """Write the page.

    Args:
        path: of the page.
        explained: what was found.
        pictures: the PNGs by their names in the folder.
        command: that makes the explanation again.
    """
    findings = []
    for finding in explained.findings:
        target = explained.targets.index((finding.targets or explained.targets)[0])
        findings.append((finding.to_json(), pictures[explained.file_name("shortcut", target)]))
    maps = [
        (name, [pictures[explained.file_name(start, target)] for start in ("mean", "mean-size")])
        for target, name in enumerate(explained.targets)
        if len(explained) > 1
    ]
    images = [
        {
            "id": explained.ids[image],
            "target": name if len(explained.targets) > 1 else "",
            "predicted": float(explained.predictions[image, target]),
            "true": _number(explained.true[image, target]),
            "std": float(explained.predictions[:, target].std()),
            "picture": pictures[explained.image_name(image, target)],
        }
        for image in explained.shown
        for target, name in enumerate(explained.targets)
    ]
    write_page(
        path,
        "explanation/explanation.html.jinja",
        title=explained.run.name,
        subtitle="where the predictions come from",
        verdict={
            "healthy": None,
            "title": _title(explained),
            "text": "",
            "remedy": "",
            "findings": [],
        },
        findings=findings,
        maps=maps,
        images=images,
        several=len(explained.targets) > 1,
        exact=explained.method == "exact",
        others=bool(explained.others),
        facts_of=_facts(explained),
        notes=explained.notes,
        command=command,
    )


def _title(explained: Explanation) -> str:
    count = f"{len(explained):,} image{'s' * (len(explained) != 1)}"
    if explained.findings:
        return "a small place of the picture decides the predictions"
    return f"the predictions for {count}, part by part"


def _facts(explained: Explanation) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "method": f"{explained.method} ({explained.why})",
        "cells": f"{explained.grid.replace('x', ' x ')}, rows x columns",
        "images": f"{len(explained):,}, of which {len(explained.shown):,} are shown",
    }
    if explained.unusable:
        facts["not usable"] = f"{explained.unusable:,} images"
    if explained.intercept is not None:
        numbers = zip(explained.targets, explained.intercept.tolist(), strict=True)
        facts["intercept"] = ", ".join(f"{name}: {value:.4g}" for name, value in numbers)
        error = explained.sum_error or 0.0
        facts["largest error of a sum"] = f"{error:.2g}"
    for name, values in explained.others.items():
        facts[f"mean size of {name}"] = f"{abs(values).mean():.3g}"
    facts["seconds"] = f"{explained.seconds:.1f}"
    return facts


def _number(value: float) -> float | None:
    return None if value != value else float(value)
