"""README and the hand-written pages: what they link to exists, and what they promise stands in the result files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.helpers.each import each

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "container/README.md")
RESULTS = ROOT / "benchmarks" / "results" / "inference.json"
ROWS = {
    "WholeHeart": "whole heart, seven labels, 512 x 512 x 224",
    "ShortAxis": "short axis, five labels, 256 x 256 x 10",
    "Liver": "liver, 400 x 400 x 90",
    "LeftAtrium": "left atrium and scar, 576 x 576 x 44",
}


def anchor(heading: str) -> str:
    words = re.sub(r"[^\w\s-]", "", heading.lower())
    return re.sub(r"\s+", "-", words.strip())


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere: no such file, or no such heading in it."""
    found = []
    for target in re.findall(r"\]\(((?![a-z]+:)[^)\s]+)\)", page.read_text("utf-8")):
        name, _, part = target.partition("#")
        path = page.parent / name if name else page
        headings = (
            re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.M)
            if part and path.is_file()
            else []
        )
        if not path.exists() or (part and part not in map(anchor, headings)):
            found.append(target)
    return found


@each("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert broken_links(ROOT / page) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# A b\n[x](b.md) [y](#a-b) [z](#c) [w](https://a.b/c) [v](a.md#a-b)\n")
    assert broken_links(page) == ["b.md", "#c"]


def test_readme_is_one_screen() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) < 75
    assert "make demo" in "\n".join(lines[:20]) and "docs/picture.png" in "\n".join(lines[:10])


def shares(result: dict[str, Any]) -> list[float | None]:
    """Our time over stock nnU-Net's, over the full window per label, and over nnInteractive's with the same model."""
    total = {side: found["total"] for side, found in result["sides"].items()}
    ours = total["ours"]
    viewer = total["ours_voxels"] / total["nninteractive"] if "nninteractive" in total else None
    return [ours / total["stock"], ours / total["one_by_one"], viewer]


def test_times_are_those_of_the_results() -> None:
    results = json.loads(RESULTS.read_text("utf-8"))
    gains = (ROOT / "docs" / "gains.md").read_text("utf-8")
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    for task, title in ROWS.items():
        cells = " | ".join("" if s is None else f"{s:.2f}" for s in shares(results[task]))
        assert f"| {title} | {cells} |".replace("|  |", "| |") in gains
    heart, stack = shares(results["WholeHeart"]), shares(results["ShortAxis"])
    assert f"takes {heart[0]:.2f} of the time of one automatic pass of stock nnU-Net" in readme
    assert f"{heart[2]:.2f} of nnInteractive's" in readme and f"it takes {stack[0]:.2f}." in readme
