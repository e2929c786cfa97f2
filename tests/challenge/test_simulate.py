from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.challenge.simulate import SimulateOptions, simulate_prompts_json, slice_prompts
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json
from nnunet_prompt.prompts.frames import pls_map
from tests.helpers.each import each
from tests.helpers.nonsense import refuses
from tests.helpers.orientations import EIGHT

Labels = npt.NDArray[np.int32]

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's identity direction


def affine_of(axes: tuple[int, ...], signs: tuple[int, ...], degrees: float = 0) -> Any:
    """Voxel axis i runs along world axis `axes[i]`, turned by `degrees` about x and z."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[list(axes)].T * signs * (1.0, 2.0, 8.0)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    affine[:3, :3] = about_x @ about_z @ affine[:3, :3]
    affine[:3, 3] = (10, -20, 30)
    return affine


def two_structures() -> Labels:
    """(4, 6, 5) in the file frame: a C-shaped 500 whose centroid is 0, and a bar of 2221."""
    labels = np.zeros((4, 6, 5), np.int32)
    labels[0:3, 1, 1:4] = labels[0, 1:4, 1:4] = labels[0:3, 3, 1:4] = 500
    labels[3, 0:5, 2:5] = 2221
    return labels


def save(path: Path, labels: npt.NDArray[Any], affine: Any = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels.astype(np.int16), affine), path)
    return path


def simulate(tmp_path: Path, labels: Path, **options: Any) -> dict[str, Any]:
    output = tmp_path / "out" / "prompts.json"
    simulate_prompts_json(labels, output, options=SimulateOptions(**options))
    content: dict[str, Any] = json.loads(output.read_text())
    return content


@each("degrees", [0, 20])
@each(("axes", "signs"), EIGHT)
def test_prompts_moved_to_the_file_lie_in_the_mask(
    axes: tuple[int, ...], signs: tuple[int, ...], degrees: float
) -> None:
    labels = two_structures()
    to_pls = pls_map(affine_of(axes, signs, degrees), labels.shape)
    prompts = slice_prompts(to_pls.apply(labels), np.random.default_rng(0))
    assert prompts.labels.keys() == {500, 2221}
    back = to_pls.inverse()
    for label, one in prompts.labels.items():
        moved = back.prompts(one)
        assert moved.points
        for point in moved.points:
            i, j, k = (round(x) for x in point.position)
            assert labels[i, j, k] == label
        boxed = np.zeros(labels.shape, bool)
        for box in moved.boxes:
            inside = tuple(slice(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True))
            assert (labels[inside] == label).any()
            boxed[inside] = True
        assert boxed[labels == label].all()


def test_an_itk_identity_file_by_hand(tmp_path: Path) -> None:
    """Its axes are L, P, S, so PLS swaps the first two: x (axis 0) is the file's second index."""
    labels = np.zeros((5, 4, 2), np.uint8)
    labels[1:4, 2, 1] = 7
    content = simulate(tmp_path, save(tmp_path / "case_1.nii.gz", labels), max_points=1)
    assert content.keys() == {"case_1"} and content["case_1"].keys() == {"0", "1"}
    assert content["case_1"]["0"] is None
    ((box, [(x, y)]),) = content["case_1"]["1"].values()
    assert box == [2, 1, 3, 4]
    assert labels[y, x, 1] == 7


