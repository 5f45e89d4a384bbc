"""A catalogue of planted faults: data that can be learned, and what may be wrong with it."""
