"""Runs beside each other: `jaxreg runs`."""
