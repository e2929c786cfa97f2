"""Every verb with inputs of its own, small enough to be tried in many wrong ways; nothing is trained."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.challenge.simulate import simulate_prompts_json
from nnunet_prompt.data.care_labels import table_for
from nnunet_prompt.phantom.heart import write_phantoms
from tests.helpers.models import hand_made_dataset_json, write_model_folder
from tests.helpers.planned import write_planned

SHAPE, AFFINE = (14, 12, 6), np.diag([1.25, 1.5, 4.0, 1.0])
CASES = ("a", "b")


@dataclass(frozen=True)
class Attempt:
    """A command line: `inputs` by name are files or folders, `output` is a "file", a "folder", or "none".

    `words` makes the arguments of the inputs and the output, `variables` the environment of both.
    """

    words: Callable[[dict[str, Path], Path], list[str | Path]]
    inputs: tuple[str, ...]
    output: str = "file"
    variables: Callable[[dict[str, Path], Path], dict[str, str]] = field(default=lambda *_: {})
    torch: bool = False


def predict(*more: str) -> Callable[[dict[str, Path], Path], list[str | Path]]:
    def words(have: dict[str, Path], output: Path) -> list[str | Path]:
        given: list[str | Path] = [
            "predict",
            "-i",
            have["images"],
            "-o",
            output,
            "-m",
            have["model"],
        ]
        prompts: list[str | Path] = ["-p", have["prompts"]] if "prompts" in have else []
        return [*given, *prompts, "-device", "cpu", "--disable_tta", *more]

    return words


def raw(have: dict[str, Path], output: Path) -> dict[str, str]:
    return {"nnUNet_raw": str(output)}


def planned(have: dict[str, Path], output: Path) -> dict[str, str]:
    return {
        "nnUNet_raw": str(output),
        "nnUNet_preprocessed": str(have["preprocessed"]),
        "nnUNet_results": str(output),
    }


ATTEMPTS = {
    "predict": Attempt(predict(), ("images", "model"), "folder", torch=True),
    "predict -p": Attempt(predict(), ("images", "model", "prompts"), "folder", torch=True),
    "predict --c": Attempt(predict("--c"), ("images", "model"), "folder", torch=True),
    "submit": Attempt(
        lambda have, out: [
            *("submit", "-i", have["challenge"], "-o", out, "-m", have["model"]),
            *("-device", "cpu", "--disable_tta", "--overwrite"),
        ],
        ("challenge", "model"),
        "folder",
        torch=True,
    ),
    "submit --report": Attempt(
        lambda have, out: [
            *("submit", "-i", have["challenge"], "-o", out.with_name("masks"), "-m", have["model"]),
            *("-device", "cpu", "--disable_tta", "--report", out),
        ],
        ("challenge", "model"),
        torch=True,
    ),
    "predict --upload": Attempt(
        lambda have, out: [
            *("predict", "-i", have["download"], "-o", out, "-m", have["hearts"]),
            *("--upload", "wholeheart", "--team", "us", "-device", "cpu", "--disable_tta"),
        ],
        ("download", "hearts"),
        "folder",
        torch=True,
    ),
    "predict --refine": Attempt(
        lambda have, out: [*predict("--refine", str(have["automatic"]))(have, out)],
        ("images", "model", "prompts", "automatic"),
        "folder",
        torch=True,
    ),
    "submit --check": Attempt(
        lambda have, out: ["submit", "-i", have["challenge"], "--check", have["predictions"]],
        ("challenge", "predictions"),
        "none",
    ),
    "simulate": Attempt(lambda have, out: ["simulate", have["labels"], "-o", out], ("labels",)),
    "evaluate": Attempt(
        lambda have, out: ["evaluate", have["labels"], have["predictions"], "-o", out],
        ("labels", "predictions"),
    ),
    "interact": Attempt(
        lambda have, out: [
            *("interact", have["labels"], "-i", have["images"], "-o", out, "-m", have["model"]),
            *("--interactions", "1", "-device", "cpu", "--disable_tta"),
        ],
        ("labels", "images", "model"),
        "folder",
        torch=True,
    ),
    "evaluate --names": Attempt(
        lambda have, out: [
            *("evaluate", have["labels"], have["predictions"], "-o", out),
            *("--names", have["names"]),
        ],
        ("labels", "predictions", "names"),
    ),
    "convert msd": Attempt(
        lambda have, out: ["convert", "msd", have["msd"], "-d", "6"], ("msd",), "folder", raw
    ),
    "convert nnunet": Attempt(
        lambda have, out: ["convert", "nnunet", have["nnunet"], "-d", "7"],
        ("nnunet",),
        "folder",
        raw,
    ),
    "convert phantom": Attempt(
        lambda have, out: ["convert", "phantom", have["phantoms"], "-d", "8"],
        ("phantoms",),
        "folder",
        raw,
    ),
    "convert whs": Attempt(
        lambda have, out: ["convert", "whs", have["whs"], "-d", "9"], ("whs",), "folder", raw
    ),
    "convert unify": Attempt(
        lambda have, out: ["convert", "unify", have["whs"], "-d", "10"], ("whs",), "folder", raw
    ),
    "convert --inspect": Attempt(
        lambda have, out: ["convert", "whs", have["whs"], "--inspect", out], ("whs",)
    ),
    "weights inspect": Attempt(
        lambda have, out: ["weights", "inspect", have["model"]], ("model",), "none", torch=True
    ),
    "weights export": Attempt(
        lambda have, out: ["weights", "export", have["model"], "-o", out, "--format", "nnunet"],
        ("model",),
        "folder",
        torch=True,
    ),
    "weights merge": Attempt(
        lambda have, out: ["weights", "merge", have["checkpoint"], have["checkpoint"], "-o", out],
        ("checkpoint",),
        torch=True,
    ),
    "weights adapt": Attempt(
        lambda have, out: ["weights", "adapt", have["checkpoint"], "-d", "501", "-o", out],
        ("checkpoint", "preprocessed"),
        variables=planned,
        torch=True,
    ),
    "weights adapt --report": Attempt(
        lambda have, out: [
            *("weights", "adapt", have["checkpoint"], "-d", "501"),
            *("-o", out.with_name("start.pth"), "--report", out),
        ],
        ("checkpoint", "preprocessed"),
        variables=planned,
        torch=True,
    ),
    "weights plan": Attempt(
        lambda have, out: ["weights", "plan", have["checkpoint"], "-d", "501"],
        ("checkpoint", "preprocessed"),
        "none",
        planned,
        torch=True,
    ),
    "weights fetch": Attempt(
        lambda have, out: ["weights", "fetch", "openmind-mae", "-o", out], (), "folder"
    ),
    "plan": Attempt(
        lambda have, out: ["plan", "-d", "501"], ("preprocessed",), "none", planned, torch=True
    ),
    "train": Attempt(
        lambda have, out: ["train", "501", "3d_fullres", "0", "-device", "cpu"],
        ("preprocessed",),
        "folder",
        planned,
        torch=True,
    ),
    "train -pretrained_weights": Attempt(
        lambda have, out: [
            *("train", "501", "3d_fullres", "0", "-device", "cpu"),
            *("-pretrained_weights", have["checkpoint"]),
        ],
        ("checkpoint", "preprocessed"),
        "folder",
        planned,
        torch=True,
    ),
    "demo": Attempt(lambda have, out: ["demo", "-o", out], (), "folder"),
    "phantom": Attempt(lambda have, out: ["phantom", "heart", "-o", out, "-n", "1"], (), "folder"),
}


def build(root: Path) -> dict[str, Path]:
    """Writes the inputs of all attempts below `root` and returns them by name."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 3:8, 1:5], labels[5:7, 4:6, 2:4] = 1, 2
    have = {name: root / name for name in ("images", "labels", "predictions", "model", "whs")}
    for case in CASES:
        image = rng.normal(100, 20, SHAPE).astype(np.float32)
        _save(have["images"] / f"{case}.nii.gz", image)
        for folder in ("labels", "predictions"):
            _save(have[folder] / f"{case}.nii.gz", labels)
        whole = np.array([0, 500, 205], np.int16)[labels]
        _save(have["whs"] / f"Case100{CASES.index(case)}_image.nii.gz", image.astype(np.int16))
        _save(have["whs"] / f"Case100{CASES.index(case)}_label.nii.gz", whole)
        _save(root / "nnunet" / "imagesTr" / f"{case}_0000.nii.gz", image)
        _save(root / "nnunet" / "labelsTr" / f"{case}.nii.gz", labels)
    (root / "nnunet" / "dataset.json").write_text(json.dumps(hand_made_dataset_json()))
    have["nnunet"] = root / "nnunet"
    have["phantoms"] = write_phantoms(root / "phantoms", 1)
    have["challenge"] = root / "challenge"
    shutil.copytree(have["images"], have["challenge"] / "images")
    box = {"boxes": [{"lower": [3, 3, 1], "upper": [9, 8, 5]}]}
    own = {"format": "nnunet-prompt", "version": 1, "cases": {c: {"1": box} for c in CASES}}
    have["prompts"] = root / "prompts.json"
    have["prompts"].write_text(json.dumps(own))
    simulate_prompts_json(have["labels"], have["challenge"] / "prompts.json")
    write_model_folder(have["model"])
    have["automatic"] = Path(shutil.copytree(have["labels"], root / "automatic"))
    have["names"] = root / "names.json"
    have["names"].write_text(json.dumps({"labels": {"background": 0, "LV": 1}}))
    have["download"], have["hearts"] = root / "download", root / "hearts"
    _save(have["download"] / "ct_val" / "CaseCTVal001_image.nii.gz", image)
    write_model_folder(have["hearts"], table=table_for("whs"))
    have["msd"] = _write_msd(root)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("raw", "preprocessed", "results"):
            patch.setenv(f"nnUNet_{name}", "")
        write_planned(root, plans="nnUNetPlans")
    have["preprocessed"] = root / "preprocessed"
    have["checkpoint"] = have["model"] / "fold_0" / "checkpoint_final.pth"
    return have


def _write_msd(root: Path) -> Path:
    """The same cases in the layout of the Medical Segmentation Decathlon."""
    folder = root / "msd"
    names = {"image": "imagesTr", "label": "labelsTr"}
    for kind, part in names.items():
        (folder / part).mkdir(parents=True)
        for case in CASES:
            source = root / f"{kind}s" / f"{case}.nii.gz"
            shutil.copy(source, folder / part)
    training = [{k: f"./{part}/{case}.nii.gz" for k, part in names.items()} for case in CASES]
    labels = {"0": "background", "1": "ball", "2": "shell"}
    content = {"modality": {"0": "MR"}, "labels": labels, "training": training}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def hashes(root: Path) -> dict[str, str]:
    """The hash of every file, and the target of every link."""
    return dict(_hashes(root))


def _hashes(root: Path) -> Iterator[tuple[str, str]]:
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder) / name
            content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
            yield str(path.relative_to(root)), hashlib.sha256(content).hexdigest()


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE), path)
