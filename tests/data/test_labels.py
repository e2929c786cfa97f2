"""`labels` of a dataset.json, by nnU-Net's rules."""

from __future__ import annotations

from typing import Any

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.labels import check_labels, foreground_labels, ignore_label
from tests.helpers.each import each


def refusal(function: Any, labels: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        function({"labels": labels})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_structures_come_by_number() -> None:
    labels = {"b": 2, "background": 0, "ignore": 3, "a": 1}
    assert foreground_labels({"labels": labels}) == {"a": 1, "b": 2}
    assert ignore_label({"labels": labels}) == 3
    check_labels({"labels": labels})


def test_nnunet_takes_a_text_and_a_list_of_one_for_a_number() -> None:
    assert foreground_labels({"labels": {"background": "0", "a": "1", "b": [2]}}) == {
        "a": 1,
        "b": 2,
    }


@each(
    ("labels", "said"),
    [
        ({"a": 1, "b": 3}, "labels must leave no gap"),
        ({"a": 2}, "expected labels 1 to 1 in order, found [2]"),
        ({"a": 0, "b": 1}, "no gap"),
        ({"a": -1, "b": 1}, "no gap"),
        ({"a": 1, "b": 1}, "labels gives 1 to 'a' and 'b'"),
        ({"a": [1, 2], "b": 2}, "region"),
        ({"a": 1.5}, "{name: number}"),
        ({"a": True}, "{name: number}"),
        ({"a": None}, "{name: number}"),
        ({"background": 0}, "no foreground structure"),
        (["a"], "no foreground structure"),
        (None, "no foreground structure"),
    ],
)
def test_what_nnunet_would_refuse_is_one_line_on_labels(labels: Any, said: str) -> None:
    message = refusal(foreground_labels, labels)
    assert said in message
    assert "nnunet_prompt.structures" not in message or "region" in message


@each("value", ["3", 1.0, True, [3]])
def test_an_ignore_label_is_a_number(value: Any) -> None:
    assert "labels.ignore must be a number" in refusal(ignore_label, {"a": 1, "ignore": value})


@each(
    ("labels", "said"),
    [
        ({"a": 1}, '"background": 0, found None'),
        ({"a": 1, "background": 1}, '"background": 0, found 1'),
        ({"a": 1, "background": 0, "ignore": 255}, "must be the highest number, 2, found 255"),
        ({"a": 1, "background": 0, "ignore": 1}, "must be the highest number, 2, found 1"),
    ],
)
def test_what_nnunet_asserts_when_it_trains(labels: Any, said: str) -> None:
    assert said in refusal(check_labels, labels)
