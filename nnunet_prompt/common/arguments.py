"""Checks of what a caller of the Python API hands over.

Each function returns the value in the one type that the package works with, or raises `NNUNetPromptError`, for
coordinates `PromptError`, in one line: the argument, what was expected, what was found and a sample.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import NNUNetPromptError, PromptError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST_LABEL = 2**31 - 1  # label maps are read as 32 bits
_SHOWN = 60


def whole_number(
    name: str, value: Any, *, lowest: int, highest: int | None = None, example: int = 1
) -> int:
    """A whole number; numpy's integers count, truth values, fractions and texts do not."""
    number = _index(value)
    if number is None or number < lowest or (highest is not None and number > highest):
        upper = "" if highest is None else f" up to {highest}"
        raise NNUNetPromptError(
            f"{name}: expected a whole number from {lowest}{upper or ' on'}, such as {example}, found {shown(value)}"
        )
    return number


def label_value(argument: str, label: Any, names: Mapping[int, str]) -> int:
    """The value of a label that is given by value or by name. Raises `NNUNetPromptError` for an unknown name."""
    if not isinstance(label, str):
        return whole_number(argument, label, lowest=1, highest=LARGEST_LABEL, example=500)
    value = next((value for value, name in names.items() if name == label.strip()), None)
    if value is None and label.strip().isdecimal():
        return whole_number(argument, int(label), lowest=1, highest=LARGEST_LABEL, example=500)
    if value is None:
        known = ", ".join(f"{name} ({value})" for value, name in names.items()) or "none"
        raise NNUNetPromptError(
            f"{argument}: no label is called {label!r}; known names: {known}; give names={{500: {label!r}}}"
        )
    return value


def true_or_false(name: str, value: Any) -> bool:
    """A bool, also numpy's; numbers do not count, because they are labels given in the wrong place."""
    if value is True or value is False:
        return bool(value)
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise NNUNetPromptError(f"{name}: expected True or False, found {shown(value)}")


def finite_number(name: str, value: Any, example: float) -> float:
    """A real number that is neither infinite nor NaN; truth values and texts do not count."""
    number = _real(value)
    if number is None or not math.isfinite(number):
        raise NNUNetPromptError(
            f"{name}: expected a finite number, such as {example}, found {shown(value)}"
        )
    return number


def three_numbers(name: str, value: Any) -> tuple[float, float, float]:
    """Coordinates along the three axes of an array, from a tuple, a list or a numpy array."""
    parts = items(value)
    numbers = None if parts is None or len(parts) != 3 else [_real(part) for part in parts]
    if numbers is None or None in numbers:
        raise PromptError(
            f"{name}: expected three numbers, one per axis of the image, such as (15, 33, 11), found {shown(value)}"
        )
    a, b, c = (float(n) for n in numbers if n is not None)
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        raise PromptError(f"{name}: coordinates must be finite numbers, found {(a, b, c)}")
    return a, b, c


def items(value: Any) -> list[Any] | None:
    """The members of a tuple, list or numpy array; None for anything else, such as a text, a set or a dictionary."""
    if isinstance(value, (tuple, list)):
        return list(value)
    if hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0:
        return list(value)
    return None


def as_path(name: str, value: Any) -> Path:
    """A path from a `Path` or a text that is not empty."""
    if isinstance(value, (str, os.PathLike)) and str(value).strip() and "\0" not in str(value):
        return Path(os.fsdecode(value))
    raise NNUNetPromptError(
        f"{name}: expected a path, such as 'case_001.nii.gz', found {shown(value)}"
    )


def check_type(name: str, value: Any, kind: type[Any], sample: str) -> None:
    """Raises `NNUNetPromptError` for a value of another type than `kind`; `sample` is one of the right type."""
    if not isinstance(value, kind):
        raise NNUNetPromptError(
            f"{name}: expected {kind.__name__}, such as {sample}, found {shown(value)}"
        )


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises `NNUNetPromptError` for a value that is none of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise NNUNetPromptError(f"{name}: expected {' or '.join(allowed)}, found {shown(value)}")


def shown(value: Any) -> str:
    """A value and its type in one short line, for messages."""
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{kind} of shape {shape} and type {getattr(value, 'dtype', '?')}"
    text = " ".join(repr(value).split())
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return text if value is None else f"{text} ({kind})"


def _index(value: Any) -> int | None:
    """An integer of Python or numpy, or a float without a fraction."""
    number = _real(value)
    if number is None or not math.isfinite(number) or number != int(number):
        return None
    return int(value)


def _real(value: Any) -> float | None:
    """A real number of Python or numpy (or an array of no axes); not a truth value, a text or a complex number."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind is None:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
    else:
        good = kind in "iuf" and getattr(value, "ndim", 0) == 0
    if not good:
        return None
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        return None
