"""Trainings with supports: what a sample is shown, that its region is the same place, and that the rest goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.learn.options import LearnOptions
from nnunet_prompt.learn.run import learn
from nnunet_prompt.networks.adapter_file import read_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.task_vector import has_task_vectors, is_of_task_vectors
from nnunet_prompt.training.regions import Region, draw_region
from nnunet_prompt.training.show_support import (
    ShowSupport,
    SupportDataset,
    SupportNote,
    SupportShares,
)
from nnunet_prompt.training.supported import SupportTrainer
from nnunet_prompt.weights.export import export_model
from nnunet_prompt.weights.inspect import describe
from tests.helpers.each import each
from tests.helpers.models import make_trainer, write_model_folder
from tests.helpers.tiny_data import TinyData, affine, tiny_case, tiny_data, train
from tests.training.samples import CLEAN, targets

pytestmark = pytest.mark.slow
SHAPE = (6, 10, 12)
STRUCTURES = (Structure("low", 1, (1,), 1), Structure("high", 2, (2,), 2))
KNOWN = {"a": ("low", "high"), "b": ("low", "high"), "c": ("low",), "d": ("high",)}
TABLE = StructureTable(STRUCTURES, annotated={k: frozenset(v) for k, v in KNOWN.items()})


class Cases:
    """A data set in memory: `low` is at the bottom and dark, `high` at the top and bright, of each case but `d`."""

    identifiers = tuple(KNOWN)

    def load_case(self, name: str) -> Any:
        rng = np.random.default_rng(ord(name))
        labels = np.zeros((1, *SHAPE), np.int16)
        labels[0, :2, 2:8], labels[0, -2:, 3:7] = 1, 2
        image = (labels * 2.0 + rng.normal(0, 0.01, labels.shape)).astype(np.float32)
        if name == "d":
            labels[labels == 2] = 0
        places = {k: np.argwhere(labels == k) for k in (1, 2)}
        return image, labels, None, {"class_locations": places}


def whole(**data: Any) -> Any:
    """An augmentation that leaves everything as it is."""
    return data


def dataset(shares: SupportShares) -> SupportDataset:
    note = SupportNote(augment=whole, size=SHAPE)  # type: ignore[arg-type]
    return SupportDataset(Cases(), note, TABLE, shares=shares)


def shown(
    cases: SupportDataset,
    case: str,
    box: tuple[slice, ...] = (slice(0, 6), slice(0, 10), slice(0, 12)),
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """What the network would see of a case, and the targets."""
    transform = ShowSupport(targets(CLEAN, table=TABLE, style=targets().style), cases.note)
    data, labels, _, _ = cases.load_case(case)
    where = (slice(None), *box)
    image = torch.from_numpy(np.asarray(data[where]))
    given = {"image": image, "segmentation": torch.from_numpy(np.asarray(labels[where]))}
    made = transform(**given)
    return made["image"].numpy(), made["segmentation"].numpy()


@pytest.fixture(autouse=True)
def seeded() -> None:
    np.random.seed(3)  # noqa: NPY002 - what nnU-Net's workers reseed


def test_a_structure_is_asked_for_by_another_case_that_annotates_it() -> None:
    cases = dataset(SupportShares(1, 0))
    asked = set()
    for _ in range(12):
        image, heads = shown(cases, "a")
        assert image.shape == (1 + 7 + 2, *SHAPE) and heads.shape == (3, *SHAPE)
        assert not image[1:8].any() and (heads[1:] == -1).all()
        data, labels, _, _ = Cases().load_case("a")
        of = [k for k in (1, 2) if np.array_equal(heads[0] == 1, labels[0] == k)]
        assert len(of) == 1
        asked |= set(of)
        mask = image[9] > 0
        sources = [n for n in "bcd" if np.array_equal(Cases().load_case(n)[0][0], image[8])]
        assert sources and (sources[0] != "d")  # which annotates `high` and does not show it
        assert of == [1] or sources == ["b"]
        assert np.array_equal(mask, Cases().load_case(sources[0])[1][0] == of[0])
        del data
    assert asked == {1, 2}


def test_a_region_is_alike_at_the_same_place_in_a_case_of_the_same_kind() -> None:
    cases = dataset(SupportShares(1, 1))
    found = 0
    for _ in range(20):
        image, heads = shown(cases, "a")
        region = cases.note.region
        assert region is not None
        if not image[9].any():
            continue  # too few voxels there: an ordinary sample
        found += 1
        assert np.array_equal(image[8], Cases().load_case("b")[0][0])  # not of c or d
        assert np.array_equal(heads[0] == 1, region.inside(image[0], (0, 0, 0), SHAPE))
        assert np.array_equal(image[9] > 0, region.inside(image[8], (0, 0, 0), SHAPE))
        assert (heads[1:] == -1).all()
    assert found > 5


def test_without_a_support_samples_are_as_always_with_empty_channels() -> None:
    image, heads = shown(dataset(SupportShares(0, 0)), "a")
    assert image.shape[0] == 10 and not image[8:].any()
    assert image[1:8].any() and (heads[0] == 1).any()


def test_where_no_other_case_annotates_it_the_sample_is_an_ordinary_one() -> None:
    cases = dataset(SupportShares(1, 0))
    cases.identifiers = ["a", "d"]
    kinds = {bool(shown(cases, "d")[0][8:].any()) for _ in range(6)}
    assert kinds == {True}  # a shows `high`
    cases.identifiers = ["d"]
    assert not shown(cases, "d")[0][8:].any()


@each("share", [0.0, 0.25, 0.34, 1.0])
def test_supports_are_evenly_spread(share: float) -> None:
    cases = dataset(SupportShares(share, 0.5))
    decided = []
    for _ in range(100):
        cases.load_case("a")
        decided.append(cases.note.supported)
    assert abs(sum(decided) - 100 * share) <= 1


def test_a_region_does_not_depend_on_where_the_patch_lies() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 20, 22, 24)).astype(np.float32)
    low, shape = (4, 5, 6), image.shape[1:]
    part = image[:, 4:14, 5:17, 6:20]
    for _ in range(10):
        region = draw_region(part, low, shape, rng, patch=(10, 12, 14))
        near = region.inside(part[region.channel], low, shape)
        far = region.inside(image[region.channel], (0, 0, 0), shape)[4:14, 5:17, 6:20]
        inner = (slice(4, -4),) * 3  # the Gaussian sees the border of a patch
        assert np.array_equal(near[inner], far[inner])
        seed = tuple(c - a for c, a in zip(region.centre(shape), low, strict=True))
        assert near[seed]


def test_a_region_has_its_radii_and_its_band() -> None:
    image = np.zeros((9, 9, 9), np.float32)
    region = Region(0, 0.0, 0.5, ((0.5, 0.5, 0.5),), ((2.5, 1.5, 1.0),))
    inside = region.inside(image, (0, 0, 0), image.shape)
    assert inside[4, 4, 4] and inside[6, 4, 4] and not inside[7, 4, 4] and not inside[4, 4, 5]
    assert not region.inside(image + 1, (0, 0, 0), image.shape).any()
    everywhere = Region(0, 1.0, 0.5, ((0.5, 0.5, 0.5),), ((1.0, 1.0, 1.0),), everywhere=True)
    assert everywhere.inside(image + 1, (0, 0, 0), image.shape).all()


def test_it_starts_at_pretrained_weights_and_shows_what_it_added(without_cases: Path) -> None:
    base = write_model_folder(without_cases / "base") / "fold_0" / "checkpoint_final.pth"
    trainer = make_trainer(trainer=SupportTrainer)
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(base))
    assert not has_task_vectors(trainer.network.state_dict())
    trainer.on_train_start()
    assert has_task_vectors(trainer.network.state_dict())
    trained = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in trainer.network.parameters()} == trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that nnU-Net has trained with supports."""
    data: TinyData = tiny_data(tmp_path_factory)
    name = "nnUNetTrainerPromptCPUSupport"
    train(data, "3d_fullres", trainer=name, iterations=60)
    return data.model(name, "3d_fullres")


