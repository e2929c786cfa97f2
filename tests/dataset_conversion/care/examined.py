"""What a converter finds in a download, and how images of one are written; shared by the tests of the converters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.case import Case
from nnunet_prompt.dataset_conversion.care.download import CareOptions
from nnunet_prompt.dataset_conversion.care.inspect import Examined, Inspection, cases_of

DEFAULTS = CareOptions()


def write_image(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, affine).to_filename(path)


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of a converter, `examine`, in the downloads that it is given."""

    examine: Callable[[Path, CareOptions], Iterable[Examined]]

    def all(self, source: Path, options: CareOptions = DEFAULTS) -> dict[str, Examined]:
        return {e.inspection.case: e for e in self.examine(source, options)}

    def only(self, source: Path, options: CareOptions = DEFAULTS) -> Inspection:
        """The record of the one case of a download; no record has a line break in it."""
        (examined,) = self.examine(source, options)
        inspection = examined.inspection
        lines = (*inspection.notes, inspection.left_out, *inspection.problems)
        assert not any("\n" in line for line in lines)
        assert (examined.case is None) == bool(inspection.left_out or inspection.problems)
        return inspection

    def only_case(self, source: Path, options: CareOptions = DEFAULTS) -> Case:
        (case,) = cases_of(self.examine(source, options))
        return case

    def only_problem(self, source: Path) -> str:
        """The one problem, of however many cases; none of them is written."""
        bad = [e for e in self.all(source).values() if e.inspection.problems]
        (problem,) = {p for e in bad for p in e.inspection.problems}
        assert all(e.case is None for e in bad) and "\n" not in problem
        return problem
