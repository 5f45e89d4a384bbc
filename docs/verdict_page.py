"""docs/verdict.md, made from the catalogue.

The command: `python docs/verdict_page.py > docs/verdict.md`.
"""

from jaxreg.verdict.catalogue import CAUSES, PREPROCESSING, Cause

INTRODUCTION = """\
# The verdict

<!-- `python docs/verdict_page.py > docs/verdict.md` writes this page -->

Every run ends with a line that says whether it learns, and with findings. A finding has a code
that never changes, a severity, the evidence with its numbers, and a remedy, as a command where
there is one. `summary.json` holds them under `verdict`, and the report shows them. The page that
`jaxreg diagnose RUN` writes adds a picture to each.

A run is *healthy* if it has no finding of severity `error`, and if its validation MAE is below the
median predictor's by more than twice the bootstrap error of that difference. Neighbouring frames
have similar errors, so on sequences the bootstrap draws stretches of consecutive rows; a stretch is
as long as the square root of their number.

`error`: the run does not learn, or its score cannot be believed. `warning`: the run learns, and the
named change would help. `note`: worth knowing. Where a finding has two severities, the second is
for a run that does not learn. Among findings of the same severity, the verdict names the first on
this page first.

With several targets, each target is compared with its own baselines, and a run is healthy if every
target is. A check that uses errors or targets is made for each target. What is an error only where
the run does not learn is an error of the targets that it does not learn.
"""


def document() -> str:
    """The page, in Markdown."""
    return INTRODUCTION + "".join(map(_section, (*CAUSES, PREPROCESSING)))


def _section(cause: Cause) -> str:
    severity = cause.severity
    if cause.failing != severity:
        severity += f", {cause.failing} where it does not learn"
    return f"""
## {cause.code}

{severity[0].upper()}{severity[1:]}.{" Looked for in each target." if cause.per_target else ""}

- Measured: {cause.measures}.
- Threshold: {cause.threshold}.
- Origin: {cause.origin}.
- Remedy: {cause.remedy}.
"""


if __name__ == "__main__":
    print(document(), end="")
