#!/usr/bin/env bash
# Packs what is left of each corpus after `cargo fuzz cmin` into the archive that is kept: the same bytes for the same inputs.
# With `unpack`, the other way.
set -euo pipefail
cd "$(dirname "$0")/corpus"
if [ "${1:-}" = unpack ]; then
  for packed in *.tar.gz; do
    mkdir -p "${packed%.tar.gz}"
    tar -xzf "$packed" -C "${packed%.tar.gz}"
  done
  exit
fi
for folder in */; do
  target=${folder%/}
  tar --sort=name --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@0 -cf - -C "$target" . | gzip -9n >"$target.tar.gz"
done
