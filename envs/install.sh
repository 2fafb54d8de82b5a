#!/usr/bin/env bash
# Install Saltern and the pinned versions of everything it needs.
#   envs/install.sh PREFIX core    to run it (envs/core.lock.txt)
#   envs/install.sh PREFIX dev     and to test it (envs/dev.lock.txt)
#   envs/install.sh PREFIX nequip  to run it with a network of another package: nequip, mace or sevennet
# PREFIX: a virtual environment, made with $PYTHON (python3.11) if it is not there, or an existing conda environment.
# TORCH=cpu|cuda: which build of torch; auto, the default, keeps what is there, else takes CUDA where a GPU answers.
# What is up to date is left alone, so this may be run again at any time.
set -euo pipefail
usage="usage: envs/install.sh PREFIX core|dev|nequip|mace|sevennet"
prefix=${1:?$usage}
level=${2:?$usage}
[[ $prefix = /* ]] || prefix=$PWD/$prefix
cd "$(dirname "$0")/.."
python=$prefix/bin/python
torch=$(cat envs/torch.txt)

fail() {
  echo "install: $*" >&2
  exit 1
}

make_environment() {
  local interpreter=${PYTHON:-python3.11}
  "$interpreter" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "'$interpreter' is not a Python of version 3.11 or newer; install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv) or name one: make PYTHON=/path/to/python"
  "$interpreter" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$interpreter cannot make virtual environments; install its venv module (Debian, Ubuntu: apt-get install python3.11-venv)"
  echo "Making the environment $prefix with $("$interpreter" --version)"
  "$interpreter" -m venv "$prefix"
}

pip() { "$python" -m pip --disable-pip-version-check --no-input "$@"; }

# pip's own output is long and silent by turns; one line a package reads well on a terminal and in a log.
# pip names the line of the lock file that it is at.
show_progress() { # show_progress LOCK_FILE
  awk -v total="$(grep -c == "$1")" '
    NR == FNR { package[FNR] = $1; next }
    /^(Collecting|Processing) / && match($0, /\(line [0-9]+\)/) {
      line = substr($0, RSTART + 6, RLENGTH - 7); printf "  %d/%d %s\n", line, total, package[line]; fflush() }
    /^Installing collected packages/ { print "  unpacking"; fflush() }' "$1" -
}

torch_build() { "$python" -c 'import torch; print("cuda" if torch.version.cuda else "cpu")' 2>/dev/null || true; }

torch_version() { "$python" -c 'from importlib.metadata import version; print(version("torch").split("+")[0])' 2>/dev/null || true; }

wanted_build() {
  case ${TORCH:-auto} in
    cpu | cuda) echo "$TORCH" ;;
    auto) if nvidia-smi -L >/dev/null 2>&1; then echo cuda; else echo cpu; fi ;;
    *) fail "TORCH=$TORCH: allowed are cpu, cuda, auto" ;;
  esac
}

torch_is_right() {
  [ "torch==$(torch_version)" = "$torch" ] && { [ "${TORCH:-auto}" = auto ] || [ "$(torch_build)" = "$TORCH" ]; }
}

install_torch() {
  local build
  build=$(wanted_build)
  if [ "$build" = cuda ]; then
    echo "Installing $torch, CUDA build (about 3 GB)"
    # === takes the build without a local version (+cpu), which is the registry's own, and replaces a CPU build
    pip install --no-compile --constraint envs/core.lock.txt --constraint envs/cuda.lock.txt "${torch/==/===}"
    "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
      echo "This torch sees no GPU here (on a login node that is normal, else the driver may be too old)" >&2
    return
  fi
  echo "Installing $torch, CPU build (about 200 MB)"
  # A package index or folder that the user's pip knows may offer the CPU build; uv knows where torch keeps it.
  pip install --no-compile --constraint envs/core.lock.txt "$torch+cpu" 2>/dev/null && return
  echo "No $torch+cpu in the places pip looks in; uv fetches it from torch's own"
  pip install --quiet --requirement envs/uv.txt
  "$prefix/bin/uv" pip install --python "$python" --torch-backend=cpu --reinstall-package torch \
    --constraint envs/core.lock.txt "$torch" || fail "no CPU build of $torch could be installed (see above)"
}

install_packages() {
  local lock=envs/$level.lock.txt
  echo "Installing the pinned packages of $lock"
  pip install --no-compile --no-deps --requirement "$lock" | show_progress "$lock"
  pip install --quiet --no-deps --no-build-isolation --editable .
  pip check >/dev/null || pip check || fail "the packages above do not fit together"
}

key() { cat "envs/$1.lock.txt" envs/torch.txt envs/install.sh pyproject.toml | sha256sum; }

[ -f "envs/$level.lock.txt" ] || fail "no such environment: $level; allowed are core, dev, nequip, mace, sevennet"
[ -x "$python" ] || make_environment
stamp=$prefix/.saltern-$level
if torch_is_right && [ "$(cat "$stamp" 2>/dev/null)" = "$(key "$level")" ]; then
  exit 0
fi
start=$SECONDS
echo "Setting up $prefix; a first time takes 1 to 3 minutes and 1.5 GB (CPU build)"
torch_is_right || install_torch
install_packages
key "$level" >"$stamp"
[ "$level" = core ] || key core >"$prefix/.saltern-core"
echo "Environment ready after $((SECONDS - start)) s: torch $("$python" -c 'import torch; print(torch.__version__)')"
