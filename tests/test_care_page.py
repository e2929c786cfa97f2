"""Every command of docs/care.md, on phantom downloads with all their defects: from zip files to a submission."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.data.side_file import SIDE_FILE

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[1] / "docs" / "care.md"
ON_A_CPU = "PLANS=nnUNetPromptCPUPlans TRAINER=nnUNetTrainerShort DEVICE=cpu"
TASKS = ("myops", "whs", "lascarqs", "liqa")
CASES = 6  # phantoms per task instead of the page's 8
# The demo's recipe with the smallest case to validate on, because a full validation of four tasks takes minutes.
SHORT = """
import math, pathlib, blosc2
from nnunet_prompt.trainers.nnUNetTrainerPromptDemo import nnUNetTrainerPromptDemo
class nnUNetTrainerShort(nnUNetTrainerPromptDemo):
    def do_split(self):
        train, validation = super().do_split()
        folder = pathlib.Path(self.preprocessed_dataset_folder)
        voxels = lambda k: math.prod(blosc2.open(str(folder / f"{k}.b2nd"), mode="r").shape)
        return train, [min(validation, key=voxels)]
"""
PLAIN_EPOCH = """
import sys
sys.modules["nnunet_prompt"] = None  # nnU-Net alone
import torch
from nnunetv2.run.run_training import get_trainer_from_args
names = ("nnUNetTrainer", "nnUNetPromptCPUPlans")
trainer = get_trainer_from_args("510", "3d_fullres", 0, *names, device=torch.device("cpu"))
trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 2, 1
trainer.run_training()
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A folder in which the commands of the page have run."""

    folder: Path
    variables: dict[str, str]

    def bash(self, script: str) -> str:
        """Runs a script and returns what it printed; fails the test with its last lines if it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    @property
    def model(self) -> Path:
        return (
            self.folder
            / "results/Dataset510_CARE/nnUNetTrainerShort__nnUNetPromptCPUPlans__3d_fullres"
        )

    def side(self) -> dict[str, dict[str, str]]:
        content = json.loads((self.folder / "raw/Dataset510_CARE" / SIDE_FILE).read_text())
        cases: dict[str, dict[str, str]] = content["cases"]
        return cases


def blocks() -> list[str]:
    """The page's blocks of commands, as they are printed."""
    return re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def settings(block: str) -> str:
    """A block with the page's own values for a CPU, and fewer phantoms."""
    changed = re.sub(r"^PLANS=\S+ TRAINER=\S+ DEVICE=\S+", ON_A_CPU, block)
    return changed.replace("-n 8 ", f"-n {CASES} ")


@pytest.fixture(scope="module")
def care(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The first block of the page, run once."""
    folder = tmp_path_factory.mktemp("care")
    variables = {k: v for k, v in os.environ.items() if not k.startswith("nnUNet")}
    variables |= {f"nnUNet_{n}": str(folder / n) for n in ("raw", "preprocessed", "results")}
    variables |= {"nnUNet_def_n_proc": "2", "nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    trainers = folder / "trainers"
    trainers.mkdir()
    (trainers / "nnUNetTrainerShort.py").write_text(SHORT)
    variables |= {"nnUNet_prompt_iterations": "2", "nnUNet_extTrainer": str(trainers)}
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = Run(folder, variables)
    block = blocks()[0]
    assert settings(block) != block
    run.bash(settings(block))
    return run


def test_the_page_is_one_screen_of_commands() -> None:
    assert len(blocks()[0].splitlines()) < 25


@pytest.mark.parametrize("task", TASKS)
def test_every_case_of_a_test_set_is_answered_and_scored(care: Run, task: str) -> None:
    truths = {p.name for p in (care.folder / "mock" / task / "hidden_labels").iterdir()}
    masks = {p.name for p in (care.folder / "out" / task).iterdir()}
    assert truths
    assert masks == {name.replace(".nii.gz", "_pred.nii.gz") for name in truths}
    scored = json.loads((care.folder / "out" / f"{task}.json").read_text())
    assert len(scored["cases"]) == len(truths)


def test_all_tasks_are_in_the_data_set(care: Run) -> None:
    assert {entry["task"] for entry in care.side().values()} == set(TASKS)
    dataset = json.loads((care.folder / "raw/Dataset510_CARE/dataset.json").read_text())
    assert dataset["channel_names"] == {"0": "image"}
    assert len(dataset["labels"]) == 14  # background and the thirteen atoms of the registry


def test_no_patient_centre_or_path_reaches_a_model_folder(care: Run) -> None:
    words = {str(care.folder / "downloads")}
    for entry in care.side().values():
        words |= {entry[k] for k in ("patient", "source")}
        words |= {Path(entry["source"]).name, entry["patient"].split(":")[-1]}
        words |= {part for part in Path(entry["source"]).parts if len(part) > 5}
        words |= {entry["centre"]} if len(entry.get("centre", "")) > 2 else set()
    words = {w for w in words if len(w) > 3}  # "A" is in every file
    assert any("Case1001" in w for w in words)
    for path in sorted(p for p in care.model.rglob("*") if p.is_file()):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        found = [w for w in words if w.encode() in content]
        assert not found, f"{path.relative_to(care.model)} holds {found[0]!r}"


def test_a_fold_that_holds_out_a_centre_trains(care: Run) -> None:
    folds = json.loads((care.folder / "raw/Dataset510_CARE/nnunet_prompt_folds.json").read_text())
    fold = next(f["fold"] for f in folds["folds"] if f.get("task") == "myops")
    arguments = f"510 3d_fullres {fold} -p nnUNetPromptCPUPlans -tr nnUNetTrainerShort"
    care.bash(f'eval "$(nnunet-prompt env)"\nnnUNetv2_train {arguments} -device cpu')
    assert (care.model / f"fold_{fold}" / "checkpoint_final.pth").is_file()


def test_stock_nnunet_trains_on_the_same_data_without_our_package(care: Run) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_EPOCH],
        cwd=care.folder,
        env=care.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    folder = care.folder / "results/Dataset510_CARE"
    model = folder / "nnUNetTrainer__nnUNetPromptCPUPlans__3d_fullres/fold_0"
    assert (model / "checkpoint_final.pth").is_file()


def test_sequences_as_channels_train_as_well(care: Run) -> None:
    care.bash(
        "nnunet-prompt convert myops downloads/myops -d 512 --stack-sequences --leave-out\n"
        "nnUNet_n_proc_DA=1 nnUNetv2_plan_and_preprocess -d 512 -c 3d_fullres -np 1 -npfp 1\n"
        "nnunet-prompt plan -d 512\n"
        'eval "$(nnunet-prompt env)"\n'
        "nnUNetv2_train 512 3d_fullres 0 -p nnUNetPromptCPUPlans -tr nnUNetTrainerShort"
        " -device cpu"
    )
    dataset: dict[str, Any] = json.loads(
        (care.folder / "preprocessed/Dataset512_MyoPS/dataset.json").read_text()
    )
    assert list(dataset["channel_names"].values()) == ["C0", "LGE", "T2"]


def test_care_cardiac_is_predicted_and_packed(care: Run) -> None:
    block = f"{ON_A_CPU}\nMODEL={care.model}\n{blocks()[-1]}"
    care.bash(block)
    labels = json.loads((care.folder / "raw/Dataset511_CARECardiac/dataset.json").read_text())[
        "labels"
    ]
    assert "liver" not in labels
    zips = {p.name for p in (care.folder / "upload").glob("*.zip")}
    assert len(zips) == 3, zips
