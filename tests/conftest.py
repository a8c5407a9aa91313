"""What several test files share."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import STUDY

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, in which the test then is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(here):
    """Write the smallest study to study.yaml, some of its text replaced."""

    def write(replace=None, text=STUDY):
        for old, new in (replace or {}).items():
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the study"
            text = text.replace(old, new)
        (here / "study.yaml").write_text(text, encoding="utf-8")
        return "study.yaml"

    return write


HOLDER = (
    "import sys; sys.path.insert(0, sys.argv[1]); from optlab.machine import devices;"
    "print(*devices.take(int(sys.argv[2])), flush=True); sys.stdin.read()"
)


@pytest.fixture
def holder():
    """Starts a process that takes GPUs and keeps them until its standard input is closed."""

    def start(count):
        command = [sys.executable, "-u", "-c", HOLDER, str(SCRIPTS), str(count)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return start


def pytest_configure() -> None:
    """A test run in the background of a shell ignores Ctrl-C, and so would all that it starts.

    One that `nohup` started ignores the end of its terminal, too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
