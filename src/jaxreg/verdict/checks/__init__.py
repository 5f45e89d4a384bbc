"""The checks of the verdict: one file for each kind of cause."""
