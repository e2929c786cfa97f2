#!/usr/bin/env bash
# Runs the image on each job of test/input as the platform does: without network, with the weights at /opt/ml/model.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

image="${1:-@IMAGE@}"
for job in test/input/*/; do
    name="$(basename "$job")"
    rm -rf "test/output/$name"
    mkdir -p -m 777 "test/output/$name"
    docker run --rm --platform linux/amd64 --network none --read-only --tmpfs /tmp \
        ${GPUS:+--gpus "$GPUS"} \
        --volume "$PWD/test/input/$name:/input:ro" \
        --volume "$PWD/test/output/$name:/output" \
        --volume "$PWD/model:/opt/ml/model:ro" \
        "$image"
    find "test/output/$name" -type f
done
