"""A process is alive if a process with its pid and its start time runs in the same place."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from optlab.machine import alive

PAUSED = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def child():
    """A process that runs until its standard input is closed."""
    process = subprocess.Popen(PAUSED, stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def identity_of(process):
    """The identity that another process would state of itself."""
    return {**alive.identity(), "pid": process.pid, "born": alive._born(process.pid)}


def test_a_process_is_alive_until_it_has_ended(child):
    assert alive.lives(alive.identity())
    identity = identity_of(child)
    assert alive.lives(identity)
    child.communicate()
    assert alive.lives(identity) is False


def test_a_zombie_is_not_alive(child):
    identity = identity_of(child)
    child.stdin.close()
    end = time.monotonic() + 30
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the process did not end"
        time.sleep(0.01)
    assert alive.lives(identity) is False


@pytest.mark.parametrize("seconds", [-3600.0, -5.0, 5.0, 3600.0])
def test_another_process_that_got_the_pid_is_not_the_one_that_had_it(child, seconds):
    identity = identity_of(child)
    assert alive.lives({**identity, "born": identity["born"] + seconds}) is False


def test_a_process_in_another_place_cannot_be_seen(child):
    """Another machine, another boot of this one, or another container."""
    assert alive.lives({**identity_of(child), "place": "elsewhere"}) is None


def test_an_identity_is_the_same_in_every_process_and_whatever_the_clock_says(child, monkeypatch):
    code = "import json; from optlab.machine import alive; print(json.dumps(alive._born(%d)))"
    command = [sys.executable, "-c", code % child.pid]
    scripts = os.path.dirname(os.path.dirname(os.path.dirname(alive.__file__)))
    told = subprocess.check_output(command, text=True, env={**os.environ, "PYTHONPATH": scripts})
    identity = {**identity_of(child), "born": float(told)}
    assert alive.lives(identity)

    # Setting the machine's clock moves the time of the boot, and with it all start times.
    boot, create = psutil.boot_time(), psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create(self) + 3600)
    assert alive.lives(identity)