def support_of_two(folder: Path) -> Path:
    """Images and label maps of two cases, of which the second has the structure 9 alone."""
    import nibabel as nib

    for number in range(2):
        image, labels = tiny_case(number)
        chosen = np.where(labels == 2, 9, 5 * (labels == 1) * (number == 0)).astype(np.uint8)
        for part, array, ending in (
            ("images", image, "_0000.nii.gz"),
            ("labels", chosen, ".nii.gz"),
        ):
            (folder / part).mkdir(parents=True, exist_ok=True)
            turned = array.T
            placed = affine()[:, [2, 1, 0, 3]]
            nib.save(nib.Nifti1Image(turned, placed), folder / part / f"case_{number}{ending}")
    return folder


def learned(model: Path, folder: Path, **options: Any) -> Any:
    return learn(
        folder / "images",
        folder / "labels",
        model=model,
        output=folder / "new",
        options=LearnOptions(kind="vector", names="5=first,9=second", **options),
        running=PredictOptions(device="cpu"),
    )


def test_a_trained_model_takes_a_support_set(trained: Path, tmp_path: Path) -> None:
    weights = read_checkpoint(trained / "fold_0" / "checkpoint_final.pth")["network_weights"]
    moved = [t for n, t in weights.items() if is_of_task_vectors(n)]
    assert moved and all(bool(t.abs().max() > 0) for t in moved)
    support = support_of_two(tmp_path)
    made = learned(trained, support)
    assert made.kind == "vector" and made.iterations == 0 and made.structures == ("first", "second")
    assert len(made.dice["vector"]) == 2
    assert made.file.stat().st_size < 60_000
    adapter = read_adapter(made.file)
    assert adapter.tensors["support.shown"][:, :].sum(0).tolist() == [1.0, 2.0]
    content = read_checkpoint(made.file)
    assert content["learned"]["cases"] == 2 and len(content["learned"]["support_sha256"]) == 64
    predictor = PromptPredictor(trained, PredictOptions(device="cpu", adapter=made.file))
    assert predictor.table.names == ("first", "second")
    answer = predictor.predict_structures(support / "images" / "case_0_0000.nii.gz")
    assert set(np.unique(answer)) <= {0, 5, 9}


def test_the_same_support_makes_the_same_file(trained: Path, tmp_path: Path) -> None:
    first, second = (learned(trained, support_of_two(tmp_path / n)) for n in "ab")
    one, two = (read_adapter(made.file) for made in (first, second))
    assert all(torch.equal(one.tensors[n], two.tensors[n]) for n in one.tensors)
    assert first.dice == second.dice


def test_other_models_refuse_the_kind(tmp_path: Path) -> None:
    model = write_model_folder(tmp_path / "m")
    with pytest.raises(
        ModelError, match=r"m: takes no support set as task vectors.*Support"
    ) as told:
        learned(model, support_of_two(tmp_path))
    assert "\n" not in str(told.value) and not (tmp_path / "new.pth").exists()


def test_what_nnunet_takes_is_the_network_without_supports(trained: Path, tmp_path: Path) -> None:
    assert "task vectors" in describe(trained / "fold_0" / "checkpoint_final.pth")
    export_model(trained, tmp_path / "out", "nnunet")
    weights = read_checkpoint(tmp_path / "out" / "fold_0" / "checkpoint_final.pth")
    assert not has_task_vectors(weights["network_weights"])
