#!/usr/bin/env bash
# Writes a software bill of materials, CycloneDX JSON, of what an image holds: the wheels are installed as the Dockerfile
# does it, without an index, and cyclonedx-py reads the distributions. The tool has an environment of its own.
#
#   sbom.sh cpu|cuda FILE      PYTHON is a Python 3.11, the one that the wheels are for
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

variant="$1"
target="$2"
python="${PYTHON:-python3}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo 'the wheels are for Python 3.11; name one: make sbom PYTHON=python3.11' >&2
    exit 1
}
"$python" -m venv "$work/image"
"$python" -m venv "$work/tool"
"$work/tool/bin/pip" install --quiet --disable-pip-version-check 'cyclonedx-bom==7.5.0'
(
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$PWD/wheelhouse/$variant" PIP_DISABLE_PIP_VERSION_CHECK=1
    "$work/image/bin/pip" install --quiet --no-deps -r container/requirements.txt -r container/cli.txt \
        -r "container/torch-$variant.txt"
    mkdir "$work/source"
    cp -R pyproject.toml README.md LICENSE nnunet_prompt trainers dataset_conversion "$work/source"
    "$work/image/bin/pip" install --quiet --no-deps --no-build-isolation "$work/source"
    "$work/image/bin/pip" uninstall --quiet --yes pip
)
"$work/tool/bin/cyclonedx-py" environment "$work/image/bin/python" --pyproject pyproject.toml --output-format JSON \
    --output-reproducible --output-file "$work/sbom.json"
"$python" container/check_sbom.py "$work/sbom.json" container/requirements.txt container/cli.txt \
    "container/torch-$variant.txt"
mkdir -p "$(dirname "$target")"
mv "$work/sbom.json" "$target"
echo "wrote $target"
