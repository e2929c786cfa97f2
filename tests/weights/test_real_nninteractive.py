"""The unmodified nnInteractive serves an exported model, and sees and says what we see and say.

Its window is centred on the newest prompt, ours are tiles of the whole volume; the two are the same window where the
volume has the size of the patch, the prompt is in its middle, auto-zoom is off, and no box is longer than two thirds of
the patch (it would zoom out for its sake).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.encode import Window, encode
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet
from nnunet_prompt.sliding_window.lazy_image import DenseImage
from nnunet_prompt.weights.export import export_model
from tests.helpers.exports import (
    ORIGIN,
    PATCH,
    VOXELS,
    scene,
    servable_plans,
    trained_weights,
    write_model,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
served = pytest.importorskip(
    "nnInteractive.inference.inference_session",
    reason="needs nnInteractive: pip install 'nnunet-prompt[nninteractive]'",
)

MIDDLE = (26, 26, 28)
assert tuple(2 * m for m in MIDDLE) == PATCH
CHECKED = 0.02  # logits nearer to zero than that may fall to either side in half precision


@dataclass
class Session:
    """nnInteractive with an image set, and everything that its network was given and answered."""

    real: Any
    image: npt.NDArray[np.float32]
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)

    def mask(self) -> npt.NDArray[np.bool_]:
        return np.array(self.real.target_buffer, dtype=bool)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Ours, and what is exported from it."""
    root = tmp_path_factory.mktemp("models")
    ours = write_model(
        root / "ours", plans=servable_plans(), weights=trained_weights(), origins=(ORIGIN,)
    )
    export_model(ours, root / "theirs", "nninteractive")
    return ours, root / "theirs"


@pytest.fixture(params=["tensor", "blosc2"])
def session(models: tuple[Path, Path], request: pytest.FixtureRequest) -> Iterator[Session]:
    yield from opened(models[1], PATCH, do_autozoom=False, interactions_storage=request.param)


@pytest.fixture
def ours(models: tuple[Path, Path]) -> PromptPredictor:
    return PromptPredictor.from_folder(models[0], PredictOptions(device="cpu", use_mirroring=False))


