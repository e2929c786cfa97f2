"""Figures that look the same whatever ran before: nnU-Net's plot of a training sets seaborn's theme, with text 2.5
times as large, for the rest of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def figure_style(settings: dict[Any, Any] | None = None) -> Iterator[None]:
    """Within the block figures are drawn and saved with matplotlib's defaults and these rcParams; those of the process
    come back afterwards.
    """
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings or {})
        yield
