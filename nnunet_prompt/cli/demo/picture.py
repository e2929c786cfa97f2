"""The picture of the demo: one row per case, with image, prompts, both masks and the reference of one slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.figures import figure_style
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.image_cases import without_ending
from nnunet_prompt.io.nifti import read_label_volume, read_nifti
from nnunet_prompt.prompt_files.prompts_json_convention import RawCase
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import Box, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("Image", "Prompts", "Mask with prompts", "Mask without prompts", "Reference")
GROUND, INK = "#0d1117", "#e6edf3"
COLOURS = ("#ff5c5c", "#3ddc97", "#4da3ff", "#ffd23f", "#c77dff", "#ff9f1c", "#2ec4b6", "#f28cb1")
TILE_INCHES = 2.15


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One slice of one case in the PLS frame: arrays are (P, L), `aspect` is height over width of a voxel.

    `prompts` holds the boxes and points of this slice by label value; their first two coordinates are used. `mask` is
    that with prompts, `plain` that without.
    """

    title: str
    image: npt.NDArray[np.float32]
    prompts: Mapping[int, tuple[tuple[Box, ...], tuple[Point, ...]]]
    mask: npt.NDArray[np.int32]
    plain: npt.NDArray[np.int32]
    truth: npt.NDArray[np.int32]
    aspect: float


def load_row(image: Path, mask: Path, plain: Path, truth: Path, *, prompts: RawCase) -> Row:
    """The slice of a case that shows most: as many labels as there are, then the largest area.

    `mask`, `plain` (without prompts) and `truth` are on the grid of `image`; `prompts` is the case of a prompts.json.
    """
    volume = read_nifti(image)
    turn = pls_map(volume.affine, volume.array.shape)
    labels = turn.apply(read_label_volume(truth).array)
    k = _telling_slice(labels)
    # PLS only permutes and flips the axes of the file, so its spacing is the file's in another order
    height, width, _ = (volume.spacing_mm[axis] for axis in turn.axes)
    placed = prompts.to_prompts(turn.target_shape)
    case = without_ending(truth.name)
    return Row(
        title=f"{case}, slice {k}",
        image=turn.apply(volume.array)[:, :, k],
        prompts={label: _in_slice(s.boxes, s.points, k) for label, s in placed.labels.items()},
        mask=turn.apply(read_label_volume(mask).array)[:, :, k],
        plain=turn.apply(read_label_volume(plain).array)[:, :, k],
        truth=labels[:, :, k],
        aspect=float(height / width),
    )


def draw_picture(
    rows: Sequence[Row], names: Mapping[int, str], path: Path, *, caption: str = ""
) -> None:
    """Writes the picture as PNG; `names` gives label values and their names, in the order of the legend, and `caption`
    is a line below it.

    Drawn without a display, and without touching the settings of matplotlib.
    """
    with figure_style(), replacing(path) as partial:
        picture = _picture(rows, names, caption)
        picture.savefig(partial, format="png", facecolor=GROUND)


