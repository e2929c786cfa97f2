"""Each defect changes what it names and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.phantom import defects
from nnunet_prompt.phantom.record import File
from nnunet_prompt.phantom.scanner import Volume
from tests.helpers.each import each

pytestmark = pytest.mark.slow

AFFINE = np.array([[0, -2.0, 0, 9], [-1.5, 0, 0, 8], [0, 0, 6.0, 7], [0, 0, 0, 1]])
IMAGE, LABEL, TABLE = "A/Case1_LGE.nii.gz", "A/Case1_gd.nii.gz", "A/info.csv"


def files() -> dict[str, File]:
    image = np.arange(10 * 8 * 3, dtype=np.int16).reshape(10, 8, 3)
    labels = np.zeros((10, 8, 3), np.uint16)
    labels[2:8, 2:6, 1], labels[4, 4, 2] = 200, 2221
    return {IMAGE: Volume(image, AFFINE), LABEL: Volume(labels, AFFINE), TABLE: b"Case\n"}


def injected(inject: defects.Injection, *changed: str) -> dict[str, File]:
    """The files after the defect, once it is sure that only the `changed` ones differ and none was changed in place."""
    before, untouched = files(), files()
    after = inject(np.random.default_rng(0), before)
    assert {name for name in before if after.get(name) is not before[name]} == set(changed)
    for name in (IMAGE, LABEL):
        np.testing.assert_array_equal(volume(before, name).array, volume(untouched, name).array)
        np.testing.assert_array_equal(volume(before, name).affine, AFFINE)
    return after


def volume(found: dict[str, File], name: str) -> Volume:
    file = found[name]
    assert isinstance(file, Volume)
    return file


def test_types() -> None:
    stored = volume(injected(defects.stored_as("_gd", "float32"), LABEL), LABEL)
    assert stored.array.dtype == np.float32 and stored.array.max() == 2221


def test_values() -> None:
    labels = volume(injected(defects.values_become("_gd", {2221: 1, 200: 0}), LABEL), LABEL).array
    assert labels.dtype == np.uint16 and np.argwhere(labels).tolist() == [[4, 4, 2]]
    assert labels[4, 4, 2] == 1
    stray = volume(injected(defects.a_tenth_becomes("_gd", 200, 7), LABEL), LABEL).array
    assert [(stray == v).sum() for v in (7, 200, 2221)] == [3, 21, 1]


def test_voxels_that_are_not_finite() -> None:
    image = volume(injected(defects.not_finite("_LGE"), IMAGE), IMAGE).array
    assert image.dtype == np.float32
    assert np.isnan(image).sum() == 7 and np.isinf(image).sum() == 3


def test_geometry_of_the_header() -> None:
    lost = volume(injected(defects.lost_affine("_gd"), LABEL), LABEL)
    np.testing.assert_allclose(lost.affine, np.diag([1.5, 2.0, 6.0, 1.0]))
    found = injected(defects.slice_thickness(("_LGE", "_gd"), 1.0), IMAGE, LABEL)
    for name in (IMAGE, LABEL):
        assert defects.spacing_of(volume(found, name)).tolist() == [1.5, 2.0, 1.0]
    assert volume(injected(defects.fourth_axis("_gd"), LABEL), LABEL).fourth_axis


def test_another_grid_over_the_same_field_of_view() -> None:
    found = volume(injected(defects.on_another_grid("_gd", (2, 2, 1), order=0), LABEL), LABEL)
    assert found.array.shape == (5, 4, 3) and defects.spacing_of(found).tolist() == [3.0, 4.0, 6.0]
    assert set(np.unique(found.array)) <= {0, 200, 2221}
    edge = np.array([-0.5, -0.5, -0.5, 1])
    np.testing.assert_allclose(found.affine @ edge, AFFINE @ edge)
    far = np.array([4.5, 3.5, 2.5, 1])
    np.testing.assert_allclose(found.affine @ far, AFFINE @ [9.5, 7.5, 2.5, 1])
    ramp = Volume(np.arange(8.0).reshape(8, 1, 1), np.eye(4))
    finer = defects.regridded(ramp, (2, 1, 1), order=1)
    assert finer.array.ravel().tolist() == [0.5, 2.5, 4.5, 6.5]


def test_turned_in_the_file_and_at_the_same_place_in_the_world() -> None:
    turn = defects.reoriented("_gd", (2, 0, 1), (True, False, True))
    found = volume(injected(turn, LABEL), LABEL)
    assert found.array.shape == (3, 10, 8)
    index = [*np.argwhere(found.array == 2221)[0], 1]
    np.testing.assert_allclose(found.affine @ index, AFFINE @ [4, 4, 2, 1])


def test_one_slice() -> None:
    found = injected(defects.one_slice("_gd"), IMAGE, LABEL)
    for name in (IMAGE, LABEL):
        one = volume(found, name)
        np.testing.assert_array_equal(one.array, volume(files(), name).array[:, :, 1:2])
        np.testing.assert_allclose(one.affine @ [0, 0, 0, 1], AFFINE @ [0, 0, 1, 1])


def test_names() -> None:
    found = injected(defects.uncompressed("_gd"), LABEL)
    assert set(found) == {IMAGE, "A/Case1_gd.nii", TABLE}
    forks = injected(defects.resource_forks)
    new = sorted(set(forks) - set(files()))
    assert new[:2] == ["A/._Case1_LGE.nii.gz", "A/._Case1_gd.nii.gz"]
    assert new[3:5] == ["__MACOSX/A/._Case1_LGE.nii.gz", "__MACOSX/A/._Case1_gd.nii.gz"]
    assert all(isinstance(forks[name], bytes) for name in new)
    copied = injected(defects.copied_to("unaligned"))
    assert sorted(set(copied) - set(files())) == [f"unaligned/{n}" for n in sorted(files())]


def test_several() -> None:
    both = defects.one_after_another(
        defects.stored_as("_gd", "int32"), defects.values_become("_gd", {200: 7})
    )
    labels = volume(injected(both, LABEL), LABEL).array
    assert labels.dtype == np.int32 and np.unique(labels).tolist() == [0, 7, 2221]
    assert defects.one_after_another()(np.random.default_rng(0), {}) == {}


@each("ending", ["_T2", "gd.nii.gz"])
def test_nothing_of_that_ending(ending: str) -> None:
    injected(defects.stored_as(ending, "float32"))
