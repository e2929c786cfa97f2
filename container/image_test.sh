#!/usr/bin/env bash
# Builds the CPU image round a tiny model and runs it on phantom hearts: without network, as nobody in particular, with
# an input that cannot be written to. What it answers has to be what the same wheels answer outside, byte for byte.
#
#   make image-test                        on x86-64 Linux; PYTHON has to be a Python 3.11, the one that the wheels are for
#   make image-test FORM=grand-challenge   the image without a model, on the test job of its upload, with the tarball of it
#   make image-test FORM=cli               the image of the package: `predict`, and every verb that there is
#
# With a docker engine it uses docker and the Dockerfile's own base. Without one it uses buildah, as root, and makes its
# base with mmdebstrap. All is kept in WORK (10 GB) while it runs and removed afterwards, unless KEEP is set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work="$(mkdir -p "${WORK:-out/image-test}" && cd "${WORK:-out/image-test}" && pwd)"
image=nnunet-prompt:image-test
form="${FORM:-care}"
limit=2000000000 # bytes, unpacked
python="${PYTHON:-python3}"
outside="$work/venv/bin"
answer=(--strict) # what is asked of the image
export OMP_NUM_THREADS=1 # inside and outside: sums in another order are other numbers
docker info >/dev/null 2>&1 && engine=docker || engine=buildah

buildah() {
    command buildah --root "$work/storage" --runroot "$work/run" "$@"
}
export -f buildah
export work

say() {
    printf '\n== %s (%d s)\n' "$1" "$SECONDS"
}

fail() {
    echo "image-test: $1" >&2
    exit 1
}

clean() {
    [[ -z "${KEEP:-}" ]] || return 0
    if [[ $engine == docker ]]; then
        docker image rm --force "$image" >/dev/null 2>&1 || true
    elif [[ -d "$work/storage" ]]; then
        buildah rm --all >/dev/null 2>&1 || true
        buildah rmi --all --force >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
}
trap clean EXIT

install_outside() {
    [[ ! -e "$work/venv/.done" ]] || return 0
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
        fail 'the wheels are for Python 3.11; name one: make image-test PYTHON=python3.11'
    rm -rf "$work/source"
    mkdir "$work/source"
    cp -R pyproject.toml README.md LICENSE nnunet_prompt trainers dataset_conversion "$work/source"
    "$python" -m venv --clear "$work/venv"
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$PWD/wheelhouse/cpu" PIP_DISABLE_PIP_VERSION_CHECK=1
    "$outside/pip" install --quiet --no-deps -r container/requirements.txt -r container/torch-cpu.txt
    "$outside/pip" install --quiet --no-deps --no-build-isolation "$work/source"
    touch "$work/venv/.done"
}

make_model() (
    cd tests
    "$outside/python" - "$work/model" "$form" <<'PYTHON'
import json, sys
from pathlib import Path

import torch
from helpers.models import write_model_folder

folder = write_model_folder(Path(sys.argv[1]), channels=2 if sys.argv[2] == "autopet" else 1)
plans = json.loads((folder / "plans.json").read_text())
plans["configurations"]["3d_fullres"]["patch_size"] = [8, 64, 64]  # its own is for tests of a second
(folder / "plans.json").write_text(json.dumps(plans))
path = folder / "fold_0" / "checkpoint_final.pth"
checkpoint = torch.load(path, weights_only=False)
for name, value in checkpoint["network_weights"].items():
    if name.startswith("heads.") and name.endswith("bias"):
        value.zero_()  # an untrained network says no everywhere: two empty masks would be the same whatever happens
torch.save(checkpoint, path)
PYTHON
)

build() {
    local settings=(VARIANT=cpu MODEL="$work/model" IMAGE="$image" LICENCE='of no value')
    settings+=(FORM="$form" UPLOAD="$work/upload" PACKER="$outside/python")
    if [[ $engine == docker ]]; then
        "${MAKE:-make}" image "${settings[@]}"
        return
    fi
    if [[ ! -e "$work/base/base.tar" ]]; then
        mkdir -p "$work/base"
        mmdebstrap --variant=apt --include=python3,python3-venv bookworm "$work/base/base.tar"
    fi
    buildah build --quiet --isolation chroot -t nnunet-prompt-base -f - "$work/base" <<<$'FROM scratch\nADD base.tar /'
    unshare --net "${MAKE:-make}" image "${settings[@]}" BASE=localhost/nnunet-prompt-base \
        ENGINE="buildah --root $work/storage --runroot $work/run" BUILD_FLAGS='--isolation chroot'
}

