#!/usr/bin/env bash
# NequIP, MACE and SevenNet, each in an environment of its own on top of ours (torch is shared):
#   envs/trainers.sh VENV DIRECTORY    makes DIRECTORY/nequip, DIRECTORY/mace and DIRECTORY/sevennet
# mace-torch needs another e3nn than nequip does, so they cannot share one. In them networks of theirs are trained and
# used (`student.network`) and exported datasets are tried; they are found by variables, which make sets for what it runs:
#   export SALTERN_NEQUIP=DIRECTORY/nequip/bin SALTERN_MACE=DIRECTORY/mace/bin SALTERN_SEVENNET=DIRECTORY/sevennet/bin
set -euo pipefail
venv=${1:?usage: envs/trainers.sh VENV DIRECTORY}
directory=${2:?usage: envs/trainers.sh VENV DIRECTORY}
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

environment() { # environment NAME
  local place=$directory/$1 lock
  lock=$(dirname "$0")/$1.lock.txt
  cmp --quiet "$lock" "$place/ready" && return
  "$venv/bin/python" -m venv "$place"
  # a site directory, not a plain path, for what is installed there as a link (Saltern itself) is found by its .pth files
  echo "import site; site.addsitedir('$packages')" \
    >"$("$place/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/saltern.pth"
  "$place/bin/pip" install --quiet --no-deps --no-warn-conflicts --disable-pip-version-check --requirement "$lock"
  cp "$lock" "$place/ready"
}

environment nequip
environment mace
environment sevennet
