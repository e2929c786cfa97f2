"""The gallery: pictures of phantoms, prompts and masks, drawn by the code that training and inference run.

Pictures are kept under a name that holds a hash of what they are made by, and drawn again only when that changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
GROUND, INK, LINE = "#0d1117", "#e6edf3", "#3ddc97"
LV, MYOCARDIUM, RV, SCAR = 500, 200, 600, 2221
COLOURS = {LV: "#ff5c5c", MYOCARDIUM: "#3ddc97", RV: "#4da3ff", SCAR: "#ffd23f"}
NAMES = {LV: "LV", MYOCARDIUM: "myocardium", RV: "RV", SCAR: "scar"}
Plane = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the gallery: its caption, what it shows in words, and the function that draws it."""

    name: str
    caption: str
    shows: str
    draw: Callable[[Any], None]  # draws into a matplotlib figure


@dataclass(frozen=True, slots=True, eq=False)
class Heart:
    """A phantom heart: image and official labels, slices last, and the slice that is drawn."""

    image: Plane
    labels: Plane
    k: int

    def plane(self) -> Plane:
        return self.image[:, :, self.k]

    def mask(self, value: int) -> npt.NDArray[np.bool_]:
        """A structure with its slices first, as prompts are simulated."""
        return np.moveaxis(self.labels == value, 2, 0)


def heart(centre: str, seed: int = 3) -> Heart:
    """One phantom of a centre, its shortest axis through the slices, and the slice with most of the LV."""
    from nnunet_prompt.phantom.heart import phantom_case

    case = phantom_case(np.random.default_rng(seed), centre=centre)
    axis = int(np.argmin(case.image.shape))
    image, labels = (np.moveaxis(a, axis, 2) for a in (case.image, case.labels))
    return Heart(image, labels, int((labels == LV).sum(axis=(0, 1)).argmax()))


# Drawing ----------------------------------------------------------------------------------------------------------


def _panels(figure: Any, titles: Sequence[str], columns: int) -> list[Any]:
    rows = -(-len(titles) // columns)
    figure.set_size_inches(2.4 * columns, 2.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title, color=INK, fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.93, 0.04, 0.12)
    return list(axes)


def _image(axis: Any, plane: Plane) -> None:
    low, high = np.percentile(plane, (1, 99.5))
    axis.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="nearest")


def _outline(axis: Any, mask: Plane, colour: str, style: str = "-") -> None:
    if mask.any():
        axis.contour(mask.astype(float), [0.5], colors=[colour], linewidths=1.4, linestyles=style)


def _labels(axis: Any, plane: Plane) -> None:
    for value, colour in COLOURS.items():
        _outline(axis, plane == value, colour)


def _points(axis: Any, prompts: Any, k: int) -> None:
    """Points, boxes and strokes of the slice `k`."""
    for point in prompts.points:
        if round(point.position[0]) == k:
            sign, colour = ("o", LINE) if point.positive else ("x", "#ff5c5c")
            axis.plot(point.position[2], point.position[1], sign, color=colour, ms=6, mew=2)
    for box in prompts.boxes:
        if box.lower[0] <= k < box.upper[0]:
            (y, x), (y2, x2) = box.lower[1:], box.upper[1:]
            ring = np.array([(x, y), (x2, y), (x2, y2), (x, y2), (x, y)]) - 0.5
            axis.plot(*ring.T, color=LINE, lw=1.6)
    for scribble in prompts.scribbles:
        path = np.array([place for place in scribble.path if round(place[0]) == k])
        if len(path):
            axis.plot(path[:, 2], path[:, 1], color=LINE if scribble.positive else "#ff5c5c", lw=2)


def draw_centres(figure: Any) -> None:
    """One heart per centre, with and without the reference."""
    axes = _panels(figure, [f"centre {c}" for c in "ABC"] + ["reference"] * 3, 3)
    for number, centre in enumerate("ABC"):
        one = heart(centre)
        for axis in (axes[number], axes[number + 3]):
            _image(axis, one.plane())
        _labels(axes[number + 3], one.labels[:, :, one.k])


def draw_prompts(figure: Any) -> None:
    """Kinds of prompts for the LV, each with a seed of its own."""
    from nnunet_prompt.prompts.options import SimulationOptions
    from nnunet_prompt.prompts.simulate import simulate

    one = heart("A")
    target, others = one.mask(LV), (one.mask(RV), one.mask(MYOCARDIUM))
    only = {
        "clicks": ("few", SimulationOptions(boxes=False, scribbles=False)),
        "a box": ("few", SimulationOptions(points=False, scribbles=False)),
        "box and points in slices": ("slices", SimulationOptions(p_negatives=0)),
        "with negatives": ("slices", SimulationOptions(boxes=False)),
        "scribbles": ("scribbles", SimulationOptions(p_negatives=0)),
        "a rough mask": ("mask", SimulationOptions()),
    }
    for axis, (kind, options) in zip(_panels(figure, list(only), 3), only.values(), strict=True):
        _image(axis, one.plane())
        for seed in range(50):  # the first draw that shows something in this slice
            rng = np.random.default_rng(seed)
            prompts = simulate(target, rng, kind=kind, others=others, options=options)
            before = len(axis.lines)
            _points(axis, prompts, one.k)
            rough = kind == "mask" and prompts.mask is not None and prompts.mask[one.k].any()
            if rough:
                _outline(axis, prompts.mask[one.k], LINE)
            if rough or len(axis.lines) > before:
                break


