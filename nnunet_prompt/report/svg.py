"""Figures of matplotlib as parts of an HTML page: text stays text, and colours follow the page, light or dark.

A figure uses the colours below; in the page they become its variables. A scatter whose points have URLs such as
"#case-3" becomes links.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.figures import figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, RULE = "#010203", "#040506", "#070809"
ARMS = ("#0a0b0c", "#0d0e0f")  # the colours of the first and the second folder of masks
_VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    RULE: "var(--rule)",
    ARMS[0]: "var(--first)",
    ARMS[1]: "var(--second)",
}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
}


@contextmanager
def figure(width: float, height: float, name: str) -> Iterator[Figure]:
    """A figure of this size in inches, in the style of the page; `name` makes its ids its own."""
    from matplotlib.figure import Figure

    with figure_style({**_STYLE, "svg.hashsalt": name}):
        yield Figure(figsize=(width, height), layout="constrained")


def svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as an `svg` element with a text alternative; to be called inside the block of `figure`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#(?!case-)', f'xlink:href="#{name}-', text)
    text = re.sub(r'<a xlink:href="(#case-[^"]+)"', r'<a tabindex="-1" href="\1"', text)
    text = _shorter(text)
    head = re.search(r'viewBox="([^"]+)"', text)
    assert head is not None  # matplotlib writes one
    inner = text[text.index(">") + 1 :]
    words = (
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-desc">{html.escape(description)}</desc>'
    )
    return (
        f'<svg class="chart" role="img" aria-labelledby="{name}-title {name}-desc"'
        f' viewBox="{head[1]}" xmlns="http://www.w3.org/2000/svg"'
        f' xmlns:xlink="http://www.w3.org/1999/xlink">{words}{inner}'
    )


def _shorter(text: str) -> str:
    """Without fonts, which are the page's, line breaks and digits that are not seen."""
    text = re.sub(r" ?font-family: [^;\"]+;?", "", text)
    text = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), text)
    return re.sub(r"\s*\n\s*", " ", text)
