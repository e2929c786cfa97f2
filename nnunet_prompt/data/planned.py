"""A data set that nnU-Net has planned and preprocessed: found by id or name, with its plans and its cases.

    nnUNet_preprocessed/Dataset901_Heart/
      dataset.json, dataset_fingerprint.json, splits_final.json
      nnUNetPlans.json, ...            plans, each with its configurations
      nnUNetPlans_3d_fullres/          data_identifier of a configuration: <case>.b2nd (or .npz) and <case>.pkl
      gt_segmentations/                <case><file_ending>
nnU-Net looks at all this without a check and ends in a traceback. Nothing here imports torch or nnU-Net.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError, did_you_mean
from nnunet_prompt.data.splits import SPLITS_FILE
from nnunet_prompt.io.json_file import read_object

ROOTS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_NOT_PLANS = {"dataset.json", "dataset_fingerprint.json", SPLITS_FILE}
_PREPROCESSED = {"b2nd", "npz", "npy", "pkl"}  # endings of nnU-Net's own files


@dataclass(frozen=True, slots=True)
class Planned:
    """A configuration of the plans of a data set. `settings` are its own and those that it inherits."""

    folder: Path
    plans: Mapping[str, Any]
    plans_name: str
    configuration: str
    settings: Mapping[str, Any]
    dataset_json: Mapping[str, Any]

    @property
    def dataset_id(self) -> str:
        return self.folder.name[7:10]

    @property
    def data(self) -> Path:
        """The folder of the preprocessed cases."""
        return self.folder / str(self.settings.get("data_identifier", ""))

    def cases(self) -> list[str]:
        """The preprocessed cases, sorted. Raises `DatasetError` where there is none, and for files of another kind."""
        return preprocessed_cases(
            self.data, f"-d {self.dataset_id} -plans_name {self.plans_name} -c {self.configuration}"
        )


def dataset_folder(wanted: str) -> Path:
    """The folder of nnUNet_preprocessed for an id ("901") or a name. Raises `DatasetError` where there is not one."""
    root = Path(os.environ.get("nnUNet_preprocessed", ""))
    if not root.is_dir():
        raise DatasetError(f"nnUNet_preprocessed: {root}: no such folder")
    wanted = wanted.rstrip("/")
    known = sorted(p.name for p in root.glob("Dataset*") if p.is_dir())
    if wanted.startswith("Dataset"):
        found = [name for name in known if name == wanted]
    elif wanted.isdecimal():
        found = [name for name in known if name.startswith(f"Dataset{int(wanted):03d}")]
        _refuse_two_names(int(wanted))
    else:
        raise DatasetError(
            f"data set {wanted!r}: expected an id such as 901, or a name such as Dataset901_Heart"
            f"{did_you_mean(wanted, known)}"
        )
    if not found:
        raise DatasetError(
            f"data set {wanted}: not in {root}{_only_raw(wanted) or did_you_mean(wanted, known)}"
        )
    return root / found[0]


def open_planned(wanted: str, plans_name: str, configuration: str) -> Planned:
    """Reads the plans of a data set. Raises `DatasetError` for an unknown data set, plans or configuration."""
    folder = dataset_folder(wanted)
    number = folder.name[7:10]
    path = folder / f"{plans_name}.json"
    if not path.is_file():
        known = plans_of(folder)
        raise DatasetError(
            f"plans {plans_name}: no file {path}{did_you_mean(plans_name, known)}"
            + ("" if known else f": run `nnUNetv2_plan_and_preprocess -d {number}` first")
        )
    plans = read_planned(path)
    for name in ("dataset.json", "dataset_fingerprint.json"):
        if not (folder / name).is_file():
            raise DatasetError(
                f"{folder / name}: no such file: run `nnUNetv2_plan_and_preprocess -d {number}` again"
            )
    settings = settings_in(plans, configuration, str(path))
    described = read_planned(folder / "dataset.json")
    return Planned(folder, plans, plans_name, configuration, settings, described)


def plans_of(folder: Path) -> list[str]:
    """The names of the plans of a data set."""
    return sorted(p.stem for p in folder.glob("*.json") if p.name not in _NOT_PLANS)


def settings_in(plans: Mapping[str, Any], configuration: str, where: str) -> dict[str, Any]:
    """A configuration with what it inherits, as nnU-Net reads it.

    Raises `DatasetError` where the plans are not of nnU-Net 2 or have no such configuration; of a cascade it states
    that nnU-Net plans one for some data sets only.
    """
    known = plans.get("configurations")
    if not isinstance(known, Mapping) or not known:
        raise DatasetError(f"{where}: not plans of nnU-Net 2, they have no configurations")
    if configuration not in known and "cascade" in configuration:
        raise DatasetError(
            f"configuration {configuration}: {where} has no cascade, as nnU-Net plans one only where images are much"
            f" larger than a patch; there are {', '.join(sorted(known))}"
        )
    chain: list[Mapping[str, Any]] = []
    name: Any = configuration
    while name is not None:
        if name not in known or len(chain) > len(known):
            raise DatasetError(
                f"configuration {name}: not in {where}{did_you_mean(str(name), known)}"
            )
        chain.append(known[name])
        name = known[name].get("inherits_from")
    return {key: value for part in reversed(chain) for key, value in part.items()}


def refuse_cascade(plans: Mapping[str, Any], configuration: str) -> None:
    """Raises `DatasetError` for a configuration with a previous stage, which would need prompts of its own."""
    if plans.get("configurations", {}).get(configuration, {}).get("previous_stage"):
        raise DatasetError(
            f"configuration {configuration}: cascades are not supported, a previous stage would need prompts of its"
            " own; train 3d_fullres, 3d_lowres or 2d instead"
        )


def preprocessed_cases(folder: Path, options: str) -> list[str]:
    """The cases in a folder of preprocessed data; `options` are those of the command that makes it.

    Raises `DatasetError` where there is none, and for files that nnU-Net would take for cases in another format.
    """
    files = sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
    cases = [p.stem for p in files if p.suffix == ".pkl"]
    again = f"run `nnUNetv2_preprocess {options}`"
    if not cases:
        raise DatasetError(f"{folder}: holds no preprocessed case: {again} first")
    endings = {p.name.rpartition(".")[2] for p in files}
    unexpected = [p for p in files if p.name.rpartition(".")[2] not in _PREPROCESSED]
    if unexpected:
        raise DatasetError(
            f"{unexpected[0]}: not a preprocessed case, and nnU-Net takes every file here for one: move it away"
        )
    if not endings & {"b2nd", "npz"} or {"b2nd", "npz"} <= endings:
        raise DatasetError(
            f"{folder}: expected cases in one format, .b2nd or .npz, found {', '.join(sorted(endings))}: remove the"
            f" folder and {again} again"
        )
    return cases


def read_planned(path: Path) -> dict[str, Any]:
    """A JSON file of nnU-Net. Raises `DatasetError` where it cannot be read or is not an object."""
    return read_object(path, DatasetError, way_out=": plan again")


def _refuse_two_names(number: int) -> None:
    """nnU-Net looks for an id in all three of its folders, and knows no data set of two names."""
    found: dict[str, str] = {}
    for variable in ROOTS:
        root = Path(os.environ.get(variable) or os.devnull)
        for path in sorted(root.glob(f"Dataset{number:03d}*/")) if root.is_dir() else ():
            found.setdefault(path.name, variable)
    if len(found) > 1:
        where = ", ".join(f"{name} in {variable}" for name, variable in found.items())
        raise DatasetError(
            f"data set {number}: has {len(found)} names ({where}): give the name instead of the number"
        )


def _only_raw(wanted: str) -> str:
    """The way out where the data set is there, but not planned."""
    root = Path(os.environ.get("nnUNet_raw") or os.devnull)
    prefix = wanted if wanted.startswith("Dataset") else f"Dataset{int(wanted):03d}_"
    found = sorted(p.name for p in root.glob(f"{prefix}*")) if root.is_dir() else []
    if not found:
        return ""
    return f": run `nnUNetv2_plan_and_preprocess -d {found[0][7:10]}` first"
