"""The error that ends a build of the documentation."""

from __future__ import annotations


class Undocumented(ValueError):
    """A verb, an option or a public name without a description."""
