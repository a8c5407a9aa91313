"""Confirmation and settle.py on a cluster: the same seeds and digits as locally."""

import csv
import json
import signal
import subprocess
import sys

import pytest
from lab import Lab, queue, wait_until

pytestmark = pytest.mark.slurm

STUDY = """\
study: tiny
seeds: 2
device: cpu
confirm: 5
extend: 1
exercises:
  pick:
    datasets: [digits]
    models: [softmax]
    epochs: [1]
    optimizers:
      adam: {lr: [0.01]}
      nadam: {lr: [0.01]}
      sgd: {lr: [0.00001, 0.0001]}
"""
CLUSTER = (
    *("--profile", "profiles/slurm", "--latency-wait", "10"),
    *("--optlab-slurm-init-seconds-before-status-checks", "3"),
    *("--optlab-slurm-together-cpus", "2", "--printshellcmds"),
)


def settle(lab, *options):
    """A call of settle.py that has been started."""
    command = [sys.executable, "workflow/scripts/settle.py", "--study", "study.yaml"]
    with (lab.folder / "told.txt").open("w") as output:
        return subprocess.Popen(
            [*command, "--seeds", "8", "--", *options],
            cwd=lab.folder, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip


def content(lab):
    file = lab.folder / "results/tiny/settled.json"
    return json.loads(file.read_text()) if file.exists() else {"seeds": {}, "begin": {}}


def metrics(lab):
    """Every row of every run but its seconds."""
    found = {}
    for file in lab.folder.glob("results/tiny/**/metrics.tsv"):
        with file.open(newline="") as stream:
            rows = [*csv.DictReader(stream, delimiter="\t")]
        name = str(file.relative_to(lab.folder))
        found[name] = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return found


def test_an_interrupted_call_on_the_cluster_ends_as_an_undisturbed_one_locally(
    lab, tmp_path_factory
):
    local = Lab(tmp_path_factory.mktemp("local"))
    for one in (lab, local):
        one.write("study.yaml", STUDY)
    assert settle(local, "--cores", "2").wait(300) == 0, local.told()
    assert "5 -> 9 confirmation seeds" in local.told() and "this took 8 seeds" in local.told()

    lab.site()
    process = settle(lab, *CLUSTER)
    wait_until(lambda: process.poll() is not None or (content(lab)["begin"] and queue()), 300)
    assert process.poll() is None, lab.told()
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 1 and lab.told().endswith("error: interrupted\n")
    wait_until(lambda: not queue(), 60, "an empty queue")
    assert content(lab)["begin"]

    assert settle(lab, *CLUSTER).wait(300) == 0, lab.told()
    assert "this took 8 seeds" in lab.told()
    assert content(lab) == content(local)
    assert [*content(lab)["seeds"].values()] == [9, 9] and content(lab)["begin"] == {}
    assert metrics(lab) == metrics(local)
    jobs = (lab.folder / "results/tiny/logs/settle.log").read_text()
    assert "executor: optlab-slurm" in jobs or "SLURM run ID" in jobs
