"""A run on other labelled data. Docs: docs/evaluate.md."""
