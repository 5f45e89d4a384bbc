"""Where in the picture a prediction comes from: `jaxreg explain`."""
