"""The tests that need CUDA; in a rehearsal they do on the CPU what can be done there."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gpu.day import Day

ROOT = Path(__file__).resolve().parents[2]
FILE = "tests/test_cuda.py"
REHEARSAL = "OPTLAB_CUDA_TESTS"  # cpu: the tests that need CUDA run without it


class Noted:
    """Notes how the tests end: the counts, and each failure when it happens."""

    def __init__(self, day: Day):
        self.day, self.counts = day, {"passed": 0, "failed": 0, "skipped": 0}
        self.failed: list[str] = []
        self.skipped: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return
        self.counts[report.outcome] += 1
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = str(getattr(crash, "message", report.longrepr)).partition("\n")[0]
            self.failed.append(f"{name}: {said[:300]}")
            self.day.note("failed", self.failed)
        elif report.skipped:
            self.skipped[str(report.longrepr[-1]).removeprefix("Skipped: ")] += 1


def measure(day: Day) -> None:
    os.chdir(ROOT)
    if day.rehearsal:
        os.environ[REHEARSAL] = "cpu"
    noted = Noted(day)
    words = ["-q", "-p", "no:cacheprovider", "--tb=short", "-m", "cuda", FILE]
    status = pytest.main(words, plugins=[noted])
    day.note("counts", noted.counts)
    if noted.skipped:
        day.note("skipped", noted.skipped)
    if status != pytest.ExitCode.OK:
        failed, name = noted.counts["failed"], pytest.ExitCode(status).name
        day.failures.append(f"{failed} tests failed" if failed else f"pytest: {name}")
