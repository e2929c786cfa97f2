"""Several readers of the same cases: their agreement beside the model's with each, so that a score is read against it.

    "readers": {"names": ["labelsTs", "second"],
                "structures": {"500": {"name": "LV", "n": 12, "among_readers": 0.91, "model": 0.90,
                                       "pairs": {"labelsTs & second": 0.91},
                                       "model_with": {"labelsTs": 0.92, "second": 0.88},
                                       "crps_ml": 1.9, "crps_curvas_ml": 1.7}},
                "cases": {"heart_01": {"500": {..., "volumes_ml": {"labelsTs": 80.1, "second": 84.0},
                                               "model_volume_ml": 82.2, "volume_of": "mask"}}},
                "rules": {...}, "failed": {"heart_02": "why"}}

Dice, means over the cases where it is defined. The model's volume is the sum of its probabilities where there is a map.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.crps import crps_curvas, crps_gaussian
from nnunet_prompt.evaluation.pairs import files_by_case
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.probability_file import read_probability

_log = logging.getLogger(__name__)

RULES = {
    "dice": "of two empty masks it is not defined and left out of the means",
    "crps_ml": "the readers' volumes as a Gaussian, over all volumes",
    "crps_curvas_ml": "as CURVAS 2024: within three standard deviations; null where all readers drew one volume",
    "model_volume_ml": "the sum of the probabilities where there is a map of the structure, else the mask's",
}
_NUMBERS = ("among_readers", "model", "crps_ml", "crps_curvas_ml")
Masks = Mapping[str, npt.NDArray[np.bool_]]


def compare_readers(
    readers: Sequence[Path],
    predictions: Mapping[str, Sequence[Path]],
    titles: Mapping[str, str | None],
    *,
    maps: Mapping[str, Mapping[str, Path]] | None = None,
    ignore: int | None = None,
) -> dict[str, Any]:
    """The agreement on the structures in `titles` in each case with a prediction. Logs a warning for what does not fit.

    Raises `NNUNetPromptError` for a reader who is no folder.
    """
    files = dict(zip(reader_names(readers), map(files_by_case, readers), strict=True))
    cases: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for case in progress(list(predictions), "readers", total=len(predictions)):
        try:
            volumes = _volumes(case, files, predictions[case])
            cases[case] = _one_case(volumes, list(titles), (maps or {}).get(case, {}), ignore)
        except (NNUNetPromptError, OSError, MemoryError) as error:
            failed[case] = " ".join(str(error).split())
            _log.warning("%s: readers not compared: %s", case, failed[case])
    structures = {key: {"name": titles[key], **_means(key, cases)} for key in titles}
    result: dict[str, Any] = {"names": list(files), "structures": structures, "cases": cases}
    return {**result, "rules": RULES, **({"failed": failed} if failed else {})}


def reader_names(readers: Sequence[Path]) -> list[str]:
    """The names of the folders, or their paths where two have one name. Raises `NNUNetPromptError` for one twice."""
    paths = [path.absolute() for path in readers]
    if len(set(paths)) < len(paths):
        raise NNUNetPromptError("readers: a folder is given twice; give each reader once")
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in readers]


def _volumes(
    case: str, files: Mapping[str, Mapping[str, Sequence[Path]]], prediction: Sequence[Path]
) -> dict[str, NiftiVolume]:
    """The label maps of all readers by name, and that of the model under ""."""
    volumes: dict[str, NiftiVolume] = {}
    for name, found in {**{n: f.get(case, ()) for n, f in files.items()}, "": prediction}.items():
        if len(found) != 1:
            raise ImageError(f"{name or 'model'}: expected one label file, found {len(found)}")
        volumes[name] = volume = read_label_file(found[0])
        _check_grid(volume, next(iter(volumes.values())))
    return volumes


def _check_grid(volume: NiftiVolume, first: NiftiVolume) -> None:
    if not same_geometry(volume, first):
        raise ImageError(
            f"{volume.path}: must be on the grid of {first.path}, found {geometry_difference(volume, first)}"
        )


def _one_case(
    volumes: Mapping[str, NiftiVolume],
    keys: Sequence[str],
    maps: Mapping[str, Path],
    ignore: int | None,
) -> dict[str, Any]:
    first = next(iter(volumes.values()))
    counted = np.ones(first.shape, bool)
    for name, volume in volumes.items():
        if name and ignore is not None:
            counted &= volume.array != ignore
    ml = abs(float(np.linalg.det(first.affine[:3, :3]))) / 1000
    found = {}
    for key in keys:
        members = [int(v) for v in key.split("+")]
        masks = {n: np.isin(v.array, members) & counted for n, v in volumes.items()}
        if not any(mask.any() for mask in masks.values()):
            continue
        amount, source = float(masks[""].sum()) * ml, "mask"
        if key in maps:
            probability = read_probability(maps[key])
            _check_grid(probability, first)
            amount = float(probability.array[counted].sum(dtype=np.int64)) / 255 * ml
            source = "probabilities"
        found[key] = {**_agreement(masks, ml, amount), "volume_of": source}
    return found


def _agreement(masks: Masks, ml: float, volume: float) -> dict[str, Any]:
    """Dice and volumes of one structure in one case."""
    readers = [name for name in masks if name]
    pairs = {f"{a} & {b}": _dice(masks[a], masks[b]) for a, b in combinations(readers, 2)}
    model = {name: _dice(masks[""], masks[name]) for name in readers}
    drawn = {name: float(masks[name].sum()) * ml for name in readers}
    return {
        "among_readers": _mean(pairs.values()),
        "model": _mean(model.values()),
        "pairs": pairs,
        "model_with": model,
        "volumes_ml": drawn,
        "model_volume_ml": volume,
        "crps_ml": crps_gaussian(volume, list(drawn.values())),
        "crps_curvas_ml": crps_curvas(volume, list(drawn.values())),
    }


def _means(key: str, cases: Mapping[str, Any]) -> dict[str, Any]:
    rows = [case[key] for case in cases.values() if key in case]
    means: dict[str, Any] = {"n": len(rows), **{m: _mean(r[m] for r in rows) for m in _NUMBERS}}
    for part in ("pairs", "model_with"):
        means[part] = {n: _mean(r[part][n] for r in rows) for n in (rows[0][part] if rows else ())}
    return means


def _dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float | None:
    both = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / both if both else None


def _mean(values: Any) -> float | None:
    defined = [v for v in values if v is not None]
    return float(np.mean(defined)) if defined else None


def format_readers(readers: Mapping[str, Any]) -> str:
    """The agreement as text to print: one line per structure, a dash for what is not defined."""
    head = ("structure", "label", "n", "dice_among_readers", "dice_of_model", *_NUMBERS[2:])
    rows = [head]
    for key, row in readers["structures"].items():
        numbers = ("-" if row[m] is None else f"{row[m]:.3f}" for m in _NUMBERS)
        rows.append((row["name"] or "-", key, str(row["n"]), *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows
    )
