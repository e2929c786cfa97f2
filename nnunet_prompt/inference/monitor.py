"""What a prediction looks like without a reference: a row per case and structure, for `nnunet-prompt drift`.

    case,structure,volume_ml,thickness_mm,entropy,added_tiles,agreement,bottleneck_mean,...,intensity_p05,...,seconds
    case_001,LV,112.4,20.3,0.21,0.0,1.0,...

`thickness_mm` is twice the volume over the surface: of a wall, how thick it is. `entropy` (bits) is the mean over the
voxels that the network does not rule out, `added_tiles` the share of tiles that were added where a mask touches the
border, `agreement` the share of boxes and clicks that the mask agrees with. An empty cell is a value that this case
does not have. Without prompts, there are no columns `added_tiles` and `agreement`.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from nnunet_prompt.common.errors import NNUNetPromptError, OutputError
from nnunet_prompt.inference.case_runner import StagedPredictor, reason_of
from nnunet_prompt.inference.predict_case import Asked, LoadedCase, MaskedCase
from nnunet_prompt.prompts.types import PromptSet

QUANTILES = (5, 25, 50, 75, 95)
OF_STRUCTURE = ("volume_ml", "thickness_mm", "entropy", "added_tiles", "agreement")
OF_CASE = (
    "bottleneck_mean",
    "bottleneck_sd",
    *(f"intensity_p{q:02d}" for q in QUANTILES),
    "roughness",  # median difference of neighbours along the first axis, as a share of p95 - p05
    *(f"spacing_{axis}" for axis in "xyz"),
    "seconds",
)
HEAD = ("case", "structure", *OF_STRUCTURE, *OF_CASE)
WITHOUT_PROMPTS = tuple(name for name in HEAD if name not in ("added_tiles", "agreement"))
POSSIBLE = 0.01  # probability below which the network rules a voxel out
_log = logging.getLogger(__name__)
Row = dict[str, float | str | None]
Work = Callable[[LoadedCase], MaskedCase]


class Monitor:
    """Notes rows while cases are predicted and appends them to a CSV file, a whole case at a time."""

    def __init__(self, path: Path, predictor: StagedPredictor, asked: Asked) -> None:
        """Raises `OutputError` for a file that is another table."""
        self._path, self._predictor, self._asked = path, predictor, asked
        self._seen = _Seen(predictor.engine.network)
        self._rows: dict[str, list[Row]] = {}
        self._head = WITHOUT_PROMPTS if asked.prompts is None else HEAD
        _check_table(path, self._head)

    def around(self, work: Work) -> Work:
        """`work`, which then notes what the network answered."""

        def watched(loaded: LoadedCase) -> MaskedCase:
            started = time.monotonic()
            with self._seen.watching():
                masked = work(loaded)
            seconds = time.monotonic() - started
            name = loaded.case.images.case
            try:
                self._rows[name] = self._structures(loaded, masked, seconds)
            except Exception as error:  # a row is not worth a mask
                _log.warning("case %s: no row in %s: %s", name, self._path, reason_of(error))
            return masked

        return watched

    def then(self, write: Callable[[MaskedCase], Any]) -> Callable[[MaskedCase], Any]:
        """`write`, after which the rows of the case are appended."""

        def written(masked: MaskedCase) -> Any:
            result = write(masked)
            name = masked.case.images.case
            rows = self._rows.pop(name, [])
            try:
                image = self._predictor.reader.read(masked.case.images.first)[0].array
                about = intensities(image)
                append_rows(self._path, [row | about for row in rows], self._head)
            except Exception as error:
                _log.warning("case %s: no row in %s: %s", name, self._path, reason_of(error))
            return result

        return written

    def _structures(self, loaded: LoadedCase, masked: MaskedCase, seconds: float) -> list[Row]:
        spacing = [float(n) for n in np.linalg.norm(masked.reference.affine[:3, :3], axis=0)]
        shared: Row = {
            "case": loaded.case.images.case,
            **self._seen.bottleneck(),
            **{f"spacing_{axis}": n for axis, n in zip("xyz", spacing, strict=True)},
            "seconds": seconds,
        }
        rows = []
        for name, value, channel in self._asked_for(loaded):
            inside = np.asarray(masked.labels) == value
            own: Row = {
                "structure": name,
                "volume_ml": float(inside.sum()) * float(np.prod(spacing)) / 1000,
                "thickness_mm": thickness_mm(inside, spacing),
                "entropy": self._seen.entropy(channel),
            }
            if loaded.prompts is not None and value in loaded.prompts.labels:
                own["added_tiles"] = _share_of_added(masked, value)
                own["agreement"] = agreement(loaded.prompts.labels[value], inside, loaded)
            rows.append(shared | own)
        return rows

    def _asked_for(self, loaded: LoadedCase) -> Iterator[tuple[str, int, int]]:
        """Name, value in the mask and output of the network for each structure or prompted label."""
        table = self._predictor.table
        if loaded.prompts is None:
            wanted = self._asked.structures or table.names
            for structure in (table.find(name) for name in wanted):
                yield structure.name, structure.official, structure.label
            return
        names = {s.official: s.name for s in reversed(table.structures)}
        for label in loaded.prompts.labels:
            yield names.get(label, str(label)), label, 0
        for label, name in loaded.prompts.named.items():
            yield name, label, table.find(name).label


class _Seen:
    """Sums over what a network computed since the last `watching`."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._reset()

    def _reset(self) -> None:
        self._entropy: Any = 0.0
        self._voxels: Any = 0.0
        self._features: list[tuple[float, float]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._reset()
        # functions, not methods: a pass without prompts runs a copy of the network, and a copied method would note its
        # numbers in a copy of this object
        hooks = [self._network.register_forward_hook(lambda *a: self._note_logits(*a))]
        encoder = getattr(self._network, "encoder", None)
        if isinstance(encoder, nn.Module):
            hooks.append(encoder.register_forward_hook(lambda *a: self._note_features(*a)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _note_logits(self, module: nn.Module, given: Any, output: Any) -> None:
        del module, given
        if not isinstance(output, Tensor):
            return
        from torch.nn.functional import softplus

        logits = output.detach().float().transpose(0, 1).flatten(1)  # (1 + K, voxels)
        p = logits.sigmoid()
        nats = softplus(logits) - p * logits
        possible = p > POSSIBLE
        self._entropy = self._entropy + (nats * possible).sum(1).double().cpu().numpy() / np.log(2)
        self._voxels = self._voxels + possible.sum(1).double().cpu().numpy()

    def _note_features(self, module: nn.Module, given: Any, output: Any) -> None:
        del module, given
        last = output[-1] if isinstance(output, (list, tuple)) else output
        if isinstance(last, Tensor):
            features = last.detach().float()
            self._features.append((float(features.mean()), float(features.std())))

    def entropy(self, channel: int) -> float | None:
        """Bits per voxel that is not ruled out; None where there was none."""
        voxels = np.atleast_1d(self._voxels)
        if channel >= voxels.size or not voxels[channel]:
            return None
        return float(np.atleast_1d(self._entropy)[channel] / voxels[channel])

    def bottleneck(self) -> Row:
        if not self._features:
            return {}
        mean, sd = np.mean(self._features, axis=0)
        return {"bottleneck_mean": float(mean), "bottleneck_sd": float(sd)}


def intensities(image: Any) -> Row:
    """Quantiles of an image, and how rough it is, on at most a million voxels or so."""
    step = max(1, round((image.size / 1e6) ** (1 / 3)))
    part = np.asarray(image[:, ::step, ::step], np.float32)
    if not part.size:
        return {}
    quantiles = [float(q) for q in np.percentile(part, QUANTILES)]
    row: Row = {f"intensity_p{q:02d}": n for q, n in zip(QUANTILES, quantiles, strict=True)}
    width = quantiles[-1] - quantiles[0]
    if width > 0 and part.shape[0] > 1:
        row["roughness"] = float(np.median(np.abs(np.diff(part, axis=0)))) / width
    return row


def thickness_mm(inside: Any, spacing_mm: Sequence[float]) -> float | None:
    """Twice the volume over the area of the faces of all voxels at the border; None for an empty mask."""
    found = [np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not found[0].size:
        return None
    box = np.pad(inside[tuple(slice(at[0], at[-1] + 1) for at in found)], 1)
    volume, area = float(np.prod(spacing_mm)), 0.0
    for axis in range(3):
        area += np.count_nonzero(np.diff(box, axis=axis)) * volume / spacing_mm[axis]
    return 2 * volume * np.count_nonzero(box) / area


def agreement(said: PromptSet, inside: Any, loaded: LoadedCase) -> float | None:
    """The mean over boxes (share of the mask within the box) and points (1 where the mask agrees); None without any.

    Prompts of another frame than the file's are not compared.
    """
    if loaded.prompts is None or loaded.prompts.frame != "file":
        return None
    found = []
    for box in (b for b in said.boxes if b.positive):
        part = tuple(
            slice(max(0, int(np.floor(low))), int(np.ceil(high)))
            for low, high in zip(box.lower, box.upper, strict=True)
        )
        whole = int(inside.sum())
        found.append(float(inside[part].sum()) / whole if whole else 0.0)
    for point in said.points:
        at = tuple(round(n) for n in point.position)
        if all(0 <= n < size for n, size in zip(at, inside.shape, strict=True)):
            found.append(float(bool(inside[at]) == point.positive))
    return float(np.mean(found)) if found else None


def _share_of_added(masked: MaskedCase, label: int) -> float | None:
    tiles = masked.tally.tiles.get(label, 0) if masked.tally is not None else 0
    return masked.tally.grown.get(label, 0) / tiles if masked.tally is not None and tiles else None


def append_rows(
    path: Path, rows: list[Mapping[str, float | str | None]], head: Sequence[str] = HEAD
) -> None:
    """Appends rows in one write, the header first where the file is new. Raises `OutputError`."""
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, head, restval="", lineterminator="\n")
    if not path.exists() or path.stat().st_size == 0:
        writer.writeheader()
    for row in rows:
        writer.writerow({k: "" if v is None else v for k, v in row.items()})
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _check_table(path: Path, expected: Sequence[str]) -> None:
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise OutputError(
            f"--monitor {path}: expected the name of a CSV file in a folder that exists"
        )
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        head = path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        head = ""
    if head.strip() != ",".join(expected):
        raise NNUNetPromptError(
            f"--monitor {path}: rows are only added to a table of an earlier --monitor"
            f" {'without' if 'agreement' not in expected else 'with'} prompts; name a new file"
        )