def _picture(rows: Sequence[Row], names: Mapping[int, str], caption: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = {value: COLOURS[i % len(COLOURS)] for i, value in enumerate(names)}
    below = 0.35 + 0.25 * bool(caption)
    size = (TILE_INCHES * len(COLUMNS), TILE_INCHES * len(rows) + 0.3 + below)
    figure = Figure(figsize=size, dpi=160, facecolor=GROUND)
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
    top, bottom = 1 - 0.3 / size[1], below / size[1]
    figure.subplots_adjust(0.004, bottom, 0.996, top, wspace=0.02, hspace=0.02)
    for tiles, row in zip(grid, rows, strict=True):
        _draw_row(tiles, row, colours)
    for tile, column in zip(grid[0], COLUMNS, strict=True):
        tile.set_title(column, color=INK, fontsize=10, pad=5)
    figure.legend(
        handles=[Patch(color=colours[value], label=name) for value, name in names.items()],
        loc="lower center",
        bbox_to_anchor=(0.5, (below - 0.35) / size[1]),
        ncols=len(names),
        frameon=False,
        labelcolor=INK,
        fontsize=9,
        handlelength=0.9,
        handleheight=0.9,
    )
    if caption:
        figure.text(0.5, 0.12 / size[1], caption, color=INK, fontsize=8, ha="center")
    return figure


def _draw_row(tiles: Sequence[Axes], row: Row, colours: Mapping[int, str]) -> None:
    from matplotlib.patheffects import Normal, Stroke

    for tile in tiles:
        tile.set_axis_off()
        _show_image(tile, row)
    tiles[0].text(
        0.03,
        0.97,
        row.title,
        transform=tiles[0].transAxes,
        color=INK,
        fontsize=7,
        va="top",
        path_effects=[Stroke(linewidth=2, foreground=GROUND), Normal()],
    )
    for value, (boxes, points) in row.prompts.items():
        _show_prompts(tiles[1], boxes, points, colours[value])
    for tile, labels in zip(tiles[2:], (row.mask, row.plain, row.truth), strict=True):
        _show_labels(tile, labels, colours)


def _show_image(tile: Axes, row: Row) -> None:
    low, high = np.percentile(row.image, (0.5, 99.5))
    tile.imshow(
        row.image,
        cmap="gray",
        vmin=low,
        vmax=max(high, low + 1e-6),
        aspect=row.aspect,
        interpolation="bicubic",
    )
    # the largest square in the middle, so that all tiles are alike; what is drawn on top must not change the view
    height, width = row.image.shape
    half = min(height * row.aspect, width) / 2
    tile.set_xlim(width / 2 - 0.5 - half, width / 2 - 0.5 + half)
    tile.set_ylim(height / 2 - 0.5 + half / row.aspect, height / 2 - 0.5 - half / row.aspect)
    tile.autoscale(False)


def _show_prompts(tile: Axes, boxes: Sequence[Box], points: Sequence[Point], colour: str) -> None:
    from matplotlib.patches import Rectangle

    for box in boxes:
        (row, column, _), (row_end, column_end, _) = box.lower, box.upper
        # half-open in voxel indices, so the edges lie half a voxel before both corners
        corner = (column - 0.5, row - 0.5)
        tile.add_patch(
            Rectangle(
                corner,
                column_end - column,
                row_end - row,
                fill=False,
                edgecolor=colour,
                linewidth=1.2,
            )
        )
    tile.scatter(
        [point.position[1] for point in points],
        [point.position[0] for point in points],
        s=17,
        color=colour,
        edgecolors=GROUND,
        linewidths=0.7,
        zorder=3,
    )


def _show_labels(tile: Axes, labels: npt.NDArray[np.int32], colours: Mapping[int, str]) -> None:
    for value, colour in colours.items():
        region = (labels == value).astype(np.float32)
        if region.any():
            padded = np.pad(region, 1)  # closes outlines at the border of the slice
            rows, columns = (np.arange(-1, n + 1) for n in region.shape)
            tile.contourf(columns, rows, padded, levels=[0.5, 1.5], colors=[colour], alpha=0.45)
            tile.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.1)


def _telling_slice(labels: npt.NDArray[Any]) -> int:
    """The index on the last axis with the most different labels, and of those the one with the largest area."""
    scores = [
        (len(np.unique(labels[:, :, k])), int(np.count_nonzero(labels[:, :, k])))
        for k in range(labels.shape[2])
    ]
    return max(range(len(scores)), key=scores.__getitem__)


def _in_slice(
    boxes: Sequence[Box], points: Sequence[Point], k: int
) -> tuple[tuple[Box, ...], tuple[Point, ...]]:
    return (
        tuple(b for b in boxes if b.lower[2] <= k < b.upper[2]),
        tuple(p for p in points if p.positive and round(p.position[2]) == k),
    )
