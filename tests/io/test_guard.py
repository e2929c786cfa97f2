"""Outputs that are inputs are refused, under whatever name; harmless places are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_prompt.common.errors import OutputError
from nnunet_prompt.io.guard import (
    check_output_file,
    check_output_folder,
    check_targets,
    model_folders,
    model_folders_of,
)
from tests.helpers.each import each


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.nii.gz", "b.nii.gz", "notes.txt", "dataset.json"):
        (folder / name).write_text(name)
    return folder


def linked(path: Path, link: Path) -> Path:
    link.symlink_to(path)
    return link


class TestFolders:
    @each(
        "spell",
        [
            lambda images: images,
            lambda images: images / ".." / images.name,
            lambda images: Path(os.path.relpath(images)),
            lambda images: linked(images, images.parent / "link"),
        ],
    )
    def test_the_folder_of_the_images(self, images: Path, spell: Callable[[Path], Path]) -> None:
        with pytest.raises(OutputError, match=r"images|link.*is an input.*with -o"):
            check_output_folder(spell(images), [images])

    def test_the_folder_of_one_image(self, images: Path) -> None:
        with pytest.raises(OutputError, match=r"holds the input .*a\.nii\.gz"):
            check_output_folder(images, [images / "a.nii.gz"])

    def test_a_folder_that_is_only_reached_through_the_images(self, images: Path) -> None:
        real = images.parent / "real"
        real.mkdir()
        (real / "c.nii.gz").write_text("c")
        linked(real / "c.nii.gz", images / "c.nii.gz")
        with pytest.raises(OutputError, match=r"real/c\.nii\.gz: is the input .*images/c\.nii\.gz"):
            check_output_folder(real, [images])

    def test_a_hard_link(self, images: Path) -> None:
        output = images.parent / "out"
        output.mkdir()
        os.link(images / "a.nii.gz", output / "a.nii.gz")
        with pytest.raises(OutputError, match=r"out/a\.nii\.gz: is the input"):
            check_output_folder(output, [images])

    def test_places_that_are_fine(self, images: Path) -> None:
        (images.parent / "prompts.json").write_text("{}")
        for output in (images.parent, images.parent / "out", images / "masks"):
            check_output_folder(output, [images, images.parent / "prompts.json"])

    def test_a_folder_in_one_that_is_searched_to_the_bottom(self, images: Path) -> None:
        for output in (images, images / "masks" / "of" / "today"):
            with pytest.raises(OutputError, match="lies in the input"):
                check_output_folder(output, (), searched=[images])
        check_output_folder(images.parent, (), searched=[images])

    def test_what_is_not_there_is_left_to_who_reads_it(self, tmp_path: Path) -> None:
        check_output_folder(tmp_path, [tmp_path / "none", tmp_path / "none.nii.gz"])

    def test_targets(self, images: Path) -> None:
        inputs = [images / "a.nii.gz", images / "gone.nii.gz"]
        check_targets([images / "b.nii.gz", images / "new.nii.gz"], inputs)
        with pytest.raises(OutputError, match=r"a\.nii\.gz: is the input"):
            check_targets([images / ".." / "images" / "a.nii.gz"], inputs)


class TestFiles:
    def test_an_input_under_any_name(self, images: Path) -> None:
        hard = images.parent / "hard.json"
        os.link(images / "a.nii.gz", hard)
        soft = linked(images / "b.nii.gz", images.parent / "soft.json")
        for output in (images / "a.nii.gz", images / "notes.txt", hard, soft):
            with pytest.raises(OutputError, match="input"):
                check_output_file(output, [images])

    @each("name", ["new.nii.gz", "new.NII", "sub/new.mha", "dataset.json"])
    def test_what_would_be_taken_for_an_input(self, images: Path, name: str) -> None:
        with pytest.raises(OutputError, match="lies among the inputs"):
            check_output_file(images / name, [images])

    def test_results_beside_inputs_are_fine_also_a_second_time(self, images: Path) -> None:
        output = images / "metrics.json"
        check_output_file(output, [images])
        output.write_text("{}")
        check_output_file(output, [images])
        check_output_file(images.parent / "prompts.json", [images])
        for name in ("cases.json", "adapted_to_my_Plans.json"):
            (images.parent / name).write_text("{}")
            check_output_file(images.parent / name, [images])

    @each("name", ["dataset.json", "nnUNetPlans.json", "splits_final.json"])
    def test_a_description_is_never_replaced_wherever_it_is(
        self, tmp_path: Path, name: str
    ) -> None:
        check_output_file(tmp_path / name, [])
        (tmp_path / name).write_text("{}")
        with pytest.raises(OutputError, match=r"describes a data set or a model.*with --report"):
            check_output_file(tmp_path / name, [], option="--report")

    def test_a_folder_is_no_file(self, images: Path) -> None:
        with pytest.raises(
            OutputError, match=r"is a folder, expected a file to write with --report"
        ):
            check_output_file(images, [], option="--report")

    def test_a_file_of_a_model(self, tmp_path: Path) -> None:
        fold = tmp_path / "fold_0"
        fold.mkdir()
        for path in (tmp_path / "plans.json", fold / "checkpoint_final.pth"):
            path.write_text("")
            with pytest.raises(OutputError, match="input"):
                check_output_file(path, [tmp_path])
        with pytest.raises(OutputError, match="input"):
            check_output_file(tmp_path / "start.pth", [tmp_path])


def test_the_folders_of_a_model(tmp_path: Path) -> None:
    assert model_folders(tmp_path) == []
    (tmp_path / "plans.json").touch()
    (tmp_path / "fold_1").mkdir()
    assert model_folders(tmp_path) == [tmp_path, tmp_path / "fold_1"]
    with pytest.raises(OutputError):
        check_output_folder(tmp_path / "fold_1", model_folders(tmp_path))
    check_output_folder(tmp_path / "predictions", model_folders(tmp_path))


def test_the_model_of_a_checkpoint(tmp_path: Path) -> None:
    fold = tmp_path / "fold_0"
    fold.mkdir()
    (fold / "checkpoint_final.pth").touch()
    assert model_folders_of(fold / "checkpoint_final.pth") == []
    (tmp_path / "plans.json").touch()
    for source in (tmp_path, fold / "checkpoint_final.pth"):
        assert model_folders_of(source) == [tmp_path, fold]
