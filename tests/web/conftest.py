"""Tests of pages: what all of them start from."""

import compiled_templates  # noqa: F401
