"""Is it training? Measurements in; a headline, named findings and remedies out.

`observed.py` holds what is looked at, each other module one kind of measurement, `causes.py` the
table of findings. docs/verdict.md is made from that table.
"""

from jaxreg.verdict.catalogue import Cause
from jaxreg.verdict.finding import Evidence, Finding
from jaxreg.verdict.judge import headline, judge
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.sampling import choose_rows

__all__ = ["Cause", "Evidence", "Finding", "Observed", "choose_rows", "headline", "judge"]
