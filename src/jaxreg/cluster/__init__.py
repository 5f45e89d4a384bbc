"""`extract --ray`: one extraction on the machines of a Ray cluster."""