def draw_channels(figure: Any) -> None:
    """The seven channels that a network sees, from prompts of every kind."""
    from nnunet_prompt.prompts.channels import CHANNEL_NAMES

    one = heart("A")
    drawn = (_channels(one, seed) for seed in range(100))
    channels = max(drawn, key=lambda found: int(found.any(axis=(1, 2)).sum()))
    axes = _panels(figure, ["image", *CHANNEL_NAMES], 4)
    _image(axes[0], one.plane())
    for axis, channel in zip(axes[1:], channels, strict=True):
        axis.imshow(channel, cmap="magma", vmin=0, vmax=1, interpolation="nearest")


def _channels(one: Heart, seed: int) -> Plane:
    """The channels (7, Y, X) of the slice that is drawn, with the prompts of one seed."""
    from nnunet_prompt.prompts.encode import Window, encode, style_for
    from nnunet_prompt.prompts.simulate import simulate
    from nnunet_prompt.prompts.types import PromptSet

    target, others = one.mask(LV), (one.mask(RV),)
    rng = np.random.default_rng(seed)
    slices, scribbles, mask = (
        simulate(target, rng, kind=kind, others=others) for kind in ("slices", "scribbles", "mask")
    )
    prompts = PromptSet(
        points=slices.points,
        boxes=slices.boxes,
        scribbles=scribbles.scribbles,
        mask=mask.mask,
        negative_mask=others[0],
    )
    window = Window((one.k, 0, 0), (1, *target.shape[1:]))
    return encode(prompts, window, style_for((8.0, 1.4, 1.4)))[:, 0]


def draw_corrections(figure: Any) -> None:
    """A rough mask, and where a user would click on its errors."""
    from nnunet_prompt.prompts.clicks import corrective_clicks
    from nnunet_prompt.prompts.corrupt import corrupt
    from nnunet_prompt.prompts.types import PromptSet

    one = heart("B")
    target = one.mask(LV)
    seeds = (2, 5, 11, 17)
    for axis, seed in zip(
        _panels(figure, [f"rough mask {n}" for n in range(1, 5)], 4), seeds, strict=True
    ):
        rough = corrupt(target, np.random.default_rng(seed))
        flat = np.zeros_like(target)
        flat[one.k] = target[one.k]
        wrong = np.zeros_like(target)
        wrong[one.k] = rough[one.k]
        _image(axis, one.plane())
        _outline(axis, target[one.k], LINE)
        _outline(axis, rough[one.k], "#ffd23f", "--")
        _points(axis, PromptSet(points=corrective_clicks(flat, wrong, count=2)), one.k)


PICTURES = (
    Picture(
        "centres",
        "Phantom hearts of three centres: contrast, noise, orientation and voxel size differ.",
        "Three phantom hearts in grey, and below them the same with outlines of the left ventricle, its muscle, the"
        " right ventricle and scar",
        draw_centres,
    ),
    Picture(
        "prompts",
        "Prompts for the left ventricle as training and `simulate_prompts` give them: green adds, red"
        " takes away.",
        "Six panels of one heart: clicks, a box, a box with points, points with negatives, a"
        " scribble, a rough mask",
        draw_prompts,
    ),
    Picture(
        "channels",
        "What the network sees beside the image: the seven prompt channels, in nnInteractive's order.",
        "The image and seven dark panels, each with the bright marks of one kind of prompt",
        draw_channels,
    ),
    Picture(
        "corrections",
        "Rough masks (yellow), the reference (green), and the clicks on the two largest errors.",
        "Four panels with a dashed yellow outline, a green outline, and marks where they differ",
        draw_corrections,
    ),
)


# Keeping ----------------------------------------------------------------------------------------------------------


def pictures(folder: Path) -> list[Path]:
    """The files of all pictures, in the order of `PICTURES`; those that `folder` lacks are drawn into it."""
    made = folder / key()
    made.mkdir(parents=True, exist_ok=True)
    return [_kept(picture, made / f"{picture.name}.png") for picture in PICTURES]


def key() -> str:
    """A hash of the sources that pictures depend on."""
    names = [
        Path(__file__),
        *sorted((ROOT / "nnunet_prompt" / "prompts").glob("*.py")),
        *sorted((ROOT / "nnunet_prompt" / "phantom").glob("*.py")),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in names)).hexdigest()[:16]


def _kept(picture: Picture, path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not path.is_file():
        figure = Figure(facecolor=GROUND)
        FigureCanvasAgg(figure)
        picture.draw(figure)
        half = path.with_suffix(".part")
        figure.savefig(half, format="png", dpi=110, facecolor=GROUND)
        half.replace(path)
    return path


def gallery_page() -> str:
    """The page that shows all pictures."""
    parts = [
        "# Gallery\n\nDrawn when this site is built, by the functions that training and inference run.\n"
    ]
    for picture in PICTURES:
        parts.append(
            f"## {picture.name.capitalize()}\n\n![{picture.shows}](gallery/{picture.name}.png)\n\n{picture.caption}\n"
        )
    return "\n".join(parts)
