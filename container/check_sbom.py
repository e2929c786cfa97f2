"""Checks a bill of materials against the lists that an image is made from: the same packages, the same versions.

    python container/check_sbom.py SBOM LIST [LIST ...]

SBOM is CycloneDX JSON. Needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

OURS = "nnunet-prompt"  # built from the source beside the lists


def pinned(lists: list[Path]) -> dict[str, str]:
    """The version of each package that the lists pin, by its normalised name."""
    found = {}
    for path in lists:
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.match(r"([A-Za-z0-9._-]+)={2,3}([^\s#;]+)", line)
            if match:
                found[normalised(match[1])] = match[2]
    return found


def listed(sbom: Path) -> dict[str, str]:
    """The version of each component of a bill of materials. Raises `ValueError` for a file that is none."""
    content = json.loads(sbom.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("bomFormat") != "CycloneDX":
        raise ValueError(f"{sbom}: expected CycloneDX JSON")
    parts = [*content.get("components", []), content.get("metadata", {}).get("component", {})]
    return {normalised(p["name"]): p.get("version", "") for p in parts if p.get("name")}


def differences(sbom: Path, lists: list[Path]) -> list[str]:
    """One line for each package that one of both does not have, or has in another version."""
    expected, found = pinned(lists), listed(sbom)
    lines = [
        f"{name}: expected {version}, found none"
        for name, version in expected.items()
        if name not in found
    ]
    lines += [
        f"{name} {version}: is in no list"
        for name, version in found.items()
        if name not in {*expected, OURS}
    ]
    lines += [
        f"{name}: expected {version}, found {found[name]}"
        for name, version in expected.items()
        if name in found and found[name] != version
    ]
    if OURS not in found:
        lines.append(f"{OURS}: expected the package itself, found none")
    return lines


def normalised(name: str) -> str:
    """A name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(argv: list[str] | None = None) -> int:
    """Prints the differences and returns 1 if there are any, else 0."""
    parser = argparse.ArgumentParser(description="Checks a bill of materials.")
    parser.add_argument("sbom", type=Path, help="CycloneDX JSON file")
    parser.add_argument("lists", type=Path, nargs="+", help="requirements files")
    args = parser.parse_args(argv)
    try:
        lines = differences(args.sbom, args.lists)
    except (OSError, ValueError) as error:
        lines = [f"{args.sbom}: {error}" if str(args.sbom) not in str(error) else str(error)]
    for line in lines:
        print(line, file=sys.stderr)
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
