"""From a source to features in the cache."""
