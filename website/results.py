"""The pages of results: each page of benchmarks/results as it was written by its benchmark, and an index of them."""

from __future__ import annotations

import re
from pathlib import Path

HEAD = """# Results

Each page is written by a benchmark of the repository, most of them beside a JSON file with their numbers.

| page | states |
|---|---|
"""


def pages(folder: Path) -> dict[str, str]:
    """The text of each page by its place on the site."""
    texts = {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.md"))}
    rows = [f"| [{title(text)}]({name}) | {opening(text)} |" for name, text in texts.items()]
    made = {f"results/{name}": text for name, text in texts.items()}
    return made | {"results/index.md": HEAD + "\n".join(rows) + "\n"}


def title(text: str) -> str:
    """The first heading of a page."""
    return re.sub(r"^#+ *", "", text.lstrip().splitlines()[0])


def opening(text: str) -> str:
    """The first sentence below the heading, without links and bars."""
    paragraphs = [p for p in text.split("\n\n")[1:] if re.match(r"[A-Za-z`]", p)]
    first = " ".join(paragraphs[0].split()) if paragraphs else ""
    sentence = re.split(r"(?<=[.:;])\s", first)[0].rstrip(":;")
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", sentence).replace("|", r"\|")
