"""The page about masks: what it holds, that it is whole, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.report.masks import write_report
from nnunet_prompt.report.options import ReportOptions
from nnunet_prompt.report.words import main_metrics
from tests.helpers.each import each
from tests.report.html import Page, read_page
from tests.report.small import CASES, Small, save, write_small

pytestmark = pytest.mark.slow  # a whole product


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return write_small(tmp_path)


def options(small: Small) -> ReportOptions:
    return ReportOptions(
        images=small.images,
        prompts=small.prompts,
        names={500: "LV", 200: "scar"},
        groups=small.groups,
        command="nnunet-prompt report labels masks",
    )


def check_whole(page: Page) -> None:
    """Ids are unique, links lead somewhere in the page, and nothing outside is loaded."""
    assert [name for name, count in page.ids.items() if count > 1] == []
    assert [link for link in page.links if link.removeprefix("#") not in page.ids] == []
    assert [one for one in page.loads if not one.startswith("data:")] == []


def test_the_page_of_one_folder(small: Small) -> None:
    written = write_report(small.labels, [small.masks], small.output, options=options(small))
    assert (written.path, written.cases, dict(written.failed)) == (small.output, 4, {})
    page = read_page(small.output)
    check_whole(page)
    results = evaluate_folders(small.labels, small.masks)
    mean = np.mean(
        [np.mean([s["dice"] or 0 for s in c.values()]) for c in results["cases"].values()]
    )
    assert f"{mean:.3f}" in page.text
    for words in ("LV", "scar", "By centre", "few cases", "Gap between A (best) and B", *CASES):
        assert words in page.text
    assert "nnunet-prompt report labels masks" in page.text and "numpy" in page.text
    assert page.tags["img"] == 4 * 4 and page.tags["article"] == 4
    assert len(page.charts) == len(main_metrics(results["mean"]["500"])) + 1  # and one grouping
    assert all(re.search(r"\d cases, mean ", text) for text in page.charts)


def test_the_worst_case_comes_first(small: Small) -> None:
    write_report(small.labels, [small.masks], small.output)
    text = small.output.read_text(encoding="utf-8")
    places = re.findall(r'<span class="place">\d+\.</span>(\w+)</h3>', text)
    assert places == ["c4", "c3", "c2", "c1"]


def test_two_folders_are_compared_case_by_case(small: Small) -> None:
    write_report(small.labels, [small.masks, small.better], small.output, options=options(small))
    page = read_page(small.output)
    check_whole(page)
    first, second = (evaluate_folders(small.labels, f) for f in (small.masks, small.better))
    gains = [
        (second["cases"][c]["500"]["dice"] or 0) - (first["cases"][c]["500"]["dice"] or 0)
        for c in CASES
    ]
    assert f"+{np.mean(gains):.3f}" in page.text
    assert "Where they differ" in page.text and "better minus masks" in page.text
    text = small.output.read_text(encoding="utf-8")
    assert text.count('class="first"') == text.count('class="second"') == 4 * 4


def test_names_are_text_and_not_markup(small: Small) -> None:
    bad = "<img src=x onerror=alert(1)>&'\"$x$"
    write_report(
        small.labels, [small.masks], small.output, options=replace(options(small), names={500: bad})
    )
    page = read_page(small.output)
    check_whole(page)
    assert bad in page.text and page.tags["img"] == 16


def test_charts_have_axes_with_units(small: Small) -> None:
    write_report(small.labels, [small.masks], small.output)
    text = small.output.read_text(encoding="utf-8")
    charts = re.findall(r'<svg class="chart".*?</svg>', text, re.DOTALL)
    means = evaluate_folders(small.labels, small.masks)["mean"]["500"]
    labels = [metric.axis for metric in main_metrics(means)]
    known = {
        "Dice (higher is better)",
        "HD95 in mm (lower is better)",
        "Volume error in % (0 is best)",
    }
    assert known <= set(labels)
    for label, chart in zip(labels, charts, strict=True):
        assert f">{label}</text>" in chart and 'role="img"' in chart and "<title" in chart
        assert 'href="#case-1"' in chart and "#0" not in re.sub(r'href="[^"]*"', "", chart)


def test_without_images_and_prompts_there_are_outlines_alone(small: Small) -> None:
    write_report(small.labels, [small.masks], small.output)
    page = read_page(small.output)
    check_whole(page)
    assert page.tags["img"] == 0 and 'class="given"' not in small.output.read_text("utf-8")
    assert 'class="ref"' in small.output.read_text("utf-8")


@pytest.mark.slow
def test_several_processes_make_the_same_page(small: Small) -> None:
    texts = []
    for count in (1, 2):
        write_report(
            small.labels,
            [small.masks],
            small.output,
            options=replace(options(small), num_processes=count),
        )
        texts.append(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", small.output.read_text("utf-8")))
    assert texts[0] == texts[1]


def test_a_broken_mask_costs_its_case_alone(small: Small) -> None:
    (small.masks / "c2.nii.gz").write_bytes(b"\x1f\x8b half")
    save(small.masks / "c3.nii.gz", np.zeros((3, 3, 3), np.uint8))
    written = write_report(small.labels, [small.masks], small.output, options=options(small))
    assert written.cases == 2 and set(written.failed) == {"c2", "c3"}
    page = read_page(small.output)
    check_whole(page)
    assert all(why in page.text for why in written.failed.values())
    assert page.tags["article"] == 2


def test_a_missing_image_is_stated_where_it_is_missing(small: Small) -> None:
    (small.images / "c2_0000.nii.gz").write_bytes(b"no image")
    write_report(small.labels, [small.masks], small.output, options=options(small))
    page = read_page(small.output)
    assert "no image: " in page.text and page.tags["article"] == 4 and page.tags["img"] == 12


def test_the_model_around_the_masks_is_named(small: Small) -> None:
    model = small.root / "model"
    (model / "fold_0").mkdir(parents=True)
    (model / "plans.json").write_text("{}")
    (model / "dataset.json").write_text(json.dumps({"name": "Heart", "licence": "CC0 1.0"}))
    (model / "fold_0" / "checkpoint_final.pth").write_bytes(b"abc")
    shutil.copytree(small.masks, model / "fold_0" / "validation")
    write_report(small.labels, [model / "fold_0" / "validation"], small.output)
    text = read_page(small.output).text
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in text  # of abc
    assert "Heart; licence: CC0 1.0" in text and "unknown: checkpoint_final.pth" in text


@each(
    "change, message",
    [
        ({"images": "labels2"}, "labels2: no such file or folder"),
        ({"images": "empty"}, "empty: holds no image of the cases: expected for example c1_0000"),
        ({"groups": "bad.csv"}, "bad.csv: found the columns case; give a CSV with a column 'case'"),
        (
            {"groups": "other.csv"},
            "other.csv: groups no case that is scored; expected for example 'c1'",
        ),
        ({"groups": "empty"}, "empty: cannot be read"),
        ({"groups": "bytes.csv"}, "bytes.csv: cannot be read: it is not text in UTF-8"),
        ({"prompts": "bad.csv"}, "bad.csv"),
        ({"model": "empty"}, "empty: not a model folder"),
    ],
)
def test_what_is_wrong_is_one_line(small: Small, change: dict[str, str], message: str) -> None:
    (small.root / "empty").mkdir()
    (small.root / "bad.csv").write_text("case\nc1\n")
    (small.root / "other.csv").write_text("case,centre\nx,A\n")
    (small.root / "bytes.csv").write_bytes(b"\xff\xfe\x00c")
    given = {key: small.root / name for key, name in change.items()}
    with pytest.raises(NNUNetPromptError) as found:
        write_report(
            small.labels, [small.masks], small.output, options=replace(options(small), **given)
        )
    assert message in str(found.value) and "\n" not in str(found.value)
    assert not small.output.exists()


@each(
    "predictions, output, message",
    [
        (["labels"], "report.html", "are one folder"),
        (["masks", "masks"], "report.html", "are one folder"),
        ([], "report.html", "expected one or two folders of masks, found 0"),
        (["images"], "report.html", "share no case"),
        (["masks"], "report.txt", "expected the name of an HTML file"),
        (["masks"], "labels/c1.nii.gz", "lies among the inputs"),
        (["masks"], "masks", "is a folder"),
    ],
)
def test_folders_that_do_not_fit(
    small: Small, predictions: list[str], output: str, message: str
) -> None:
    with pytest.raises(NNUNetPromptError) as found:
        write_report(small.labels, [small.root / p for p in predictions], small.root / output)
    assert message in str(found.value) and "\n" not in str(found.value)
