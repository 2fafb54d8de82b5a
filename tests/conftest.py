"""What holds for all tests."""

import os

import pytest

NOT_IN_CI = ("GPU", "shared")
"""What a machine of the continuous integration may lack; every other component must be there and be tested."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slurm: starts a cluster (root, SLURM, munge, MariaDB); takes a minute or two")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
    """Turn a skipped test into a failed one in CI, where a missing component is a fault of the set-up."""
    report: pytest.TestReport = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(word in reason for word in NOT_IN_CI):
            report.outcome, report.longrepr = "failed", f"skipped in CI: {reason}"
    return report
