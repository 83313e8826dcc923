"""Models of the package llm and its plugins, prompted without training."""
