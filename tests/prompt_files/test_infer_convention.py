from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nnunet_prompt.prompt_files.infer_convention import Reading, settle
from nnunet_prompt.prompt_files.order_votes import LIVER_MM
from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention, JsonConvention
from tests.helpers.each import each
from tests.prompt_files.inputs import Array, parsed, read_all, save_pls, slices

FLAT = np.zeros((8, 12, 4))
SQUARE = np.zeros((12, 12, 4))


def box(a: int, b: int, c: int, d: int, label: int = 7, points: Any = ()) -> dict[str, Any]:
    """The entry of a slice, its box a <= row < c, b <= column < d in the order xy."""
    return {str(label): [[a, b, c, d], [list(p) for p in points]]}


def swapped(entry: dict[str, Any]) -> dict[str, Any]:
    """The same in the order yx."""
    return {
        label: [[y, x, y2, x2], [[q, p] for p, q in points]]
        for label, ((x, y, x2, y2), points) in entry.items()
    }


def cases(entry: dict[str, Any], order: str = "xy", *, n: int = 5, **how: Any) -> dict[str, Any]:
    entry = entry if order == "xy" else swapped(entry)
    return {f"c{i}": slices(4, entry, **how) for i in range(n)}


def settled(folder: Path, content: Any, image: Array, **how: Any) -> Reading:
    spacing = how.pop("spacing", (1, 1, 1))
    prompts, pairs = read_all(folder, content, image, spacing)
    return settle(prompts, pairs, GivenConvention(**how))


@each("order", ["xy", "yx"])
def test_prompts_beyond_the_shorter_side_settle_the_order(tmp_path: Path, order: str) -> None:
    reading = settled(tmp_path, cases(box(1, 2, 5, 11), order), FLAT)
    assert reading.convention == JsonConvention("xy" if order == "xy" else "yx")
    assert reading.guessed == ()
    sign = "+" if order == "xy" else "-"
    told = f"prompts.json: order {order}, score {sign}19.2 (above 0 is xy): bounds {sign}19.2 in 5 case(s)"
    assert any(note.startswith(told) for note in reading.notes)


def test_points_alone_settle_the_order(tmp_path: Path) -> None:
    entry = {"7": [None, [[9, 1], [10, 2]]]}
    assert settled(tmp_path, cases(entry), FLAT).convention.order == "yx"


def test_a_bad_prompt_alone_does_not_settle_the_order(tmp_path: Path) -> None:
    content = cases(box(1, 2, 5, 6), "xy", n=20)
    content["c3"]["2"] = box(9, 2, 11, 6)
    reading = settled(tmp_path, content, FLAT)
    assert reading.convention.order == "xy"
    (line,) = reading.guessed
    assert "nothing decides whether x runs along axis 0 or 1 (score -" in line
    assert "give --order" in line


def test_without_evidence_the_prior_is_taken_with_a_warning(tmp_path: Path) -> None:
    reading = settled(tmp_path, cases(box(1, 2, 5, 11), "yx"), SQUARE)
    assert reading.convention == JsonConvention()
    (line,) = reading.guessed
    assert line == (
        "prompts.json: nothing decides whether x runs along axis 0 or 1 (score +0.0: bounds +0.0 in"
        " 0 case(s), anatomy +0.0 in 0 case(s), tissue +0.0 in 5 case(s)): taken as order xy, x along axis 0;"
        " give --order if you know"
    )


def test_what_is_given_wins(tmp_path: Path) -> None:
    content = cases(box(1, 2, 5, 11), "yx")
    reading = settled(tmp_path, content, FLAT, order="xy", base=1, inclusive=True)
    assert reading.convention == JsonConvention("xy", 1, True)
    assert (reading.guessed, len(reading.notes)) == ((), 3)
    assert all(note.endswith(", as given") for note in reading.notes)


CHAMBERS = {"420": (9, 5), "550": (6, 1), "500": (5, 9), "600": (2, 5)}


@each("order", ["xy", "yx"])
def test_chambers_settle_the_order_of_square_slices(tmp_path: Path, order: str) -> None:
    entry = {k: [[a, b, a + 2, b + 2], []] for k, (a, b) in CHAMBERS.items()}
    reading = settled(tmp_path, cases(entry, order), SQUARE, spacing=(9, 9, 9))
    assert (reading.convention.order, reading.guessed) == (order, ())


@each("missing", [("420", "550"), ("500", "600")])
def test_ventricles_alone_or_atria_alone_do_not(tmp_path: Path, missing: tuple[str, str]) -> None:
    entry = {k: [[a, b, a + 2, b + 2], []] for k, (a, b) in CHAMBERS.items() if k not in missing}
    entry["205"] = [[1, 1, 9, 9], []]
    assert settled(tmp_path, cases(entry), SQUARE, spacing=(9, 9, 9)).guessed


@each("order", ["xy", "yx"])
def test_the_liver_lies_at_the_right(tmp_path: Path, order: str) -> None:
    entry = box(3, 1, 9, 6, label=1)
    reading = settled(tmp_path, cases(entry, order), SQUARE, spacing=(20, 20, 5))
    assert (reading.convention.order, reading.guessed) == (order, ())
    small = (LIVER_MM - 1) / 6
    assert settled(tmp_path, cases(entry), SQUARE, spacing=(small, small, 5)).guessed
    assert settled(tmp_path, cases(box(3, 1, 9, 6)), SQUARE, spacing=(20, 20, 5)).guessed


