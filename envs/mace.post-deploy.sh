#!/usr/bin/env bash
# Snakemake runs a copy of this inside the conda environment it has just made, from envs/mace.yaml.
# SALTERN_ROOT: the clone; the current directory if not set.
set -euo pipefail
root=${SALTERN_ROOT:-$PWD}
if [ ! -x "$root/envs/install.sh" ]; then
  echo "$root is not a clone of Saltern: start Snakemake in the clone, or set SALTERN_ROOT to it" >&2
  exit 1
fi
exec "$root/envs/install.sh" "$CONDA_PREFIX" mace
