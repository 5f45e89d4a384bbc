"""From a dataset and settings to a resolved run, its arrays and its members."""
