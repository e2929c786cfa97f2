"""The `labels` of a `dataset.json`, by nnU-Net's rules: {"background": 0, name: 1, ..., name: K, "ignore": K + 1}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnunet_prompt.common.errors import DatasetError

BACKGROUND, IGNORE = "background", "ignore"


def foreground_labels(
    dataset_json: Mapping[str, Any], *, block: str = "nnunet_prompt"
) -> dict[str, int]:
    """Name -> number of each structure, by number; background and the ignore label are not among them.

    Raises `DatasetError` for what is not {name: number}, for regions (lists of several numbers; nnU-Net takes a list
    of one for that number), for two names of one number, and for numbers that are not 1..K.
    """
    found = dataset_json.get("labels")
    labels: dict[str, int] = {}
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if isinstance(value, (list, tuple)) and len(value) != 1:
            raise DatasetError(
                f"dataset.json: label {name!r} is a region; region-based training is not supported:"
                f" use plain labels and state the union as {block}.structures[{name!r}].members"
            )
        if name not in (BACKGROUND, IGNORE):
            labels[name] = _number(value, found)
    if not labels:
        raise DatasetError(
            f"dataset.json: labels names no foreground structure: it must be {{name: number}}, found {found!r}"
        )
    ordered = dict(sorted(labels.items(), key=lambda item: item[1]))
    _check_numbers(ordered)
    return ordered


def ignore_label(dataset_json: Mapping[str, Any]) -> int | None:
    """The number of the ignore label, None where there is none. Raises `DatasetError` for anything else."""
    labels = dataset_json.get("labels")
    value = labels.get(IGNORE) if isinstance(labels, Mapping) else None
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise DatasetError(f"dataset.json: labels.ignore must be a number, found {value!r}")


def check_labels(dataset_json: Mapping[str, Any]) -> None:
    """Raises `DatasetError` for labels that nnU-Net itself refuses with an assertion, as soon as it trains.

    Beyond the rules of `foreground_labels`: background is stated and 0, and the ignore label is K + 1.
    """
    labels, ignore = foreground_labels(dataset_json), ignore_label(dataset_json)
    background = dataset_json["labels"].get(BACKGROUND)
    if background is None or _number(background, dataset_json["labels"]) != 0:
        raise DatasetError(
            f'dataset.json: labels must hold "background": 0, found {background!r} for background'
        )
    if ignore is not None and ignore != len(labels) + 1:
        raise DatasetError(
            f"dataset.json: labels.ignore must be the highest number, {len(labels) + 1}, found {ignore}"
        )


def _check_numbers(labels: Mapping[str, int]) -> None:
    numbers = list(labels.values())
    twice = next((n for n in numbers if numbers.count(n) > 1), None)
    if twice is not None:
        names = " and ".join(repr(name) for name, number in labels.items() if number == twice)
        raise DatasetError(
            f"dataset.json: labels gives {twice} to {names}, expected one name per number"
        )
    if numbers != list(range(1, len(numbers) + 1)):
        raise DatasetError(
            f"dataset.json: labels must leave no gap, as nnU-Net refuses it: expected labels 1 to {len(numbers)} in"
            f" order, found {numbers}: number them so, in dataset.json and in the label maps"
        )


def _number(value: Any, found: Any) -> int:
    """A whole number; nnU-Net takes "1" and [1] for 1."""
    if isinstance(value, (list, tuple)):
        (value,) = value
    try:
        number = int(value)
    except (ValueError, TypeError):
        number = None
    if number is None or isinstance(value, bool) or (isinstance(value, float) and value != number):
        raise DatasetError(
            f"dataset.json: labels must be {{name: number}}, found {found!r}:"
            " the Medical Segmentation Decathlon layout has a converter of its own"
        )
    return number
