#!/usr/bin/env bash
# The programs that datasets are exported for, each in an environment of its own on top of ours (torch is shared):
#   envs/trainers.sh VENV DIRECTORY    makes DIRECTORY/nequip and DIRECTORY/mace
# mace-torch needs another e3nn than we and nequip do, so they cannot share one. Only the tests use them:
#   SALTERN_NEQUIP=DIRECTORY/nequip/bin SALTERN_MACE=DIRECTORY/mace/bin make test
set -euo pipefail
venv=${1:?usage: envs/trainers.sh VENV DIRECTORY}
directory=${2:?usage: envs/trainers.sh VENV DIRECTORY}
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

environment() { # environment NAME PACKAGE...
  local place=$directory/$1
  shift
  [ -f "$place/ready" ] && [ "$(cat "$place/ready")" = "$*" ] && return
  "$venv/bin/python" -m venv "$place"
  echo "$packages" >"$("$place/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/saltern.pth"
  "$place/bin/pip" install --quiet --no-warn-conflicts --disable-pip-version-check "$@"
  echo "$*" >"$place/ready"
}

environment nequip nequip==0.19.1
environment mace mace-torch==0.3.16 e3nn==0.4.4
