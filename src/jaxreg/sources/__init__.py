"""Anything a user has → `Examples`. Docs: docs/sources.md."""

from jaxreg.extract_config import SourceOptions
from jaxreg.sources.dispatch import open_source
from jaxreg.sources.examples import Examples

__all__ = ["Examples", "SourceOptions", "open_source"]
