"""Every recipe is one class of its file's name, found by nnU-Net from the folder that we give it."""

from __future__ import annotations

import ast
import functools
import os
from pathlib import Path
from typing import Any

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunet_prompt.training.experts import ExpertsTrainer
from nnunet_prompt.training.external_trainers import environment, trainers_dir
from nnunet_prompt.training.plain import PlainTrainer
from nnunet_prompt.training.schedule import CPU_SCHEDULE, Schedule
from nnunet_prompt.training.supported import SupportTrainer
from nnunet_prompt.training.trainer import PromptTrainer
from nnunet_prompt.training.tune import TuneTrainer
from tests.helpers.each import each

# searching, nnU-Net imports every trainer that it has, some of which use what is deprecated
pytestmark = pytest.mark.filterwarnings("ignore")
TUNING = {
    "nnUNetTrainerPromptAffine": "affine",
    "nnUNetTrainerPromptBias": "bias",
    "nnUNetTrainerPromptLoRA": "lora",
    "nnUNetTrainerPromptDecoder": "decoder",
    "nnUNetTrainerPromptSpatialAdapter": "spatial",
    "nnUNetTrainerPromptLinearProbe": "linear",
    "nnUNetTrainerPromptFinetune": "full",
}
RECIPES = sorted(p.stem for p in trainers_dir().glob("nnUNetTrainer*.py"))


@functools.cache
def found(name: str) -> Any:
    """Asks nnU-Net once, which imports every trainer that it has and then ours."""
    os.environ.update(environment())
    return recursive_find_trainer_class_by_name(name)


def test_the_recipes_of_the_documentation_are_there() -> None:
    assert set(RECIPES) >= {
        "nnUNetTrainerPrompt",
        "nnUNetTrainerPrompt_250epochs",
        "nnUNetTrainerPromptCPU",
        "nnUNetTrainerPromptDemo",
        "nnUNetTrainerPlainCPU",
        "nnUNetTrainerPromptVoxel",
        "nnUNetTrainerPromptExperts",
        "nnUNetTrainerPromptCPUExperts",
        "nnUNetTrainerPromptSupport",
        "nnUNetTrainerPromptCPUSupport",
        *TUNING,
    }


@each("name", RECIPES)
def test_nnunet_finds_it(name: str) -> None:
    recipe = found(name)
    assert recipe.__name__ == name
    assert issubclass(recipe, nnUNetTrainer)
    assert (recipe.__doc__ or "").strip()


@each("name", RECIPES)
def test_it_is_a_leaf_that_sets_class_attributes_and_nothing_else(name: str) -> None:
    tree = ast.parse((Path(trainers_dir()) / f"{name}.py").read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [c.name for c in classes] == [name]
    assert not [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))]
    base = found(name).__mro__[1]
    assert base in (PromptTrainer, PlainTrainer, TuneTrainer, ExpertsTrainer, SupportTrainer)
    own = {k for k in vars(found(name)) if not k.startswith("__")}
    assert own <= {
        "schedule",
        "mixture",
        "point_shape",
        "point_radius",
        "point_metric",
        "mirror_at_inference",
        "tuning",
    }


def test_their_schedules() -> None:
    assert found("nnUNetTrainerPrompt").schedule == Schedule()
    assert found("nnUNetTrainerPrompt_250epochs").schedule == Schedule(epochs=250)
    prompted, plain = found("nnUNetTrainerPromptCPU"), found("nnUNetTrainerPlainCPU")
    assert prompted.schedule == plain.schedule == CPU_SCHEDULE
    assert not prompted.mirror_at_inference  # the plain baseline does not mirror either
    demo = found("nnUNetTrainerPromptDemo").schedule
    assert demo.epochs * demo.iterations <= 450


def test_the_baseline_is_stock_in_everything_but_the_schedule() -> None:
    plain = found("nnUNetTrainerPlainCPU")
    for name in ("build_network_architecture", "_build_loss", "train_step", "validation_step"):
        assert getattr(plain, name) is getattr(nnUNetTrainer, name)
    assert plain.perform_actual_validation is nnUNetTrainer.perform_actual_validation


@each("name", list(TUNING))
def test_each_tuning_recipe_tunes_what_its_name_says(name: str) -> None:
    recipe = found(name)
    assert recipe.tuning.method == TUNING[name]
    assert (
        recipe.schedule.optimizer == "adamw"
    )  # the same length for all, so that they can be compared
    assert recipe.schedule.epochs * recipe.schedule.iterations == 1000
