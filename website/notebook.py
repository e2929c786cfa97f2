"""The notebook, made from the page docs/notebook.md: its text and its python blocks are the cells, in their order.

`python website/notebook.py` writes docs/notebook.ipynb.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
SOURCE, NOTEBOOK = DOCS / "notebook.md", DOCS / "notebook.ipynb"
_CODE = re.compile(r"^```(python|bash)\n(.*?)^```\n?", re.DOTALL | re.MULTILINE)
_AWAY = re.compile(r"<!-- page only -->.*?<!-- /page only -->\n*", re.DOTALL)
_LINK = re.compile(r"\[([^]]*)\]\((?!https?:)[^)]*\)")


def notebook_json(page: str) -> str:
    """The notebook as text. Blocks of bash become lines that begin with `!`; links between pages become their words."""
    text, cells, end = _AWAY.sub("", page), [], 0
    for block in _CODE.finditer(text):
        cells += _words(text[end : block.start()])
        code = block[2] if block[1] == "python" else re.sub("^", "!", block[2].rstrip(), flags=re.M)
        cells.append(_cell("code", code.rstrip(), len(cells)))
        end = block.end()
    cells += _words(text[end:])
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return json.dumps(_notebook(cells), indent=1, ensure_ascii=False) + "\n"


def _words(text: str) -> list[dict[str, Any]]:
    return [_cell("markdown", _LINK.sub(r"\1", text.strip()), 0)] if text.strip() else []


def _cell(kind: str, source: str, number: int) -> dict[str, Any]:
    cell = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": source.splitlines(True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _notebook(cells: list[dict[str, Any]]) -> dict[str, Any]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {
        "kernelspec": kernel,
        "language_info": {"name": "python"},
        "colab": {"provenance": []},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook_json(SOURCE.read_text("utf-8")), "utf-8")
