"""Is it training? Measurements in; a headline, named findings and remedies out.

`observed.py` holds what is looked at, each other module one kind of measurement, `causes.py` the
table of findings. docs/verdict.md is made from that table.
"""

from jaxreg.verdict.finding import Cause, Evidence, Finding
from jaxreg.verdict.headline import headline
from jaxreg.verdict.judging import judge
from jaxreg.verdict.observed import Observed
from jaxreg.verdict.sampling import choose_rows

__all__ = ["Cause", "Evidence", "Finding", "Observed", "choose_rows", "headline", "judge"]
