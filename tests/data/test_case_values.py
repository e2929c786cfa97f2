"""Label values of any size become label ids."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import Case, load_canonical
from tests.helpers.each import each


@each("values", [(0, 205, 850), (0, 7, 70000), (-3, 0, 5)])
def test_values_become_ids(values: tuple[int, int, int]) -> None:
    disk = np.array(values, np.int32)[[[[0, 1, 2], [2, 2, 1]]]]  # (1, 2, 3)
    ids = dict(zip(values, (0, 2, 1), strict=True))
    case = Case("a", (np.zeros((1, 2, 3)),), disk, affine=np.eye(4), label_values=ids)
    label = load_canonical(case).label
    assert label is not None and label.dtype == np.uint8
    # identity affine: S, P, L is the third axis, then the second and the first backwards
    assert label[:, ::-1, 0].tolist() == [[0, 1], [2, 1], [1, 2]]
    missing = {k: v for k, v in ids.items() if k != values[1]}
    with pytest.raises(DatasetError, match=f"holds the label value {values[1]}, expected only"):
        load_canonical(Case("a", case.images, disk, affine=np.eye(4), label_values=missing))
