"""The sliding window, with networks so simple that the answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT
from nnunet_prompt.prompts.encode import PromptStyle, Window, encode, style_for
from nnunet_prompt.prompts.types import Box, Point, PromptSet
from nnunet_prompt.sliding_window.canvas import NOTHING
from nnunet_prompt.sliding_window.sliding_window import Engine
from tests.helpers.each import each
from tests.helpers.models import hand_made_dataset_json, hand_made_plans

CPU = torch.device("cpu")
STYLE = style_for((4.0, 1.5, 1.25))


class Copies(nn.Module):
    """The object is the box channel; structure 1 is the image, structure 2 its negative."""

    def __init__(self, channel: int = BOX[0]) -> None:
        super().__init__()
        self.channel = channel
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(x.shape[0])
        image = x[:, :1]
        prompt = x[:, 1 + self.channel : 2 + self.channel]
        return torch.cat([10 * prompt - 5, image, -image], 1)


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.full((x.shape[0], 3, *x.shape[2:]), 3.0)


def engine(network: nn.Module, patch: tuple[int, ...] = (4, 6, 6), **changes: Any) -> Engine:
    settings: dict[str, Any] = {"style": STYLE, "device": CPU, **changes}
    return Engine(network=network.eval(), patch_size=patch, **settings)


def volume(shape: tuple[int, int, int] = (5, 14, 9), channels: int = 1) -> Tensor:
    return torch.randn((channels, *shape), generator=torch.Generator().manual_seed(0))


def box(lower: tuple[int, int, int], upper: tuple[int, int, int]) -> PromptSet:
    return PromptSet(boxes=(Box(lower, upper),))


def filled(shape: tuple[int, ...], said: Box) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(int(a), int(b)) for a, b in zip(said.lower, said.upper, strict=True))] = True
    return mask


class TestObjects:
    @each("patch", [(4, 6, 6), (8, 20, 16), (5, 14, 9), (6, 6), (20, 4)])
    def test_a_network_that_copies_its_box_gives_the_box(self, patch: tuple[int, ...]) -> None:
        """Patches smaller and larger than the volume, exactly as large, and slices of a 2d configuration."""
        image = volume()
        said = Box((1, 2, 3), (4, 12, 8))
        logits = engine(Copies(), patch).objects(image, [PromptSet(boxes=(said,))])
        assert logits.shape == (1, 5, 14, 9) and logits.dtype == torch.float32
        assert np.array_equal(logits[0].numpy() > 0, filled((5, 14, 9), said))
        inside = logits[0].numpy()[filled((5, 14, 9), said)]
        assert np.allclose(inside, 5.0)

    def test_every_label_has_its_own_prompts(self) -> None:
        sets = [box((0, 0, 0), (5, 3, 9)), box((2, 8, 1), (3, 14, 4)), box((0, 5, 5), (1, 6, 6))]
        together = engine(Copies()).objects(volume(), sets)
        for i, one in enumerate(sets):
            assert torch.equal(together[i], engine(Copies()).objects(volume(), [one])[0])

    def test_labels_share_batches_up_to_the_limit(self) -> None:
        sets = [box((0, 0, 0), (5, 14, 9))] * 5
        network = Copies()
        engine(network, (8, 16, 12), max_batch=2).objects(volume(), sets)
        assert network.batches == [2, 2, 1]

    def test_a_tile_without_anything_positive_is_not_run(self) -> None:
        network = Copies()
        said = PromptSet(
            points=(Point((0.0, 12.0, 8.0), positive=False),),
            boxes=(Box((0, 0, 0), (1, 2, 2)), Box((4, 12, 7), (5, 14, 9), positive=False)),
        )
        logits = engine(network, (5, 7, 9), step_size=1.0).objects(volume(), [said])[0]
        assert network.batches == [1]
        assert (logits[:, 7:] == NOTHING).all()
        assert (logits[:, :7] > NOTHING).all()

    def test_nothing_said_is_nothing_found(self) -> None:
        network = Copies()
        only_negative = PromptSet(points=(Point((1.0, 1.0, 1.0), positive=False),))
        logits = engine(network).objects(volume(), [PromptSet(), only_negative])
        assert network.batches == []
        assert (logits == NOTHING).all() and logits.shape == (2, 5, 14, 9)
        assert engine(network).objects(volume(), []).shape == (0, 5, 14, 9)

    def test_a_mask_alone_is_a_prompt(self) -> None:
        mask = np.zeros((5, 14, 9), bool)
        mask[1, 3:12, 4] = True
        logits = engine(Copies(MASK)).objects(volume(), [PromptSet(mask=mask)])
        assert np.array_equal(logits[0].numpy() > 0, mask)

    def test_a_point_is_drawn_across_the_tiles(self) -> None:
        point = PromptSet(points=(Point((2.0, 6.0, 4.0)),))
        logits = engine(Copies(POINT[0])).objects(volume(), [point])[0]
        drawn = encode(point, Window((0, 0, 0), (5, 14, 9)), STYLE)[POINT[0]]
        ran = logits > NOTHING
        assert torch.allclose(logits[ran], torch.from_numpy(10 * drawn - 5)[ran], atol=1e-4)
        assert not drawn[~ran.numpy()].any()

    def test_2d_slices_do_not_see_the_prompts_of_their_neighbours(self) -> None:
        network = Copies()
        style = style_for((9.0, 1.5, 1.25), in_plane=True)
        said = PromptSet(points=(Point((2.0, 5.0, 4.0)),), boxes=(Box((2, 1, 1), (3, 4, 5)),))
        logits = engine(network, (16, 12), style=style).objects(volume(), [said])[0]
        assert network.batches == [1]
        assert (logits[[0, 1, 3, 4]] == NOTHING).all()
        assert (logits[2] > 0).sum() == 12


class TestStructures:
    def test_the_heads_behind_the_object_in_one_pass(self) -> None:
        image = volume()
        logits = engine(Copies()).structures(image)
        assert logits.shape == (2, 5, 14, 9)
        assert torch.allclose(logits[0], image[0], atol=1e-5)
        assert torch.allclose(logits[1], -image[0], atol=1e-5)

    @each("shape", [(1, 14, 9), (5, 1, 1), (1, 1, 1)])
    def test_volumes_thinner_than_the_patch(self, shape: tuple[int, int, int]) -> None:
        image = volume(shape)
        assert torch.allclose(engine(Copies()).structures(image)[0], image[0], atol=1e-5)
        assert torch.allclose(engine(Copies(), (6, 6)).structures(image)[0], image[0], atol=1e-5)


@each("patch", [(32, 32, 32), (4, 6, 6), (48, 40)])
def test_weights_cancel_also_in_the_corners(patch: tuple[int, ...]) -> None:
    """nnU-Net's Gaussian is below 1e-9 in the corners of a patch."""
    image = torch.zeros(1, 32, 40, 32)
    everywhere = box((0, 0, 0), (32, 40, 32))
    logits = engine(Constant(), patch).objects(image, [everywhere])
    assert torch.allclose(logits, torch.tensor(3.0), rtol=1e-3)
    structures = engine(Constant(), patch).structures(image)
    assert torch.allclose(structures, torch.tensor(3.0), rtol=1e-3)


