"""What `jaxreg diagnose` does: active tests, and one page that tells it all."""