def opened(folder: Path, shape: tuple[int, int, int], **options: Any) -> Iterator[Session]:
    threads = torch.get_num_threads()
    real = served.nnInteractiveInferenceSession(
        device=torch.device("cpu"), torch_n_threads=threads, **options
    )
    real.initialize_from_trained_model_folder(str(folder), 0, "checkpoint_final.pth")
    image, _ = scene(shape, np.random.default_rng(5))
    session = Session(real, image)

    def record(network: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del network
        session.inputs.append(inputs[0].clone())
        session.outputs.append(output.clone())

    real.network.register_forward_hook(record)
    real.set_image(image[None].copy())
    real.set_target_buffer(np.zeros(shape, np.uint8))
    yield session
    torch.set_num_threads(threads)


def volume(image: npt.NDArray[np.float32]) -> NiftiVolume:
    """The image as a file: nnU-Net's readers, and with them our model, reverse the axes of a file."""
    stored = np.ascontiguousarray(image.transpose(2, 1, 0))
    return NiftiVolume(Path("case.nii.gz"), stored, np.diag([1.25, 1.5, 4, 1]), None, stored.shape)


def in_file(prompts: PromptSet) -> PromptSet:
    """Prompts of the array as prompts of that file."""

    def turned(values: tuple[float, float, float]) -> tuple[float, float, float]:
        a, b, c = values
        return c, b, a

    return PromptSet(
        tuple(Point(turned(p.position), p.positive) for p in prompts.points),
        tuple(Box(turned(b.lower), turned(b.upper), b.positive) for b in prompts.boxes),
        mask=None if prompts.mask is None else prompts.mask.transpose(2, 1, 0),
    )


def say(session: Session) -> list[PromptSet]:
    """A point, a box of one slice, a negative point and a 3D box, all in the middle; what is known at each of them."""
    z, y, x = (float(m) for m in MIDDLE)
    here, away = Point((z, y, x)), Point((z, y, x), False)
    flat = Box((z, y - 8, x - 9), (z + 1, y + 8, x + 9))
    solid = Box((z - 7, y - 8, x - 9), (z + 7, y + 8, x + 9))
    before = [session.mask()]
    session.real.add_point_interaction(MIDDLE, True)
    before.append(session.mask())
    session.real.add_bbox_interaction(pairs(flat), True)
    before.append(session.mask())
    session.real.add_point_interaction(MIDDLE, False)
    before.append(session.mask())
    session.real.add_bbox_interaction(pairs(solid), True)
    return [
        PromptSet((here,), mask=before[0]),
        PromptSet((here,), (flat,), mask=before[1]),
        PromptSet((here, away), (flat,), mask=before[2]),
        PromptSet((here, away), (flat, solid), mask=before[3]),
    ]


def pairs(box: Box) -> list[list[int]]:
    return [[int(a), int(b)] for a, b in zip(box.lower, box.upper, strict=True)]


def test_it_shows_the_licence_and_what_it_can(session: Session) -> None:
    assert session.real.license == "CC BY-NC-SA 4.0"
    assert session.real.supported_interactions == {
        "points": True, "bbox2d": True, "bbox3d": True, "scribble": True, "lasso": True
    }  # fmt: skip
    assert session.real.interaction_decay == 1
    assert session.real.num_interaction_channels == 7


def test_its_network_is_given_what_ours_is_given(session: Session) -> None:
    said = say(session)
    assert len(session.inputs) == len(said) == 4
    normalised = (session.image - session.image.mean()) / session.image.std()
    for prompts, given in zip(said, session.inputs, strict=True):
        channels = encode(prompts, Window((0, 0, 0), PATCH), VOXELS.style())
        np.testing.assert_allclose(given[0, 0], normalised, atol=1e-4)
        np.testing.assert_allclose(
            given[0, 1:], channels, atol=5e-4
        )  # it keeps them in half precision


def test_its_raw_output_is_ours(session: Session, ours: PromptPredictor) -> None:
    say(session)
    assert len(session.outputs) == 4
    for given, answered in zip(session.inputs, session.outputs, strict=True):
        with torch.inference_mode():
            expected = ours.model.network(given)[:, 0]
        assert expected.std() > 0.1
        torch.testing.assert_close(answered[:, 1] - answered[:, 0], expected, rtol=0, atol=1e-5)


def test_its_mask_is_ours(session: Session, ours: PromptPredictor) -> None:
    *_, last = said = say(session)
    as_drawn = PromptPredictor(ours.model, replace(ours.options, consistent=False))
    masks = [*(p.mask for p in said[1:]), session.mask()]
    sizes = []
    for prompts, found in zip(said, masks, strict=True):
        assert found is not None
        case = CasePrompts({1: in_file(prompts)})
        expected = as_drawn.predict_prompts([volume(session.image)], case) == 1
        placed = ours.place([volume(session.image)], whole=True)
        assert isinstance(placed.image, DenseImage)
        logits = ours.engine.objects(placed.image.array, [prompts])[0].numpy()
        decided = np.abs(logits) > CHECKED
        assert decided.mean() > 0.98
        assert np.array_equal(expected.transpose(2, 1, 0)[decided], found[decided])
        sizes.append(int(found.sum()))
        assert placed.grid.bounds == tuple((0, n) for n in PATCH)
    assert last.mask is not None and max(sizes) > 500


@pytest.mark.parametrize("side", [80, 48])
def test_zoom_and_refinement(side: int, tmp_path: Path) -> None:
    """A box that is too long for the patch, auto-zoom on, as the viewers have it; it needs patches above 48."""
    plans = servable_plans(patch=(side, side, side))
    model = write_model(tmp_path / "ours", plans=plans, weights=trained_weights())
    export_model(model, tmp_path / "theirs", "nninteractive")
    shape = (84, 90, 96)
    for session in opened(tmp_path / "theirs", shape, do_autozoom=side > 48):
        _, labels = scene(shape, np.random.default_rng(5))
        ball = labels == 2
        z, y, x = (int(n) for n in np.argwhere(ball).mean(0))
        box = [[z, z + 1], [y - 32, y + 28], [x - 34, x + 27]]
        if side == 48:
            with pytest.raises(TypeError):
                session.real.add_bbox_interaction(box, True)
            continue
        session.real.add_point_interaction((z, y, x), True)
        session.real.add_bbox_interaction(box, True)
        found = session.mask()
        assert len(session.inputs) >= 3  # point, zoomed box, refined
        assert 2 * (found & ball).sum() > 0.7 * (found.sum() + ball.sum())
