"""nnU-Net's own fingerprint and plans of a raw data set, made from here."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from nnunet_prompt.data.plans import NNUNET_PLANS, preprocessed_root
from nnunet_prompt.data.raw import raw_root
from nnunet_prompt.errors import DatasetError
from nnunet_prompt.io.json_file import read_object

_WORKERS_VARIABLE = "nnUNet_n_proc_DA"


def plan_dataset(dataset_id: int) -> Path:
    """Has nnU-Net take the fingerprint of a raw data set and plan it; returns its plans.

    What nnU-Net prints goes to stderr. A fingerprint that is newer than every case and counts as many is kept. Raises
    `DatasetError` where nnUNet_raw or nnUNet_preprocessed is not set and where nnU-Net refuses.
    """
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api
    from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name

    raw, preprocessed = raw_root(), preprocessed_root()
    workers = max(1, min(default_num_processes, os.cpu_count() or 1))
    try:
        with contextlib.redirect_stdout(sys.stderr), _planning_threads():
            name = str(convert_id_to_dataset_name(dataset_id))
            old = _fingerprint_is_old(preprocessed / name, raw / name)
            api.extract_fingerprints([dataset_id], num_processes=workers, clean=old)
            api.plan_experiments([dataset_id])
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise DatasetError(f"data set {dataset_id}: nnU-Net cannot plan it ({text})") from error
    return preprocessed / name / f"{NNUNET_PLANS}.json"


def _fingerprint_is_old(preprocessed: Path, raw: Path) -> bool:
    path = preprocessed / "dataset_fingerprint.json"
    if not path.is_file():
        return True
    try:
        counted = len(read_object(path, DatasetError)["spacings"])
    except (DatasetError, KeyError, TypeError):
        return True
    labels = list((raw / "labelsTr").iterdir())
    newest = max((label.stat().st_mtime for label in labels), default=0.0)
    return counted != len(labels) or newest >= path.stat().st_mtime


@contextlib.contextmanager
def _planning_threads() -> Iterator[None]:
    """nnU-Net plans with as many threads as it has workers for augmentation, and cannot do so with none."""
    found = os.environ.get(_WORKERS_VARIABLE)
    if found != "0":
        yield
        return
    os.environ[_WORKERS_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ[_WORKERS_VARIABLE] = found
