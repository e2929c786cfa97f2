"""Charts as parts of a page."""

from __future__ import annotations

import re

import pytest

from nnunet_prompt.report.charts import Row, curves, differences, distributions
from nnunet_prompt.report.words import metric_of

pytestmark = pytest.mark.slow  # a whole product

ROWS = [
    Row("LV & <b>", {"a": 0.91, "b": 0.925, "c": 0.92}),
    Row("scar", {}),
    Row("RV", {"a": 0.5}, True),
]
ANCHORS = {"a": "case-1", "b": "case-2", "c": "case-3"}


def test_names_are_escaped_and_rows_without_values_left_out() -> None:
    chart = distributions(ROWS, metric_of("dice"), ANCHORS, name="one", what="structure")
    assert "LV &amp; &lt;b&gt;" in chart.svg and "<b>" not in chart.svg
    assert ">scar</text>" not in chart.svg and ">RV</text>" in chart.svg
    assert chart.svg.count('href="#case-') == 4 == chart.svg.count('tabindex="-1"')
    assert "RV: 1 case, mean 0.500" in chart.svg


def test_ids_are_those_of_the_chart_and_all_are_found() -> None:
    text = distributions(ROWS, metric_of("dice"), ANCHORS, name="one", what="structure").svg
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) and all(name.startswith("one-") for name in ids)
    used = re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text)
    assert used and set(used) <= set(ids)


def test_colours_are_the_pages_own() -> None:
    text = distributions(ROWS, metric_of("dice"), ANCHORS, name="one", what="structure").svg
    assert "var(--ink)" in text and "var(--first)" in text and "var(--second)" in text
    assert not re.search(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]", text)
    assert "font-family" not in text and "<style" not in text


def test_numbers_of_the_axes_keep_their_digits() -> None:
    text = curves({"rate": [0.0031, 0.0029, 0.0025]}, name="c", title="Rate", label="rate").svg
    ticks = re.findall(r">(0\.00\d+)</text>", text)
    assert len(ticks) >= 3 and all(len(tick) >= 6 for tick in ticks)
    assert "0.0031 in the first epoch, 0.0025 in the last of 3" in text


def test_many_values_are_no_links() -> None:
    values = {f"c{n}": n / 2000 for n in range(1600)}
    anchors = {case: f"case-{n}" for n, case in enumerate(values)}
    chart = distributions(
        [Row("all", values)], metric_of("dice"), anchors, name="one", what="structure"
    )
    assert "#case-" not in chart.svg


def test_differences_are_signed_in_words() -> None:
    rows = [Row("LV", {"a": 0.01, "b": 0.03})]
    chart = differences(rows, metric_of("dice"), ANCHORS, name="d", arms=("old", "new"))
    assert "mean +0.020 (95 % interval +0.010 to +0.030)" in chart.svg
    assert ">Dice: new minus old</text>" in chart.svg


def test_nothing_at_all_is_an_empty_chart() -> None:
    assert distributions([], metric_of("dice"), {}, name="e", what="structure").svg.endswith(
        ("</svg>", "</svg> ")
    )
