"""The page of file formats with their JSON schemas: website/schemas, and that of prompts, made from its models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from website.json_files import files_table

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
OWN = "prompts.schema.json"

HEAD = """# File formats

Every JSON file that you write or read, with its schema (JSON Schema 2020-12). The schemas are files of this site
as well, for an editor or a validator.

## All files {#all-files}

The words in capitals are names that you choose.

"""
FOLDED = """<details markdown="1"><summary>{name}</summary>

[The file](../schemas/{name})

```json
{text}
```

</details>
"""


def formats_page() -> str:
    """The page, in Markdown."""
    parts = [HEAD + files_table()]
    for name, text in schemas().items():
        schema = json.loads(text)
        parts.append(
            f"\n## {schema['title']} {{#{name.split('.')[0]}}}\n\n{schema['description']}\n"
        )
        parts.append(FOLDED.format(name=name, text=text.rstrip()))
    return "\n".join(parts)


def schemas() -> dict[str, str]:
    """Each schema by the name of its file."""
    files = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.json"))}
    return {OWN: json.dumps(prompts_schema(), indent=2) + "\n", **files}


def prompts_schema() -> dict[str, Any]:
    """The schema of our own form of prompts, with its short forms: a point is a position, a box a pair of them."""
    from nnunet_prompt.prompt_files.own_form import _OwnFile

    schema = _OwnFile.model_json_schema()
    made = {name.strip("_"): _led(definition) for name, definition in schema["$defs"].items()}
    position = made["Point"]["properties"]["position"]
    short = {
        "Point": position,
        "Box": {"type": "array", "prefixItems": [position, position], "minItems": 2, "maxItems": 2},
        "Scribble": {"type": "array", "items": position, "minItems": 1},
        "Label": made["Label"]["properties"]["points"] | {"minItems": 1},
    }
    words = _short_words(made["Label"]["properties"]["text"])
    for name, plain in short.items():
        made[name].pop("title", None)
        made[name] = {
            "anyOf": [{k: v for k, v in plain.items() if k not in ("default", "title")}, made[name]]
        }
    made["Label"]["anyOf"][-1]["properties"]["text"] = words
    made["Label"]["anyOf"].insert(0, words)
    space = made.pop("OwnCase")["properties"]["space"]
    full = {"type": "object", "properties": {"space": space, "text": words}}
    made["Case"] = {"anyOf": [words, full | {"additionalProperties": {"$ref": "#/$defs/Label"}}]}
    return {
        "$schema": DIALECT,
        "title": "Prompts, our own form",
        "description": "What `predict -p` reads and `view` writes. [Prompts](../prompts.md) has an example.",
        **{k: _led(v) for k, v in schema.items() if k not in ("$defs", "title", "description")},
        "$defs": made,
    }


def _short_words(phrases: dict[str, Any]) -> dict[str, Any]:
    """The schema of phrases, of which one alone may stand without a list."""
    several = {k: v for k, v in phrases.items() if k not in ("default", "title")}
    return {"anyOf": [several["items"], several]}


def _led(value: Any) -> Any:
    """A schema whose references lead to the names without their first letter, and without titles of fields."""
    if isinstance(value, dict):
        return {k: _led(v) for k, v in value.items() if k != "title" or isinstance(v, dict)}
    if isinstance(value, list):
        return [_led(one) for one in value]
    if isinstance(value, str):
        return value.replace("#/$defs/_OwnCase", "#/$defs/Case").replace("#/$defs/_", "#/$defs/")
    return value
