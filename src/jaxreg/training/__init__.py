"""The training loop, and what survives it on disk."""
