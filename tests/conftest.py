"""What several test files share."""

import signal

import pytest

# The smallest study that has every level; its lines are numbered in the messages of a mistake.
STUDY = """\
study: tiny
seeds: 2
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [10]
    batch_sizes: [full]
    optimizers:
      sgd:
        lr: [0.01]
"""


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


def pytest_configure() -> None:
    """A test run in the background of a shell ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
