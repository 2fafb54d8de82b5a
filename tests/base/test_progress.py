"""Progress lines as a log file shows them."""

import pytest

from saltern import progress


def test_a_log_gets_few_lines_and_always_the_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(progress.track(range(10), "label x", total=12, done=2, note=lambda: "0 quarantined")) == list(range(10))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "label x: 5/12 frames (42 %), 2.0 s/frame, 14 s left, 0 quarantined",
        "label x: 8/12 frames (67 %), 2.0 s/frame, 8 s left, 0 quarantined",
        "label x: 11/12 frames (92 %), 2.0 s/frame, 2 s left, 0 quarantined",
        "label x: 12/12 frames (100 %), 2.0 s/frame, 0 quarantined",
    ]
