"""Image regression on cached features."""
