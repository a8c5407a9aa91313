"""The test cluster: brought up for the first test that needs it, and wiped at the end."""

import os
import subprocess
from pathlib import Path

import lab as labs
import pytest

ROOT = Path(os.environ.get("OPTLAB_SLURM_ROOT", "/tmp/optlab-slurm"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A SLURM of four nodes with eight processors and four stand-in GPUs each."""
    refused = subprocess.run(
        [labs.CLUSTER, "check"], capture_output=True, text=True, check=False
    ).stdout.strip()
    if refused:
        if os.environ.get("OPTLAB_REQUIRE_SLURM"):
            pytest.fail(refused)
        pytest.skip(refused)
    # Where this process is killed, the cluster's guard stops it.
    told = tmp_path_factory.mktemp("cluster") / "told.txt"  # a pipe would stay open in the daemons
    with told.open("w") as output:
        command = [labs.CLUSTER, "start", str(os.getpid())]
        started = subprocess.run(command, stdout=output, stderr=output, check=False, timeout=300)
    if started.returncode:
        pytest.fail(told.read_text())
    environment = {"SLURM_CONF": str(ROOT / "etc/slurm.conf"), "OPTLAB_SLURM_ROOT": str(ROOT)}
    os.environ.update(environment)
    try:
        yield labs.CLUSTER
    finally:
        for name in environment:
            del os.environ[name]
        subprocess.run([labs.CLUSTER, "stop"], check=True)


@pytest.fixture
def lab(cluster, tmp_path):
    """A workflow to run on the cluster, which is idle before and after."""
    one = labs.Lab(tmp_path)
    yield one
    subprocess.run(["scancel", "--user=root"], check=True)
    labs.wait_until(lambda: not labs.queue(), 30, "an empty queue")
