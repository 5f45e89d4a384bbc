"""Features on disk: recipes, immutable parts, columns, datasets (docs/cache.md)."""
