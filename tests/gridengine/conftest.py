"""The test cluster: brought up for the first test that needs it, and wiped at the end."""

import os
import subprocess

import lab as labs
import pytest
import small_study
from queues import CLUSTER, Jobs


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A Grid Engine of one host with eight slots, and what its commands need to find it."""
    refused = subprocess.run(
        [CLUSTER, "check"], capture_output=True, text=True, check=False
    ).stdout.strip()
    if refused:
        if os.environ.get("OPTLAB_REQUIRE_GRIDENGINE"):
            pytest.fail(refused)
        pytest.skip(refused)
    # Where this process is killed, the cluster's guard wipes it.
    told = tmp_path_factory.mktemp("cluster") / "told.txt"  # a pipe would stay open in the daemons
    with told.open("w") as output:
        command = [CLUSTER, "start", str(os.getpid())]
        started = subprocess.run(command, stdout=output, stderr=output, check=False, timeout=300)
    if started.returncode:
        pytest.fail(told.read_text())
    with pytest.MonkeyPatch.context() as patch:
        shell = subprocess.run([CLUSTER, "env"], capture_output=True, text=True, check=True).stdout
        for line in shell.splitlines():
            patch.setenv(*line.removeprefix("export ").split("="))
        # The mark by which what a killed test leaves behind is found.
        patch.setenv("OPTLAB_GRIDENGINE_ROOT", os.path.dirname(os.environ["SGE_ROOT"]))
        yield CLUSTER
        subprocess.run([CLUSTER, "wipe"], check=True)


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    return small_study.without_ours(tmp_path_factory.mktemp("environment"))


@pytest.fixture
def jobs(cluster):
    """The cluster's jobs: none before and after."""
    here = Jobs()
    yield here
    here.delete()


@pytest.fixture
def lab(jobs, python, tmp_path):
    """A workflow to run on the cluster, from an environment without our executor."""
    one = labs.Lab(tmp_path)
    one.python = python
    return one
