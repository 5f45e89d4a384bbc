"""Cached properties of a training that are the same for each of its targets."""

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")


class shared(cached_property[T]):
    """A cached property that is the same for each target of a training, so it is computed once."""

    if not TYPE_CHECKING:

        def __get__(self, obs, owner=None):
            if obs is None or obs.whole is None:
                return super().__get__(obs, owner)
            return getattr(obs.whole, self.attrname)
