"""The search of `jaxreg sweep`: which settings and columns a head is trained with."""
