"""Programs that this one starts."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def tie_to_parent() -> None:
    """Tie a child to its parent; for `preexec_fn`, in a parent without threads.

    The kernel ends the child when its parent is gone (Linux), also after a kill -9: left alone it would go on for hours
    for nobody, and beside the run that comes next. And a child heeds SIGINT again where its parent was started in the
    background of a script, which has it ignored.
    """
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