class Lopsided(nn.Module):
    """Grows along every axis, so that a flip matters; the object shifts its box by one voxel."""

    def forward(self, x: Tensor) -> Tensor:
        ramp = sum(
            torch.arange(n, dtype=x.dtype).reshape([-1 if a == i else 1 for a in range(x.ndim - 2)])
            for i, n in enumerate(x.shape[2:])
        )
        prompt = torch.roll(x[:, 1 + BOX[0] : 2 + BOX[0]], 1, -1)
        return torch.cat([10 * prompt - 5, (x[:, :1] + ramp)], 1)


def test_mirroring_averages_over_all_flips_of_image_and_prompts() -> None:
    image = volume((4, 6, 6))
    structure = engine(Lopsided(), mirror_axes=(0, 1, 2)).structures(image)[0]
    assert torch.allclose(structure, image[0] + (3 + 5 + 5) / 2, atol=1e-5)
    said = PromptSet(boxes=(Box((0, 0, 2), (4, 6, 3)),))
    once = engine(Lopsided()).objects(image, [said])[0, 0, 0]
    both = engine(Lopsided(), mirror_axes=(2,)).objects(image, [said])[0, 0, 0]
    assert once.tolist() == pytest.approx([-5, -5, -5, 5, -5, -5])
    assert both.tolist() == pytest.approx([-5, 0, -5, 0, -5, -5], abs=1e-5)


@each("mirror_axes", [(), (0, 1)])
@each("configuration", ["2d", "3d_fullres"])
def test_it_is_nnunets_sliding_window(configuration: str, mirror_axes: tuple[int, ...]) -> None:
    """The same logits as stock nnU-Net's predictor for the same network without prompts, on several tiles."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunet_prompt.training.trainer import PromptTrainer

    torch.manual_seed(0)
    plans = PlansManager(hand_made_plans())
    manager = plans.get_configuration(configuration)
    network = PromptTrainer.build_network_architecture(plans, manager, 1, 4, False).eval()
    image = volume((11, 21, 10))
    stock = nnUNetPredictor(use_mirroring=bool(mirror_axes), device=CPU, allow_tqdm=False)
    stock.manual_initialization(
        network, plans, manager, None, hand_made_dataset_json(), "x", mirror_axes
    )
    expected = stock.predict_sliding_window_return_logits(image)
    ours = engine(network, tuple(manager.patch_size), mirror_axes=mirror_axes).structures(image)
    # nnU-Net adds up its tiles in half precision, where the weights of a tile's corner vanish
    inner = (slice(None), slice(2, -2), slice(3, -3), slice(3, -3))
    assert torch.allclose(ours[inner], expected[1:].float()[inner], rtol=5e-3, atol=5e-3)
    assert (ours - expected[1:].float()).abs().median() < 2e-3
    assert ours.std() > 0.1


def test_images_of_several_channels() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1] == 2 + N_PROMPT_CHANNELS
            return torch.stack([x[:, 2 + BOX[0]], x[:, 0] + x[:, 1]], 1)

    image = volume(channels=2)
    assert torch.allclose(engine(Sum()).structures(image)[0], image.sum(0), atol=1e-5)


def test_the_style_is_used() -> None:
    thin = PromptStyle(radii=(0.0, 2.0, 2.0))
    said = PromptSet(points=(Point((2.0, 6.0, 4.0)),))
    logits = engine(Copies(POINT[0]), (5, 14, 9), style=thin).objects(volume(), [said])[0]
    assert torch.allclose(logits[[0, 1, 3, 4]], torch.tensor(-5.0))
    assert logits[2].max().item() == pytest.approx(5)
