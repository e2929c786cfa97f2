"""What the demo shows at its end: a table of the test cases with and without prompts, and a picture of some."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.challenge.images import image_files, without_ending
from nnunet_prompt.demo_picture import Row, draw_picture, load_row
from nnunet_prompt.phantom.anatomy import OFFICIAL
from nnunet_prompt.reading.prompts_json import read_prompts_json

if TYPE_CHECKING:
    from rich.table import Table

MEASURES = {"Dice": "dice", "HD95 in mm": "hd95_mm"}
FLATTEST = 2.0  # a slice whose voxels are longer than this is hard to look at


def results_table(metrics: Mapping[str, Path]) -> Table:
    """The means of each structure, one group of columns per measure, one column per file of `evaluate`."""
    from rich.table import Table

    means = {arm: _means(path) for arm, path in metrics.items()}
    table = Table(title="Mean of the test cases", title_justify="left")
    table.add_column("structure")
    for measure in MEASURES:
        for arm in means:
            table.add_column(f"{measure}\n{arm}", justify="right")
    for name, value in OFFICIAL.items():
        cells = [
            _cell(by_label.get(str(value), {}).get(key), key)
            for key in MEASURES.values()
            for by_label in means.values()
        ]
        table.add_row(name, *cells)
    return table


def draw_demo_picture(test: Path, masks: Path, path: Path, *, count: int) -> Path:
    """Draws the first `count` test cases to `path`, and returns it.

    `test` holds images, labels and prompts.json. Prompts come in slices of the PLS frame, which cut an oblique stack
    crosswise now and then; cases that are cut along the stack go first, because one can see more in them.
    """
    prompts = read_prompts_json(test / "prompts.json")
    rows = [
        load_row(
            image,
            masks / f"{without_ending(image.name)}_pred.nii.gz",
            test / "labels" / image.name,
            prompts=prompts.cases[without_ending(image.name)],
        )
        for image in image_files(test / "images")
    ]
    names = {value: name for name, value in OFFICIAL.items()}
    draw_picture(sorted(rows, key=_is_flat)[:count], names, path)
    return path


def _is_flat(row: Row) -> bool:
    return not 1 / FLATTEST <= row.aspect <= FLATTEST


def _means(path: Path) -> dict[str, dict[str, float | None]]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    means: dict[str, dict[str, float | None]] = content["mean"]
    return means


def _cell(value: float | None, key: str) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if key == "dice" else f"{value:.1f}"
