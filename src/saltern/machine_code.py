"""Inner loops in C, compiled on the machine that runs them.

What was compiled stays in the user's cache, under the hash of the text, the compiler and the processor. Texts come from
Saltern alone: no file of a user can bring code.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from saltern.progress import say

FLAGS = ("-O2", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-std=gnu11", "-shared", "-fPIC", "-w")
"""None of them lets sums be taken in another order: the same machine gives the same bits."""


def compiler() -> str | None:
    """The C compiler: what `CC` names, by default `cc`."""
    return shutil.which(os.environ.get("CC", "cc"))


@cache
def compiled(text: str) -> ctypes.CDLL | None:
    """The library of a text, from the cache or made now; nothing, and a line that says so, where that fails."""
    found = compiler()
    if found is None:
        return _without(f"there is no C compiler '{os.environ.get('CC', 'cc')}'")
    try:
        told = "\n".join([*FLAGS, str(Path(found).resolve()), _processor(), text])
        path = _cache_directory() / f"{hashlib.sha256(told.encode()).hexdigest()}.so"
        if not path.exists():
            _compile(found, text, path)
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError:
        return _without(f"'{found}' failed")
    except (OSError, RuntimeError) as error:
        return _without(str(error))


def _compile(found: str, text: str, path: Path) -> None:
    """Make a library beside its place, so that others see a whole one or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as place:
        made = Path(place) / path.name
        subprocess.run(
            [found, *FLAGS, "-x", "c", "-", "-o", made, "-lm"], input=text.encode(), check=True, capture_output=True
        )
        made.replace(path)


@cache
def _without(reason: str) -> None:
    """Say once that it will be slow."""
    say(f"inner loops are not compiled, which makes potentials several times slower: {reason}")


def _cache_directory() -> Path:
    """Where compiled loops are kept: the user's own, for what lies there is run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saltern" / "kernels"


@cache
def _processor() -> str:
    """What machine code depends on; nodes of a cluster share a home."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return " ".join(sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))}))