def test_the_convention_changes_the_numbers_and_not_the_prompts(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", two_structures())
    plain = simulate(tmp_path, path)["a"]
    other = simulate(tmp_path, path, order="yx", base=1, inclusive=True)["a"]
    assert list(other) == [str(int(k) + 1) for k in plain]
    for k, labels in plain.items():
        for label, ((x, y, x2, y2), points) in (labels or {}).items():
            box, swapped = other[str(int(k) + 1)][label]
            assert box == [y, x, y2 - 1, x2 - 1]
            assert swapped == [[q, p] for p, q in points]


def test_points_are_different_pixels_and_never_more_than_asked() -> None:
    labels = np.zeros((4, 3, 40), np.int32)
    labels[0, 0] = 1  # one pixel: one point
    labels[1:] = 2
    prompts = slice_prompts(labels, np.random.default_rng(0), max_points=3)
    counts = {
        k: [p.position for p in prompts.labels[2].points if p.position[2] == k] for k in range(40)
    }
    assert {len(points) for points in counts.values()} == {1, 2, 3}
    assert all(len(set(points)) == len(points) for points in counts.values())
    assert len(prompts.labels[1].points) == 40


@each("axis", [0, 1, 2])
def test_slices_may_lie_along_any_axis(axis: int) -> None:
    labels = np.zeros((4, 6, 5), np.int32)
    labels[1:3, 2:5, 1:4] = 7
    prompts = slice_prompts(labels, np.random.default_rng(0), slice_axis=axis)
    first, last = (1, 2, 1)[axis], (3, 5, 4)[axis]
    shown = {k for k, named in (prompts.slices or {}).items() if named == {7}}
    assert (prompts.slice_axis, shown) == (axis, set(range(first, last)))
    assert len(prompts.slices or {}) == labels.shape[axis]
    one = prompts.labels[7]
    assert {(b.lower[axis], b.upper[axis]) for b in one.boxes} == {(k, k + 1) for k in shown}
    assert all(labels[tuple(int(x) for x in p.position)] == 7 for p in one.points)


def test_no_foreground_is_all_null(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.zeros((3, 4, 2)))
    assert simulate(tmp_path, path) == {"a": {"0": None, "1": None}}


def test_jitter_goes_both_ways_alike_and_stays_inside() -> None:
    labels = np.zeros((60, 50, 300), np.int32)
    labels[20:40, 25, :] = 1
    prompts = slice_prompts(labels, np.random.default_rng(0), jitter=3).labels[1]
    offsets = np.array([p.position[1] - 25 for p in prompts.points])
    assert set(offsets) == {-3, -2, -1, 0, 1, 2, 3}
    assert abs(offsets.mean()) < 0.3
    centres = np.array([(b.lower[1] + b.upper[1]) / 2 - 25.5 for b in prompts.boxes])
    assert abs(centres.mean()) < 0.3 and centres.min() < 0 < centres.max()
    starts = np.array([b.lower[0] - 20 for b in prompts.boxes])
    ends = np.array([b.upper[0] - 40 for b in prompts.boxes])
    assert set(starts) == set(ends) == {-3, -2, -1, 0, 1, 2, 3}
    assert abs(starts.mean()) < 0.4 and abs(ends.mean()) < 0.4


def test_jitter_beyond_a_small_image_stays_inside_and_not_empty() -> None:
    labels = np.ones((1, 2, 200), np.int32)
    prompts = slice_prompts(labels, np.random.default_rng(0), jitter=9).labels[1]
    prompts.check_inside((1, 2, 200))
    assert len(prompts.boxes) == 200


def test_a_case_depends_on_its_own_id_and_the_seed_only(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    for name in ("a", "b"):
        save(folder / f"{name}.nii.gz", two_structures())
    both = simulate(tmp_path, folder, jitter=1)
    assert simulate(tmp_path, folder, jitter=1) == both
    assert both["a"] != both["b"]
    assert simulate(tmp_path, folder / "b.nii.gz", jitter=1) == {"b": both["b"]}
    assert simulate(tmp_path, folder, jitter=1, seed=1)["a"] != both["a"]


def test_an_unreadable_file_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    for name in ("a", "c"):
        save(folder / f"{name}.nii.gz", two_structures())
    (folder / "b.nii.gz").write_bytes(b"nothing")
    save(folder / "d.nii", -two_structures())
    output = tmp_path / "prompts.json"
    with pytest.raises(
        NNUNetPromptError, match=r"b\.nii\.gz.*\(and 1 more\); 2 case\(s\) written"
    ) as error:
        simulate_prompts_json(folder, output)
    assert "\n" not in str(error.value)
    assert list(read_prompts_json(output).cases) == ["a", "c"]


def test_the_same_case_twice_is_refused(tmp_path: Path) -> None:
    for ending in (".nii", ".nii.gz"):
        save(tmp_path / f"a{ending}", two_structures())
    with pytest.raises(NNUNetPromptError, match="'a' is there with two file endings"):
        simulate_prompts_json(tmp_path, tmp_path / "p.json")


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NNUNetPromptError, match="no such file or folder"):
        simulate_prompts_json(tmp_path / "labels", tmp_path / "p.json")
    with pytest.raises(NNUNetPromptError, match=r"no \.nii"):
        simulate_prompts_json(tmp_path, tmp_path / "p.json")
    (tmp_path / "a.txt").touch()
    with pytest.raises(NNUNetPromptError, match=r"a\.txt: expected a \.nii"):
        simulate_prompts_json(tmp_path / "a.txt", tmp_path / "p.json")


@each("options", [{"max_points": 0}, {"max_points": 6}, {"jitter": -1}, {"seed": -1}, {"base": 2}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(NNUNetPromptError, match=str(next(iter(options.values())))):
        SimulateOptions(**options)


def test_arguments_that_nobody_means(tmp_path: Path) -> None:
    for name in ("max_points", "jitter", "seed", "base"):
        bad = ["1", None, 2.5, True, np.nan, (1,), -(10**30)]
        refuses(lambda v, name=name: SimulateOptions(**{name: v}), bad)  # type: ignore[misc]
    refuses(lambda v: SimulateOptions(order=v), ["zy", None, 0, ("x", "y")])
    refuses(lambda v: SimulateOptions(inclusive=v), ["yes", None, 1])
    refuses(lambda v: simulate_prompts_json(v, tmp_path / "p.json"), [None, 3, ["a"], ""])
    refuses(lambda v: simulate_prompts_json(tmp_path, v), [None, 3, ["a"], ""])
    refuses(
        lambda v: simulate_prompts_json(tmp_path, tmp_path / "p.json", options=v), [None, {}, 3]
    )
    rng, labels = np.random.default_rng(0), np.ones((3, 4, 5), int)
    refuses(lambda v: slice_prompts(v, rng), [None, labels[0], labels * 0.5, labels.tolist()])
    refuses(lambda v: slice_prompts(labels, v), [None, 0, np.random])
    refuses(lambda v: slice_prompts(labels, rng, slice_axis=v), [3, -1, None, "2"])
    refuses(lambda v: slice_prompts(labels, rng, max_points=v), [0, 6, None, "2"])
    refuses(lambda v: slice_prompts(labels, rng, jitter=v), [-1, None, "2"])
    assert SimulateOptions(seed=np.int64(3)).seed == 3  # type: ignore[arg-type]


def test_label_maps_of_another_format(tmp_path: Path) -> None:
    import SimpleITK as sitk

    labels = np.zeros((3, 5, 6), np.uint8)
    labels[1, 1:3, 2:5] = 7
    written = []
    for ending in (".nrrd", ".mha", ".nii.gz"):
        folder = tmp_path / ending[1:]
        folder.mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(folder / f"a{ending}"))
        simulate_prompts_json(folder, tmp_path / "p.json")
        written.append((tmp_path / "p.json").read_text())
    assert written[0] == written[1] == written[2]
    assert list(read_prompts_json(tmp_path / "p.json").cases) == ["a"]
