#!/usr/bin/env bash
# Saves the image for the upload.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

docker save "${1:-@IMAGE@}" | gzip -c >image.tar.gz.partial
mv image.tar.gz.partial image.tar.gz
ls -l image.tar.gz model.tar.gz
