"""Steps of a training at a service that other modules than its trainer need."""

from __future__ import annotations

OVER = "over"
"""What a training log has as its `step` when a training ended without a model. Tried again, it is
another training, under another tag."""