# Prints how many bytes the image takes unpacked. The mounts are for docker and buildah alike; what follows is for the command.
run() {
    local mounts=(-v "$work/input:/input:ro" -v "$work/answered:/output")
    [[ $form == care ]] || mounts+=(-v "$work/weights:/opt/ml/model:ro")
    if [[ $engine == docker ]]; then
        docker run --rm --network none --read-only --tmpfs /tmp --shm-size 64m --env OMP_NUM_THREADS \
            "${mounts[@]}" "$image" "$@" >&2 || return
        docker image inspect --format '{{.Size}}' "$image"
        return
    fi
    local container entrypoint
    container="$(buildah from "$image")"
    # buildah runs what it is told, not the entrypoint; without a network but with the image's own user
    entrypoint="$(buildah inspect --type image --format '{{range .Docker.Config.Entrypoint}}{{.}} {{end}}' "$image")"
    unshare --net bash -c 'buildah run --isolation chroot "$@"' \
        - "${mounts[@]}" "$container" -- sh -c "OMP_NUM_THREADS=1 exec $entrypoint$*" >&2 || return
    du --summarize --bytes "$(buildah mount "$container")" | cut -f 1
}

# A challenge set of one phantom of each centre, and the masks of it outside.
prepare_care() {
    "$outside/nnunet-prompt" phantom heart -o "$work/input" -n 3 --part test
    "$outside/nnunet-prompt" simulate "$work/input/labels" -o "$work/input/prompts.json"
    "$outside/nnunet-prompt" submit -i "$work/input" -o "$work/expected" -m "$work/model" --strict
}

# The job and the tarball of the upload; `build` makes them again.
prepare_grand_challenge() {
    "$outside/python" container/pack_job.py "$work/model" "$work/upload" --form "$form"
    cp -R "$work/upload/test/input/interf0" "$work/input"
    mkdir "$work/weights"
    tar -xzf "$work/upload/model.tar.gz" -C "$work/weights"
    "$outside/nnunet-prompt" submit --form "$form" -i "$work/input" -o "$work/expected" -m "$work/weights" --strict
}

prepare_autopet() {
    prepare_grand_challenge
}

# Phantoms of two centres, and what `predict` makes of them outside.
prepare_cli() {
    "$outside/nnunet-prompt" phantom heart -o "$work/input" -n 2 --part test
    cp -R "$work/model" "$work/weights"
    answer=(predict -i /input/images -o /output -m /opt/ml/model)
    "$outside/nnunet-prompt" predict -i "$work/input/images" -o "$work/expected" -m "$work/weights"
}

# What the platform may get wrong: exit code 1 and one line of error.
refuse() {
    local error
    if error="$(run 2>&1 >/dev/null)"; then fail "$1 is not refused"; fi
    [[ "$(grep -c 'nnunet-prompt: error: ' <<<"$error")" == 1 && "$error" == *"$2"* ]] || fail "$1: $error"
    echo "$1: refused"
}

say 'outside: the same wheels in an environment of their own'
install_outside

say 'a tiny model, and what it answers outside'
rm -rf "$work/model" "$work/input" "$work/expected" "$work/answered" "$work/upload" "$work/weights"
make_model
"prepare_${form//-/_}"
chmod -R a+rX "$work/input"
"$outside/python" -c 'import sys, SimpleITK
for path in sys.argv[1:]:
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).any()
    assert found, f"{path} is empty: there is nothing to compare"' $(find "$work/expected" -type f)

say 'the image'
build

say 'what it answers inside'
mkdir "$work/answered"
chmod a+rwx "$work/answered"
size="$(run "${answer[@]}")"

say 'are they the same?'
diff -r "$work/expected" "$work/answered" || fail 'the answers differ'
owners="$(find "$work/answered" -type f -printf '%U\n' | sort -u)"
[[ $owners == 10001 ]] || fail "the masks belong to $owners, expected the user 10001"
find "$work/answered" -type f -printf '%f, %s bytes: the same\n'
if [[ $form == grand-challenge || $form == autopet ]]; then
    say 'what it refuses'
    mv "$work/weights" "$work/kept" && mkdir "$work/weights"
    refuse 'a job without weights' 'no weights'
    rmdir "$work/weights" && mv "$work/kept" "$work/weights"
    sed -i '0,/"slug": "[a-z-]*"/s//"slug": "moon"/' "$work/input/inputs.json"
    refuse 'an unknown slug' "unknown slug 'moon'"
    echo '[' >"$work/input/inputs.json"
    refuse 'an inputs.json that is no JSON' 'not readable as JSON'
fi
if [[ $form == cli ]]; then
    say 'every verb'
    # -P: the package that is installed, not the checkout
    verbs="$("$outside/python" -P -c 'from nnunet_prompt.cli.main import VERBS; print(*VERBS)')"
    for verb in $verbs; do
        run "$verb" --help >/dev/null 2>&1 || fail "$verb does not answer"
    done
    echo "$verbs"
fi
((size < limit)) || fail "the image takes $size bytes unpacked, more than $limit"
say "passed: the image takes $size bytes unpacked"
