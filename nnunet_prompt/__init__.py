"""Train and ship promptable nnU-Nets."""

from __future__ import annotations

__version__ = "0.1.0"
