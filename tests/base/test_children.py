"""Children end with their parent and heed Ctrl-C, however the parent was started."""

import signal
import subprocess
import sys
import time

import psutil
import pytest

PARENT = """
import signal, subprocess, sys, time
from saltern.children import tie_to_parent
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script does for what it starts in the background
child = subprocess.Popen(["sleep", "600"], preexec_fn=tie_to_parent)
print(child.pid, flush=True)
time.sleep(600)
"""


def started() -> tuple[subprocess.Popen[str], psutil.Process]:
    """A parent and its child."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    return parent, psutil.Process(int(parent.stdout.readline()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_its_parent(number: signal.Signals) -> None:
    parent, child = started()
    parent.send_signal(number)
    parent.wait()
    assert not psutil.wait_procs([child], timeout=10)[1]


def test_a_child_heeds_an_interrupt_that_its_parent_ignores() -> None:
    parent, child = started()
    try:
        parent.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert parent.poll() is None
        child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 10
        while child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.02)
        assert child.status() == psutil.STATUS_ZOMBIE
    finally:
        parent.kill()
        parent.wait()