@each("points", [(), ((3, 8), (4, 9))])
@each("order", ["xy", "yx"])
def test_tissue_settles_the_order_of_square_slices(tmp_path: Path, order: str, points: Any) -> None:
    image = np.random.default_rng(0).normal(0, 0.1, (16, 16, 4))
    image[2:7, 7:12] += 5
    content = cases(box(2, 7, 7, 12, points=points), order)
    reading = settled(tmp_path, content, image)
    assert (reading.convention.order, reading.guessed) == (order, ())
    assert any("tissue" in note for note in reading.notes)


@each("seed", range(10))
def test_noise_settles_nothing(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = {}
    for i in range(5):
        a, b = (int(v) for v in rng.integers(2, 8, 2))
        content[f"c{i}"] = slices(4, box(a, b, a + 6, b + 6, points=[(a + 2, b + 1)]))
    reading = settled(tmp_path, content, rng.normal(0, 1, (16, 16, 4)))
    assert (reading.convention.order, len(reading.guessed)) == ("xy", 1)


def test_images_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    prompts = parsed(cases(box(1, 2, 5, 11), "yx"))
    reading = settle(prompts, [("c0", broken), ("c9", broken), ("c1", tmp_path / "none.nii.gz")])
    assert (reading.convention, reading.slice_axes) == (JsonConvention(), {})
    assert len(reading.guessed) == 2
    good = save_pls(tmp_path / "good.nii.gz", FLAT)
    reading = settle(prompts, [("c0", broken), ("c1", good)])
    assert reading.convention.order == "yx"


def test_a_truncated_image_still_has_its_grid(tmp_path: Path) -> None:
    path = save_pls(tmp_path / "a.nii", np.zeros((12, 12, 4)))
    path.write_bytes(path.read_bytes()[:-100])
    prompts = parsed({"c": slices(4, box(1, 2, 5, 11), first=1)})
    reading = settle(prompts, [("c", path)], GivenConvention(order="xy"))
    assert reading.convention.base in (0, 1)


@each(("first", "base"), [(0, 0), (1, 1)])
def test_the_base_is_told_by_the_first_and_the_last_slice(
    tmp_path: Path, first: int, base: int
) -> None:
    content = cases(box(1, 2, 5, 11), first=first)
    content["c4"] = {"2": None}
    reading = settled(tmp_path, content, FLAT)
    assert (reading.convention.base, reading.guessed) == (base, ())
    votes = "4 case(s) for 0, 0 for 1" if base == 0 else "0 case(s) for 0, 4 for 1"
    assert f"prompts.json: slices are counted from {base}: {votes}, of 5" in reading.notes


@each("ones", [0, 1, 2])
def test_a_base_that_nothing_tells_or_that_is_contested_is_guessed(
    tmp_path: Path, ones: int
) -> None:
    content: dict[str, Any] = {f"c{i}": {"2": box(1, 2, 5, 11)} for i in range(4)}
    for i in range(ones):
        content[f"c{i}"]["4"] = None
        content[f"c{3 - i}"]["0"] = None
    (line,) = settled(tmp_path, content, FLAT).guessed
    assert f"counted from 0 or 1 ({ones} case(s) for 0, {ones} for 1, of 4): taken from 0" in line


def test_a_few_cases_with_bad_slices_do_not_change_the_base(tmp_path: Path) -> None:
    content = cases(box(1, 2, 5, 11), first=1)
    content["c0"]["0"] = None
    reading = settled(tmp_path, content, FLAT)
    assert (reading.convention.base, reading.guessed) == (1, ())


def test_slices_along_another_axis_are_told(tmp_path: Path) -> None:
    thin = np.zeros((12, 5, 14))
    entry = box(3, 7, 10, 13)
    content = {f"c{i}": slices(5, entry, empty=1) for i in range(5)}
    reading = settled(tmp_path, content, thin, spacing=(1, 8, 1))
    assert reading.slice_axes == {f"c{i}": 1 for i in range(5)}
    assert (reading.convention, reading.guessed) == (JsonConvention(), ())
    assert reading.notes[0] == (
        "warning: prompts.json: case 'c0': slices taken along PLS axis 1, expected axis 2: its 5 slices run over"
        " axis 1 and not over axis 2 (PLS shape (12, 5, 14))"
    )


def test_points_that_would_lie_in_their_boxes_when_swapped_are_told(tmp_path: Path) -> None:
    entry = box(1, 6, 4, 11, points=[(7, 2), (9, 1)])
    reading = settled(tmp_path, cases(entry), FLAT, order="xy", base=0)
    (line,) = reading.guessed
    assert "40 of 40 points would lie in their boxes with x and y of the points swapped" in line
    assert "prompts.json: 40 of 40 points lie outside their boxes" in reading.notes


def test_no_case_is_the_default(tmp_path: Path) -> None:
    reading = settle(parsed({}), [])
    assert reading.convention == JsonConvention()
    assert len(reading.guessed) == 2
    prompts, pairs = read_all(tmp_path, {"c": {}, "d": slices(4, None)}, FLAT)
    assert settle(prompts, pairs).convention == JsonConvention()
