"""Pages: a face over the core, for people with a browser."""
