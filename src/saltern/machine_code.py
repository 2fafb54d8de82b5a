"""Inner loops in C, compiled on the machine that runs them.

What was compiled stays in the user's cache, under the hash of the text, the compiler and the processor. Texts come from
Saltern alone: no file of a user can bring code.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from saltern.progress import say
from saltern.store import text_hash, whole_file

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
        path = _cache_directory() / f"{text_hash(text, *FLAGS, str(Path(found).resolve()), _processor())}.so"
        if not path.exists():
            with whole_file(path) as temporary:
                command = [found, *FLAGS, "-x", "c", "-", "-o", str(temporary), "-lm"]
                subprocess.run(command, input=text.encode(), check=True, capture_output=True)
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError:
        return _without(f"'{found}' failed")
    except (OSError, RuntimeError) as error:
        return _without(str(error))


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
