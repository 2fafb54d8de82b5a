#!/usr/bin/env bash
# Resolve pyproject.toml into exact versions, and write every file of envs/ that holds them.
#   envs/lock.sh             keep the present versions where they still satisfy pyproject.toml
#   envs/lock.sh --upgrade   take the newest versions
# torch (version: envs/torch.txt) and the CUDA libraries it brings are kept apart: envs/install.sh chooses the build.
set -euo pipefail
cd "$(dirname "$0")/.."

cuda='^(triton|nvidia-.*|cuda-.*)=='

compile() { # compile OUTPUT ARGUMENTS...
  local output=$1
  shift
  uv pip compile pyproject.toml --quiet --output-file "$output" --no-header --annotation-style line \
    --python-version 3.11 --python-platform x86_64-manylinux_2_34 --constraint envs/torch.txt "$@" >/dev/null
  grep -E "$cuda" "$output" >envs/cuda.lock.txt
  sed -i -E "/^torch==|$cuda/d" "$output"
}

# A conda environment cannot choose torch's build, so its file leaves out torch;
# envs/NAME.post-deploy.sh adds it with envs/install.sh.
conda_environment() { # conda_environment NAME FURTHER_PACKAGE...
  local name=$1 package
  shift
  {
    sed -n '/^#/p' "envs/$name.yaml"
    printf 'name: saltern-%s\nchannels:\n  - conda-forge\n  - nodefaults\ndependencies:\n' "$name"
    for package in python=3.11.13 pip=25.2 "$@"; do printf '  - %s\n' "$package"; done
    printf '  - pip:\n'
    sed -E 's/ +#.*//; s/^/      - /' envs/core.lock.txt
  } >"envs/$name.yaml.new"
  mv "envs/$name.yaml.new" "envs/$name.yaml"
}

# All packages of a network depend on torch, so envs/NAME.post-deploy.sh installs them, too. The sum of their versions is
# in the file because Snakemake makes an environment anew when its file changes.
network_environment() { # network_environment NAME
  compile "envs/$1.lock.txt" --extra "$1" --constraint envs/core.lock.txt "${upgrade[@]}"
  {
    sed -n '/^#/p' "envs/$1.yaml" | sed '/^# Sum of/d'
    printf '# Sum of envs/%s.lock.txt: %s\n' "$1" "$(sha256sum <"envs/$1.lock.txt" | cut -c 1-16)"
    printf 'name: saltern-%s\nchannels:\n  - conda-forge\n  - nodefaults\ndependencies:\n' "$1"
    printf '  - python=3.11.13\n  - pip=25.2\n'
  } >"envs/$1.yaml.new"
  mv "envs/$1.yaml.new" "envs/$1.yaml"
}

upgrade=("$@")
compile envs/core.lock.txt "$@"
compile envs/dev.lock.txt --extra dev --constraint envs/core.lock.txt "$@"
conda_environment core
conda_environment cp2k "cp2k=2024.2=openblas_nompi_*"
for network in nequip mace sevennet; do
  network_environment "$network"
done
