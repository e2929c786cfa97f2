"""The app that a SuperLink hands to the SuperNodes: lines that name this package, which each site has installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ERROR_FILE: Final = "error.txt"  # beside the server's state: the line with which the last run ended
MODULE: Final = "nnunet_prompt_adapters"
_PYPROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0.0"
description = "Adapters of nnunet_prompt, trained at several sites"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "nnunet-prompt"

[tool.flwr.app.components]
serverapp = "{module}.server:app"
clientapp = "{module}.client:app"

[tool.flwr.app.config]
{config}
"""


def write_app(folder: Path, config: Mapping[str, str | int | float]) -> Path:
    """Writes the app with the settings of its run, and returns its folder. Its code is the same for all settings."""
    module = folder / MODULE
    module.mkdir(parents=True, exist_ok=True)
    (module / "__init__.py").write_text("")
    for side in ("server", "client"):
        line = f'from nnunet_prompt.federated.{side}_app import app\n\n__all__ = ["app"]\n'
        (module / f"{side}.py").write_text(line)
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in config.items())
    text = _PYPROJECT.format(name=MODULE.replace("_", "-"), module=MODULE, config=lines)
    (folder / "pyproject.toml").write_text(text)
    return folder
