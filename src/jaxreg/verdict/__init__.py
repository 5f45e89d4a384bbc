"""Is the head learning? An observation goes in; a headline, findings and remedies come out.

`observation.py` holds what the checks read, `checks/` one file for each kind of cause, and
`catalogue.py` the table of findings, from which docs/verdict.md is made.
"""

from jaxreg.verdict.cause import Cause
from jaxreg.verdict.finding import Evidence, Finding
from jaxreg.verdict.judge import judge
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.sampling import choose_rows

__all__ = ["Cause", "Evidence", "Finding", "Observed", "choose_rows", "judge"]
