#!/usr/bin/env bash
# Downloads what the lists beside this file pin, as wheels for the image: Python 3.11 on x86-64 Linux, whatever runs this.
#
#   wheelhouse.sh cpu|cuda FOLDER
#
# PYTHON is a Python with pip, TORCH_INDEX one more index to look for torch in. Stopped, it goes on where it was.
set -euo pipefail

variant="$1"
target="$2"
lists="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
partial="$target.partial"

for_image=(--python-version 3.11 --implementation cp)
for minor in $(seq 36 -1 5); do
    for_image+=(--platform "manylinux_2_${minor}_x86_64")
done
for_image+=(--platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64)

pip() {
    "${PYTHON:-python3}" -m pip --disable-pip-version-check "$@"
}

mkdir -p "$partial"
pip download --quiet --no-deps "${for_image[@]}" --dest "$partial" -r "$lists/requirements.txt" -r "$lists/cli.txt"
for source in "$partial"/*.tar.gz; do # packages that publish no wheel; they are pure Python
    if [[ -e "$source" ]]; then
        pip wheel --quiet --no-deps --wheel-dir "$partial" "$source"
        rm "$source"
    fi
done
if ! pip download --quiet --no-deps "${for_image[@]}" --dest "$partial" \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r "$lists/torch-$variant.txt"; then
    echo "the torch of container/torch-$variant.txt is not in the indexes that pip knows: name the one that PyTorch's" \
        "install page gives for $variant, as in make wheelhouse VARIANT=$variant TORCH_INDEX=URL" >&2
    exit 1
fi
rm -rf "$target"
mv "$partial" "$target"
du -sh "$target"
