"""Grid Engine runs our training jobs, through Snakemake's generic plugin: `profiles/sge`."""

import os
import signal
import subprocess

import pytest
import small_study
from lab import wait_until

pytestmark = pytest.mark.gridengine

QUICK = ("--seconds-between-status-checks", "2", "--latency-wait", "10",
         "--cluster-generic-status-cmd", "profiles/sge/status.sh 3")  # fmt: skip

# An optimizer that maps more and more address space than the first attempt may have.
MAPS = """
import mmap


class Maps(Step):
    def trouble(self, lr):
        if not hasattr(self, "mapped"):
            self.mapped = mmap.mmap(-1, 3_000 << 20)
"""


@pytest.fixture
def call(lab):
    def call(*words, **more):
        return lab.call(*QUICK, *words, profile="sge", **more)

    return call


@pytest.fixture
def holding(lab):
    """A call of Snakemake with runs that wait."""

    def start(*rates, changes=()):
        lab.study(f"{{my/steps.py:Waits: {{lr: {list(rates)}}}}}", *changes)
        (lab.folder / "hold").touch()
        return lab.start(*QUICK, profile="sge")

    return start


def beginnings(lab):
    return {rate: len(times) for rate, times in lab.begun().items()}


def test_a_study_is_run_to_its_end_one_job_a_run(lab, jobs, call):
    lab.write("study.yaml", small_study.STUDY)
    call()
    ended = jobs.ended()
    assert len(ended) == small_study.RUNS
    for job in ended:
        assert (job["jobname"], job["failed"], job["exit_status"]) == ("train", "0", "0")
        assert job["category"] == "-l h_rt=660,h_vmem=3600M -pe smp 1"
    assert len([*lab.folder.glob(".snakemake/sge_logs/train.o*")]) == 0
    small_study.check(lab, "sge")


def test_a_failing_run_is_shown_and_costs_the_others_nothing(lab, jobs, call):
    lab.study("{my/steps.py:Raises: {lr: [0.001, 0.002, 2]}}")
    told = call("--retries", "1", status=1)
    assert "a rate of 2 is too long a step" in told
    assert beginnings(lab) == {0.001: 1, 0.002: 1, 2: 2}
    assert len(lab.runs()) == 2
    assert sorted(job["exit_status"] for job in jobs.ended()) == ["0", "0", "1", "1"]
    assert "rule train:" in lab.call("-n", profile="sge")


def test_a_run_out_of_memory_goes_again_with_more(lab, jobs, call):
    lab.write("my/steps.py", (lab.folder / "my/steps.py").read_text() + MAPS)
    lab.study("{my/steps.py:Maps: {lr: [0.001]}}")
    call()
    first, *more = [job["category"] for job in jobs.ended()]
    assert "h_vmem=3600M" in first
    assert more and "h_vmem=4200M" in more[0]


def test_processors_and_gpus_are_asked_for(lab, jobs, call):
    """Two processes on two processors; and a GPU, of which PyTorch sees none and takes the CPU."""
    changes = (("[line]", "[digits]"), ("[linear]", "[softmax]"), ("[full]", "[100]"))
    lab.study("{sgd: {lr: [0.1]}}", *changes, ("epochs: [3]", "epochs: [1]\n    gpus: [2]"))
    call()
    lab.study("{sgd: {lr: [0.1]}}", *changes, ("device: cpu", "device: auto"))
    profile = lab.folder / "profiles/sge/config.yaml"
    text = profile.read_text(encoding="utf-8")
    assert text.count("gpus_per_node: 0") == 1
    profile.write_text(text.replace("gpus_per_node: 0", "gpus_per_node: 4"), encoding="utf-8")
    call()
    two, gpu = (job["category"] for job in jobs.ended())
    assert two.endswith("-pe smp 2") and "gpu" not in two
    assert "gpu=1" in gpu and "h_vmem" not in gpu


def test_a_deleted_job_goes_again(lab, jobs, holding):
    process = holding(0.001)
    wait_until(lambda: beginnings(lab) == {0.001: 1}, 60, "a beginning")
    subprocess.run(["qdel", *jobs.queue()], check=True)
    wait_until(lambda: beginnings(lab) == {0.001: 2}, 60, "another beginning")
    (lab.folder / "hold").unlink()
    assert process.wait(60) == 0, lab.told()
    assert len(lab.runs()) == 1


def test_ctrl_c_leaves_an_empty_queue_and_the_next_call_goes_on(lab, jobs, holding, call):
    """Of three runs with four processors each, two run and one waits in the queue."""
    process = holding(0.001, 0.002, 0.003, changes=(("device: cpu", "device: cpu\nthreads: 4"),))
    full = lambda: sorted(jobs.queue().values()) == ["qw", "r", "r"]  # noqa: E731
    wait_until(lambda: full() and len(beginnings(lab)) == 2, 60, "two that run, one that waits")
    os.killpg(process.pid, signal.SIGINT)
    wait_until(lambda: not jobs.queue(), 15, "an empty queue")
    assert process.wait(30) != 0
    (lab.folder / "hold").unlink()
    call()
    assert sorted(beginnings(lab).values()) == [1, 2, 2]
    assert len(lab.runs()) == 3
