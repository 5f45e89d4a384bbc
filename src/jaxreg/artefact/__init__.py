"""A run as a file that other programs load: `jaxreg export`."""
