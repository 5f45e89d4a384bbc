"""`road[:N]`: driving views that jaxreg draws itself, for a first run that needs no data.

`drive` says where the car is, `look` what is there to see, `scene` draws it. More in docs/road.md.
"""

from jaxreg.sources.road.frames import open_road

__all__ = ["open_road"]
