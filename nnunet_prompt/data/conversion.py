"""Shared by all scripts in `dataset_conversion/`: their options, their errors, their `dataset.json`.

Run one as `python -m nnunet_prompt.dataset_conversion.msd SOURCE -d ID`.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError
from nnunet_prompt.common.log import log_on_stderr
from nnunet_prompt.io.json_file import read_object

_log = logging.getLogger(__name__)


def converter_parser(summary: str) -> argparse.ArgumentParser:
    """The options that every converter has."""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("source", type=Path, help="folder of the source data")
    parser.add_argument(
        "-d",
        "--dataset-id",
        type=int,
        required=True,
        help="nnU-Net id of the new data set, 1 to 999",
    )
    parser.add_argument("--name", help="name of the data set (default: the source's own)")
    return parser


def run_converter(convert: Callable[[], Path]) -> int:
    """Runs a conversion for the command line: prints the folder or logs one line of error, returns the exit code."""
    with log_on_stderr(script=True):
        try:
            folder = convert()
        except (NNUNetPromptError, OSError) as error:
            _log.error(error)
            return 1
        except KeyboardInterrupt:
            _log.info("stopped: run the same command again to resume")
            return 130
    print(folder)
    return 0


def read_dataset_json(source: Path) -> dict[str, Any]:
    """The `dataset.json` of a source folder. Raises `DatasetError` when it is missing or no JSON object."""
    path = source / "dataset.json"
    if not path.is_file():
        raise DatasetError(f"{path}: no such file: give the folder that holds dataset.json")
    return read_object(path, DatasetError, encoding="utf-8-sig")


def data_set_name(stated: Any, source: Path) -> str:
    """A name for nnU-Net: what the source states, else its folder's name without `Task04_` or `Dataset004_`."""
    folder = re.sub(r"^(Task|Dataset)\d+_", "", source.resolve().name)
    name = stated if isinstance(stated, str) and stated.strip() else folder
    return re.sub(r"[^A-Za-z0-9\-]+", "_", name).strip("_-")
