"""What a user may choose of an explanation, for the command and the Python API."""

from typing import Literal

Method = Literal["exact", "occlusion"]

METHODS: tuple[Method, ...] = ("exact", "occlusion")

IMAGES = 24
"""Images that are drawn; with occlusion also those that are explained."""

MOST = 2000
"""Images in the table and the mean map of an exact explanation: all of a smaller source."""
