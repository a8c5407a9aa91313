"""Faults of a cluster: on a real SLURM a node, a job or a daemon fails while runs wait.

In the end the study is complete, with every number, and what was finished was not trained again.
Needs root and Debian, like `make test-slurm`, whose cluster it brings up.
"""

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import laboratory
from core import ROOT, End

sys.path.insert(0, str(ROOT / "tests/slurm"))
import lab as labs

LENGTHS = (3, 30)
JOBS = 1  # at a time: all nodes are of one cluster
RATES = (0.001, 0.002, 0.003, 0.004)
HELD = RATES[-1:]  # runs that wait in the middle while the fault comes
SECONDS = 240


def prepare() -> None:
    """Bring up the cluster."""
    cluster()
    _numbers()


def refused() -> str:
    """Why no cluster can be brought up here; empty if one can."""
    command = [labs.CLUSTER, "check"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


class Case(NamedTuple):
    fault: str
    wait: float
    reserve: float

    @property
    def words(self) -> str:
        return f"{self.fault}; the runs go on after {self.wait:.1f} s"


def case(random: Random) -> Case:
    return Case(random.choice(list(FAULTS)), random.uniform(0, 15), random.random())


@cache
def cluster() -> Path:
    """The test cluster, which is stopped when this process ends."""
    where = Path(os.environ.get("OPTLAB_SLURM_ROOT", "/tmp/optlab-slurm"))
    if "SLURM_CONF" not in os.environ:  # else a test has brought it up
        log = Path(f"{where}.log")
        with log.open("w") as output:
            command = [labs.CLUSTER, "start", str(os.getpid())]
            started = subprocess.run(
                command, stdout=output, stderr=output, check=False, timeout=600
            )
        assert not started.returncode, log.read_text()
        atexit.register(subprocess.run, [labs.CLUSTER, "stop"], check=False)
        os.environ |= {"SLURM_CONF": str(where / "etc/slurm.conf"), "OPTLAB_SLURM_ROOT": str(where)}
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return where


def judge(case: Case, folder: Path) -> End:
    where = cluster()
    lab = labs.Lab(folder)
    rates = ", ".join(map(str, RATES))
    lab.study(f"{{my/steps.py:Waits: {{lr: [{rates}]}}}}")
    for rate in HELD:
        (folder / f"hold-{rate:g}").touch()
    process = lab.start()
    try:
        labs.wait_until(lambda: waits(lab), SECONDS, "the others done and those waiting")
        seconds = {run["settings"]["knobs"]["lr"]: run["seeds"] for run in lab.runs()}
        FAULTS[case.fault](case, where)
        time.sleep(case.wait)
        for rate in HELD:
            (folder / f"hold-{rate:g}").unlink()
        status = process.wait(SECONDS)
        return verdict(lab, status, seconds)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return End("hang", f"{error}\n{lab.told()[-1500:]}")
    finally:
        if process.poll() is None:
            process.kill()
        mend()


def waits(lab: labs.Lab) -> bool:
    """Whether the held runs wait and all others are done."""
    return len(lab.runs()) == len(RATES) - len(HELD) and all(rate in lab.begun() for rate in HELD)


def verdict(lab: labs.Lab, status: int, seconds: dict) -> End:
    if status:
        return End("lost", lab.told()[-1500:])
    if "Traceback (most recent call last)" in lab.told():
        return End("traceback", lab.told()[-1500:])
    runs = {run["settings"]["knobs"]["lr"]: run["seeds"] for run in lab.runs()}
    if sorted(runs) != list(RATES):
        return End("lost", f"runs: {sorted(runs)}")
    if [rate for rate in seconds if runs[rate] != seconds[rate] or len(lab.begun()[rate]) != 1]:
        return End("trained twice", str(lab.begun()))
    found = {file: rows for file, rows in laboratory.content(lab.folder).items() if "runs/" in file}
    wrong = [
        file
        for file, rows in found.items()
        if file.endswith("metrics.tsv") and rows != _expected(file)
    ]
    if wrong:
        return End("wrong digit", str(wrong))
    if left := labs.queue():
        return End("left running", str(left))
    return End("ran")


@cache
def _numbers() -> dict[str, list[str]]:
    """The numbers of the study where nothing fails: on this machine, without a cluster."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        lab = labs.Lab(Path(name))
        lab.study(f"{{my/steps.py:Waits: {{lr: [{', '.join(map(str, RATES))}]}}}}")
        lab.call(profile=None)
        return laboratory.content(lab.folder)


def _expected(file: str) -> list[str]:
    return _numbers()[file]


def mend() -> None:
    """An idle cluster, whatever the fault was."""
    subprocess.run(["scancel", "--user=root"], check=False)
    for node in range(1, 5):
        if not _alive(node):
            subprocess.run([labs.CLUSTER, "start-node", str(node)], check=False)
    for node in range(1, 5):
        change = ["scontrol", "update", f"NodeName=node{node}", "State=RESUME"]
        subprocess.run(change, check=False, capture_output=True)
    labs.wait_until(lambda: not labs.queue(), 60, "an empty queue")


def _alive(node: int) -> bool:
    file = cluster() / f"run/node{node}.pid"
    return file.exists() and Path(f"/proc/{file.read_text().strip()}").exists()


# -- faults ----------------------------------------------------------------------------------------


def _nodes() -> list[str]:
    """The nodes on which jobs run."""
    return sorted({node for _, state, node in labs.queue() if state == "RUNNING" and node})


def _jobs(case: Case) -> list[str]:
    jobs = [job for job, *_ in labs.queue()]
    return [jobs[int(case.reserve * len(jobs))]] if jobs else []


def node_down(case: Case, where: Path) -> None:
    """A node's plug is pulled, and put in again after a while by `mend`."""
    for node in _nodes()[:1]:
        subprocess.run([labs.CLUSTER, "kill-node", node.removeprefix("node")], check=True)


def node_set_down(case: Case, where: Path) -> None:
    """An operator takes a node out of service, and its jobs are requeued."""
    for node in _nodes()[:1]:
        change = ["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=campaign"]
        subprocess.run(change, check=True)


def cancelled(case: Case, where: Path) -> None:
    for job in _jobs(case):
        subprocess.run(["scancel", job], check=True)


def killed(case: Case, where: Path) -> None:
    for job in _jobs(case):
        subprocess.run(["scancel", "--signal=KILL", "--full", job], check=True)


def requeued(case: Case, where: Path) -> None:
    for job in _jobs(case):
        subprocess.run(["scontrol", "requeue", job], check=True)


def held_and_released(case: Case, where: Path) -> None:
    for job in _jobs(case):
        subprocess.run(["scontrol", "requeuehold", job], check=True)
        time.sleep(2)
        subprocess.run(["scontrol", "release", job], check=True)


def controller_restarted(case: Case, where: Path) -> None:
    """SLURM's controller is killed, and started again after a while."""
    file = where / "run/slurmctld.pid"
    os.kill(int(file.read_text()), 9)
    time.sleep(1 + 9 * case.reserve)
    subprocess.run(["slurmctld"], check=True)
    labs.wait_until(_answers, 30, "the controller")


def accounting_restarted(case: Case, where: Path) -> None:
    """The database daemon, which says what became of jobs, is away for a while."""
    os.kill(int((where / "run/slurmdbd.pid").read_text()), 9)
    time.sleep(1 + 9 * case.reserve)
    subprocess.run(["slurmdbd"], check=True)


def suspended(case: Case, where: Path) -> None:
    for job in _jobs(case):
        subprocess.run(["scontrol", "suspend", job], check=True)
        time.sleep(3)
        subprocess.run(["scontrol", "resume", job], check=True)


def _answers() -> bool:
    return subprocess.run(["scontrol", "ping"], capture_output=True, check=False).returncode == 0


FAULTS: dict[str, Callable[[Case, Path], None]] = {
    "a node's plug is pulled": node_down,
    "a node is set down": node_set_down,
    "a job is cancelled": cancelled,
    "a job is killed": killed,
    "a job is requeued": requeued,
    "a job is requeued, held and released": held_and_released,
    "the controller is restarted": controller_restarted,
    "the accounting is restarted": accounting_restarted,
    "a job is suspended": suspended,
}
