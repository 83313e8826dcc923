"""Closed questions about a text, answered by a ready model with a probability for each label."""
