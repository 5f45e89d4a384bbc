"""docs/verdict.md, made from the catalogue.

The command: `python -m jaxreg.verdict.catalogue_page > docs/verdict.md`.
"""

from jaxreg.verdict.catalogue import CAUSES, PREPROCESSING, Cause

INTRODUCTION = """\
# The verdict

<!-- `python -m jaxreg.verdict.catalogue_page > docs/verdict.md` writes this page -->

Every run ends with a line that says whether it learns, and with findings: a code that never
changes, a severity, the evidence with its numbers, and a remedy, as a command where one can be had.
They stand in `summary.json` under `verdict`, in the report, and with pictures in the page that
`jaxreg diagnose RUN` writes.

*Healthy* means no finding of severity `error`, and a validation MAE below the median predictor's by
more than twice the bootstrap error of that difference. On sequences the bootstrap draws runs of
consecutive rows (the root of their number long), since neighbours err alike.

`error`: it does not learn, or the number cannot be believed. `warning`: it learns, and a named
change would help. `note`: worth knowing. Where two severities are given, the second is that of a
run that does not learn. Of findings equally grave the one that stands first here is named first.
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

{severity[0].upper()}{severity[1:]}.

- Measured: {cause.measures}.
- Threshold: {cause.threshold}.
- It comes from: {cause.origin}.
- What to do: {cause.remedy}.
"""


if __name__ == "__main__":
    print(document(), end="")
