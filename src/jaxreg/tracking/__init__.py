"""Finished runs in the trackers of experiments: MLflow and TensorBoard."""
