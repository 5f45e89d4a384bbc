"""docs/verdict.md, made from the catalogue.

The command: `python docs/verdict_page.py > docs/verdict.md`.
"""

from jaxreg.verdict.catalogue import EVERY_CAUSE
from jaxreg.verdict.cause import Cause
from jaxreg.verdict.observation import WORSE_THAN_RIDGE

INTRODUCTION = f"""\
# The verdict

<!-- `python docs/verdict_page.py > docs/verdict.md` writes this page -->

Every run ends with a verdict: a line that says whether the head learns, and findings. This page
lists all findings. A finding has

- a code, which never changes
- a severity
- evidence, with its numbers
- a remedy, mostly a command to copy

`summary.json` holds them under `verdict`, and the report shows them. The page that
`jaxreg diagnose RUN` writes adds a picture to each.

## Healthy

A run is *healthy* if two things hold:

- No finding has the severity `error`.
- The validation MAE is lower than that of the median predictor, by more than twice the bootstrap
  error of the difference.

Neighbouring frames have similar errors. So on sequences the bootstrap draws stretches of
consecutive rows. The length of a stretch is the square root of the number of rows.

With several targets, jaxreg compares each target with its own baselines. The run is healthy if
every target is. If a finding is an error only for a head that does not learn, it is an error for
the targets that the head does not learn.

## Severities

| severity | meaning |
|---|---|
| `error` | the head does not learn, or nobody can trust its score |
| `warning` | the head learns, and the remedy would improve it |
| `note` | worth knowing |

If several findings have one severity, the verdict names them in the order of this page.

## Words of this page

- A run is *behind* if it does not learn, or if its error is more than {WORSE_THAN_RIDGE:g}
  times that of a ridge.
- Origin says where a threshold comes from. *Planted faults* means that one half of the
  [catalogue of planted faults](verdict-score.md) decided it.
"""


def document() -> str:
    """The page, in Markdown."""
    return INTRODUCTION + "".join(map(_section, EVERY_CAUSE))


def _section(cause: Cause) -> str:
    severity = cause.severity
    if cause.failing != severity:
        severity += f"; {cause.failing} if the head does not learn"
    return f"""
## {cause.code}

{severity[0].upper()}{severity[1:]}.{" Checked for each target." if cause.per_target else ""}

- Measured: {cause.measures}.
- Threshold: {cause.threshold}.
- Origin: {cause.origin}.
- Remedy: {cause.remedy}.
"""


if __name__ == "__main__":
    print(document(), end="")
