"""Stock nnU-Net reads the images of a canonical model as its training did, however they are stored."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.case import save_canonical
from nnunet_prompt.data.plans_reader import ImageReader
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.stock_reader import (
    CanonicalPlans,
    CanonicalReader,
    canonical_plans,
    plain_plans,
    read_as_trained,
)
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.prompts.frames import canonical_map
from nnunet_prompt.training.external_trainers import environment
from nnunet_prompt.training.trainer import PromptTrainer
from tests.helpers.each import each
from tests.helpers.exports import TABLE, scene, trained_weights, write_model
from tests.helpers.models import hand_made_plans

ORIENTATIONS = ("RAS", "LPS", "SLA", "PIR", "IAR")


def nifti(path: Path, axes: str, array: Any, spacing: tuple[float, ...] = (1.25, 1.5, 4.0)) -> Path:
    """An image of RAS axes (X, Y, Z), stored with other axes."""
    image = nib.Nifti1Image(array, np.diag([*spacing, 1.0]))
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    image.as_reoriented(change).to_filename(path)
    return path


def some(shape: tuple[int, ...] = (6, 5, 4)) -> Any:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


class TestPlans:
    def test_those_that_say_so_get_the_reader(self) -> None:
        plans = PlansManager(canonical_plans(hand_made_plans()))
        read_as_trained(plans)
        reader = plans.image_reader_writer_class()
        assert isinstance(reader, CanonicalReader)
        assert reader.reader == ImageReader("SimpleITKIO", "canonical")

    @each("said", [None, {}, "canonical", {"orientation": "file"}])
    def test_all_others_stay_as_they_are(self, said: Any) -> None:
        plans = PlansManager({**hand_made_plans(), **({"nnunet_prompt": said} if said else {})})
        read_as_trained(plans)
        assert type(plans) is PlansManager

    def test_workers_get_it_too(self) -> None:
        plans = PlansManager(canonical_plans(hand_made_plans()))
        read_as_trained(plans)
        again = pickle.loads(pickle.dumps(plans))
        assert type(again) is CanonicalPlans
        assert isinstance(again.image_reader_writer_class(), CanonicalReader)

    def test_nnunet_asks_our_trainer(self) -> None:
        plans = PlansManager(canonical_plans(hand_made_plans()))
        settings = plans.get_configuration("3d_fullres")
        PromptTrainer.build_network_architecture(plans, settings, 1, 4, False)
        assert type(plans) is CanonicalPlans

    def test_they_are_nnunets_again_without_it(self) -> None:
        assert plain_plans(canonical_plans(hand_made_plans())) == hand_made_plans()


class TestReader:
    reader = CanonicalReader(ImageReader("SimpleITKIO", "canonical"))

    @each("axes", ORIENTATIONS)
    def test_as_nnunet_reads_the_converted_file(self, axes: str, tmp_path: Path) -> None:
        path = nifti(tmp_path / "a_0000.nii.gz", axes, some())
        data, properties = self.reader.read_images([str(path)])
        volume = read_nifti(path)
        turn = canonical_map(volume.affine, volume.shape)
        save_canonical(
            tmp_path / "c.nii.gz",
            turn.apply(volume.array),
            volume.affine @ np.linalg.inv(turn.matrix()),
        )
        plain = PlansManager(hand_made_plans()).image_reader_writer_class()
        expected, known = plain.read_images([str(tmp_path / "c.nii.gz")])
        assert data.dtype == np.float32 and np.array_equal(data, expected)
        np.testing.assert_allclose(properties["spacing"], known["spacing"], rtol=1e-6)

    @each("axes", ORIENTATIONS)
    def test_a_mask_has_the_grid_and_header_of_its_image(self, axes: str, tmp_path: Path) -> None:
        path = nifti(tmp_path / "a_0000.nii.gz", axes, some())
        data, properties = self.reader.read_images([str(path)])
        self.reader.write_seg(data[0].astype(int), str(tmp_path / "m.nii.gz"), properties)
        image, mask = nib.load(path), nib.load(tmp_path / "m.nii.gz")
        assert np.array_equal(image.dataobj, mask.dataobj)
        np.testing.assert_array_equal(image.affine, mask.affine)
        again, _ = self.reader.read_seg(str(tmp_path / "m.nii.gz"))
        assert np.array_equal(again, data)

    def test_channels_of_other_shapes(self, tmp_path: Path) -> None:
        a = nifti(tmp_path / "a_0000.nii.gz", "RAS", some())
        b = nifti(tmp_path / "a_0001.nii.gz", "RAS", some((6, 5, 3)))
        with pytest.raises(ImageError, match=r"a_0001.*same geometry"):
            self.reader.read_images([str(a), str(b)])


@pytest.mark.slow
def test_stock_predict_is_right_in_every_orientation(tmp_path: Path) -> None:
    """The same image, stored with other axes, and nnU-Net's own command beside our predictor."""
    table = replace(TABLE, orientation="canonical")
    model = write_model(
        tmp_path / "m", plans=hand_made_plans(), table=table, weights=trained_weights()
    )
    plans = json.loads((model / "plans.json").read_text())
    (model / "plans.json").write_text(json.dumps(canonical_plans(plans)))
    image, _ = scene((16, 20, 24), np.random.default_rng(5))
    for axes in ORIENTATIONS:
        nifti(tmp_path / "in" / f"{axes}_0000.nii.gz", axes, image.transpose(2, 1, 0))
    command = [
        sys.executable,
        *("-W", "ignore", "-c"),
        "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run; run()",
        *("-i", tmp_path / "in", "-o", tmp_path / "out", "-m", model, "-f", "0", "-device", "cpu"),
        *("--disable_tta", "--disable_progress_bar", "-npp", "1", "-nps", "1"),
    ]
    variables = {**os.environ, **environment({})}
    result = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, encoding="utf-8", env=variables
    )
    assert result.returncode == 0, result.stdout + result.stderr
    ours = PromptPredictor.from_folder(model, PredictOptions(device="cpu", use_mirroring=False))
    values = np.array([0, *(s.official for s in table.structures)])
    for axes in ORIENTATIONS:
        expected = ours.predict_structures([read_nifti(tmp_path / "in" / f"{axes}_0000.nii.gz")])
        mask = nib.load(tmp_path / "out" / f"{axes}.nii.gz")
        found = values[np.asarray(mask.dataobj)]
        assert len(np.unique(expected)) == 3
        # nnU-Net adds its tiles up in half precision, which can turn a voxel that is undecided
        assert (found != expected).mean() < 2e-3, axes
        np.testing.assert_array_equal(
            mask.affine, nib.load(tmp_path / "in" / f"{axes}_0000.nii.gz").affine
        )
