"""Which task a folder holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import TASKS
from nnunet_prompt.dataset_conversion.care.detect import task_of, tasks_of
from tests.dataset_conversion.care.downloads import Downloads, make_downloads
from tests.helpers.each import each


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def refusal(*sources: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        tasks_of(sources)
    message = str(caught.value)
    assert "\n" not in message
    return message


@each(
    ("task", "name"),
    [
        ("myops", "CenterB/Case2001/Case2001_C0.nii.gz"),
        ("myops", "train25/myops_training_101_DE.nii.gz"),
        ("myops", "train25_myops_gd/myops_training_101_gd.nii.gz"),
        ("myops", "Center B/Case 2001/Case 2001 T2.NII"),
        ("whs", "A ct_train/Case1001_image.nii.gz"),
        ("whs", "mr_train/mr_train_1001_label.nii"),
        ("lascarqs", "LA scar quantification（MRI）/train_data/train_1/enhanced.nii.gz"),
        ("lascarqs", "task2/train_data/train_1/atriumSegImgMO.nii.gz"),
        ("liqa", "Vendor_B1/0241-B1-S2/GED4.nii.gz"),
        ("liqa", "Vendor_B1/0241-B1-S2/mask_GED4.nii.gz"),
        ("liqa", "Vendor_B1/0241-B1-S2/T2.nii.gz"),
        ("liqa", "Vendor_B1/0241-B1-S2/t2wi.nii"),
    ],
)
def test_one_file_tells_the_task_in_every_layout(tmp_path: Path, task: str, name: str) -> None:
    touch(tmp_path, name, "__MACOSX/x_image.nii.gz", "._x_gd.nii", "readme.txt", "notes.nii")
    assert task_of(tmp_path) == task


def test_the_order_of_the_folders_does_not_matter(tmp_path: Path) -> None:
    found = make_downloads(tmp_path)
    everything = {task: getattr(found, task) for task in TASKS}
    assert tasks_of(found.all) == tasks_of(found.all[::-1]) == everything
    assert list(tasks_of(found.all[::-1])) == list(TASKS)
    assert tasks_of([found.liqa, found.whs]) == {"whs": found.whs, "liqa": found.liqa}


def test_a_folder_of_no_task(tmp_path: Path) -> None:
    message = refusal(touch(tmp_path, "train/patient007.nii.gz"))
    assert f"{tmp_path}: no file is named as in MyoPS" in message
    assert "found train/patient007.nii.gz" in message


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "x")
    assert "no file that ends in" in refusal(tmp_path)
    assert "expected at least one" in refusal()


def test_a_folder_of_several_tasks(tmp_path: Path) -> None:
    message = refusal(touch(tmp_path, "M/Case1_gd.nii", "W/Case1_image.nii"))
    assert "files of 2 tasks, M/Case1_gd.nii (myops) and W/Case1_image.nii (whs)" in message


def test_two_folders_of_one_task(tmp_path: Path) -> None:
    one, two = (touch(tmp_path / f"task{i}", "train_1/enhanced.nii.gz") for i in (1, 2))
    message = refusal(one, two)
    assert message.startswith(f"{one} and {two}: both hold files of lascarqs")
    assert tasks_of([tmp_path]) == {"lascarqs": tmp_path}  # as the message proposes


def test_every_file_of_the_downloads_is_a_sign(tmp_path: Path) -> None:
    from nnunet_prompt.dataset_conversion.care.detect import SIGNS
    from nnunet_prompt.dataset_conversion.care.download import nifti_files, stem

    found: Downloads = make_downloads(tmp_path)
    for task in TASKS:
        for path in nifti_files(getattr(found, task)):
            assert [t for t, sign in SIGNS.items() if sign.fullmatch(stem(path))] == [task]
