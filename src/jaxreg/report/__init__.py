"""What a run amounts to: summary, verdict, pictures, page."""
