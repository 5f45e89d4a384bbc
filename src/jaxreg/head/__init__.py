"""The head: pure functions. The only package that imports Flax and Optax."""
