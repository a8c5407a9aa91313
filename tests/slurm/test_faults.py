"""What goes wrong on a cluster, and what the user has of it."""

import os
import signal
import subprocess
import time

import pytest
from lab import queue, wait_until

pytestmark = pytest.mark.slurm


@pytest.fixture
def holding(lab):
    """A call of Snakemake with a run that waits, and others that are done."""
    lab.study("{my/steps.py:Waits: {lr: [0.001, 0.002, 0.003, 0.004]}}")
    (lab.folder / "hold-0.004").touch()

    def start(*words):
        process = lab.start(*words)
        waits = lambda: len(lab.runs()) == 3 and 0.004 in lab.begun()  # noqa: E731
        wait_until(waits, 90, "three runs done and one waiting")
        return process

    return start


def let_go(lab):
    (lab.folder / "hold-0.004").unlink()


def times(lab, rate):
    return len(lab.begun().get(rate, ()))


def test_the_users_own_error_is_shown_and_costs_the_others_nothing(lab):
    lab.study("{my/steps.py:Raises: {lr: [0.001, 0.002, 0.003, 2]}}")
    told = lab.call("--retries", "1", status=1)
    assert "a rate of 2 is too long a step" in told
    assert "Restored" not in told
    assert {rate: times(lab, rate) for rate in lab.begun()} == {
        **{0.001: 1, 0.002: 1, 0.003: 1},
        2: 2,
    }
    assert len(lab.slurm_jobs()) == 2
    assert len(lab.runs()) == 3


def test_a_run_out_of_memory_goes_again_with_more(lab):
    lab.study("{my/steps.py:Eats: {lr: [0.001]}}")
    lab.call()
    jobs = lab.slurm_jobs("reqmem")
    assert [row[2] for row in jobs] == ["1300M", "1900M"]
    assert jobs[0][1] in ("FAILED", "OUT_OF_MEMORY")
    assert jobs[1][1] == "COMPLETED"


def test_a_cancelled_job_goes_again_without_what_was_done(lab, holding):
    process = holding()
    subprocess.run(["scancel", queue()[0][0]], check=True)
    wait_until(lambda: times(lab, 0.004) == 2, 90, "another beginning")
    let_go(lab)
    assert process.wait(90) == 0, lab.told()
    assert len(lab.slurm_jobs()) == 2
    assert [times(lab, rate) for rate in (0.001, 0.002, 0.003)] == [1, 1, 1]


def test_a_requeued_job_goes_on_without_what_was_done(lab, holding):
    process = holding()
    ((job, _, _),) = queue()
    subprocess.run(["scontrol", "requeue", job], check=True)
    wait_until(lambda: times(lab, 0.004) == 2, 120, "another beginning")
    let_go(lab)
    assert process.wait(90) == 0, lab.told()
    assert {facts[0] for facts in lab.begun()[0.004]} == {job}
    assert [times(lab, rate) for rate in (0.001, 0.002, 0.003)] == [1, 1, 1]


def test_a_node_that_goes_down_loses_only_what_was_on_it(lab, holding, cluster):
    process = holding()
    ((_, _, node),) = queue()
    subprocess.run([cluster, "kill-node", node.removeprefix("node")], check=True)
    try:
        wait_until(lambda: times(lab, 0.004) == 2, 150, "another beginning")
    finally:
        subprocess.run([cluster, "start-node", node.removeprefix("node")], check=True)
    let_go(lab)
    assert process.wait(90) == 0, lab.told()
    assert lab.begun()[0.004][1][1] != node
    assert [times(lab, rate) for rate in (0.001, 0.002, 0.003)] == [1, 1, 1]
    idle = ["sinfo", "--noheader", "--format=%T", f"--nodes={node}"]
    up = lambda: subprocess.run(idle, capture_output=True, text=True, check=True).stdout  # noqa: E731
    wait_until(lambda: up().strip() == "idle", 30, "the node")


def test_jobs_that_wait_are_submitted_after_a_node_has_gone_down(lab):
    """sacct names no node of the job that SLURM has put back into the queue."""
    lab.study("{my/steps.py:Waits: {lr: [0.001, 0.002, 0.003, 0.004]}}")
    (lab.folder / "hold").touch()
    process = lab.start("--jobs", "2", "--optlab-slurm-together-seconds", "0")
    wait_until(lambda: len(lab.begun()) == 2, 90, "two runs")
    node = queue()[0][2]
    down = ["scontrol", "update", f"nodename={node}", "reason=test"]
    subprocess.run([*down, "state=down"], check=True)
    try:
        wait_until(lambda: "NODE_FAIL" in lab.told(), 120, "the failure to be seen")
    finally:
        (lab.folder / "hold").unlink()
        subprocess.run([*down[:3], "state=resume"], check=True)
    assert process.wait(240) == 0, lab.told()
    assert len(lab.runs()) == 4
    assert "could not be submitted" not in lab.told()


def test_ctrl_c_leaves_an_empty_queue_and_the_next_call_goes_on(lab, holding):
    process = holding()
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    wait_until(lambda: not queue(), 15, "an empty queue")
    assert process.wait(30) != 0
    assert time.monotonic() - begin < 30
    let_go(lab)
    lab.call()
    assert [times(lab, rate) for rate in (0.001, 0.002, 0.003, 0.004)] == [1, 1, 1, 2]


def test_ctrl_c_before_anything_has_been_submitted_submits_nothing(lab):
    lab.study("{my/steps.py:Waits: {lr: [0.001, 0.002]}}")
    process = lab.start()
    wait_until(lambda: "SLURM run ID" in lab.told(), 60, "a start")
    lab.stop(process, signal.SIGINT)
    time.sleep(3)
    assert not queue()


def test_a_killed_snakemake_loses_nothing_finished_and_leaves_no_second_job(lab, holding):
    process = holding()
    ((job, _, _),) = queue()
    lab.stop(process, signal.SIGKILL)
    assert queue()
    lab.call("--unlock")
    process = lab.start()
    wait_until(lambda: times(lab, 0.004) == 2, 90, "another beginning")
    assert job not in [row[0] for row in queue()]
    let_go(lab)
    assert process.wait(90) == 0, lab.told()
    assert [times(lab, rate) for rate in (0.001, 0.002, 0.003)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("site", "changes", "words"),
    [
        ([("slurm_account", "nobody")], (), ("nobody", "slurm_account")),
        ([("slurm_partition", "nowhere")], (), ("invalid partition", "slurm_partition")),
        (
            [("gpus_per_node", 16)],
            (("device: cpu", "device: cuda"), ("epochs: [3]", "epochs: [3]\n    gpus: [9]")),
            ("node configuration is not available", "gpus_per_node"),
        ),
    ],
    ids=["account", "partition", "gpus"],
)
def test_what_slurm_refuses_is_told_at_once_and_how_to_cure_it(lab, site, changes, words):
    lab.study("{sgd: {lr: [0.001, 0.002]}}", *changes)
    told = lab.call(site=site, status=1, seconds=60)
    (line,) = (line for line in told.splitlines() if line.startswith("error: "))
    assert all(word in line for word in words), line
    assert "restart" not in told
    assert not queue()
