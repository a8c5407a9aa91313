"""`profiles/sge/status.sh` tells what has become of a job, whatever that is."""

import os
import subprocess

import pytest
from lab import ROOT, wait_until

pytestmark = pytest.mark.gridengine

SCRIPTS = ROOT / "profiles/sge"


@pytest.fixture
def submit(jobs, tmp_path, monkeypatch):
    """Submit a shell command as the profile does, and give the number of the job."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake/sge_logs").mkdir(parents=True)
    template = (SCRIPTS / "jobscript.sh").read_text(encoding="utf-8")

    def submit(command, logs=".snakemake/sge_logs"):
        (tmp_path / "job.sh").write_text(template.format(properties="{}", exec_job=command))
        words = f"qsub -terse -cwd -S /bin/sh -N train -j y -o {logs} job.sh"
        done = subprocess.run(words.split(), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return submit


def status(job, late=60, **environment):
    done = subprocess.run(
        [SCRIPTS / "status.sh", str(late), job], capture_output=True, text=True, check=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout.strip()


def test_jobs_that_end_by_themselves(jobs, submit, tmp_path):
    (tmp_path / "hold").touch()
    holds = "while [ -e hold ]; do sleep 0.1; done"
    good, bad = submit(holds), submit("exit 3")
    wait_until(lambda: status(bad) != "running", 30, "an end")
    again = submit(holds)  # the list of jobs is some seconds old
    assert status(again, late=0) == "running"
    (tmp_path / "hold").unlink()
    wait_until(lambda: not jobs.queue(), 30, "an empty queue")
    assert (status(good), status(again)) == ("success", "success")
    logs = [file.name for file in (tmp_path / ".snakemake/sge_logs").glob("train.o*")]
    assert logs == [f"train.o{bad}"], "only what failed keeps its log"


def test_a_job_that_was_killed_counts_as_running_until_its_status_may_no_longer_come(jobs, submit):
    job = submit("sleep 60")
    wait_until(lambda: jobs.queue().get(job) == "r", 30, "a beginning")
    subprocess.run(["qdel", job], check=True)
    wait_until(lambda: not jobs.queue(), 30, "an empty queue")
    assert status(job) == "running"
    wait_until(lambda: status(job, late=1) == "failed", 15, "a verdict")


def test_a_job_that_cannot_be_started_has_failed_and_leaves_the_queue(jobs, submit):
    job = submit("true", logs="/nowhere/to/write")
    wait_until(lambda: "E" in jobs.queue().get(job, ""), 30, "an error")
    wait_until(lambda: status(job) == "failed", 15, "a verdict")
    wait_until(lambda: not jobs.queue(), 15, "an empty queue")


def test_a_scheduler_that_does_not_answer_has_lost_no_job(submit):
    job = submit("sleep 60")
    assert status(job, SGE_QMASTER_PORT="16999") == "running"
