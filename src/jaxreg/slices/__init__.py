"""Parts of the rows: their errors, the worst of them, and how much of each the intervals hold."""
