"""The content of a JSON file with the prompts of several cases; what is wrong is refused with a sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.prompt_files import own_form
from nnunet_prompt.prompt_files.prompt_folder import FORMS
from nnunet_prompt.prompt_files.prompts_json import SAMPLE, load_json, parse_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import RawCase


def load_or_hint(path: Path) -> Any:
    """The content of a JSON file. Raises `PromptFileError` with what it might be for what is none."""
    try:
        return load_json(path)
    except PromptFileError as error:
        if not path.is_file():
            raise
        line = f"{error}; expected {FORMS}, for example {own_form.SAMPLE}"
        raise PromptFileError(line) from error


def cases_of_slices(content: object, path: Path) -> Mapping[str, RawCase]:
    """The cases of a prompts.json of TFM4MedIA; raises `PromptFileError` with a sample for what is wrong in it."""
    sample = f"expected for example {SAMPLE}, or our own form, {own_form.SAMPLE}"
    try:
        parsed = parse_prompts_json(content, path.name)
    except PromptFileError as error:
        raise PromptFileError(f"{error}; {sample}") from error
    problems = [p for case in parsed.cases.values() for p in case.problems]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise PromptFileError(f"{problems[0]}; {sample}{more}")
    return parsed.cases
