"""How jobs are packed into SLURM jobs, their resources, refusals, and calls that were killed."""

import json
import os
from types import SimpleNamespace
from unittest.mock import Mock, call

import psutil
import pytest

from snakemake_executor_plugin_optlab_slurm import bundles, calls, refusals
from snakemake_executor_plugin_optlab_slurm.exclusion import Excluded


def job(number, seconds=1, threads=1, mem_mb=600, attempt=1, **resources):
    resources = {"mem_mb": mem_mb, "runtime": 10, bundles.PREDICTION: seconds, **resources}
    return SimpleNamespace(
        jobid=number,
        output=[f"out/{number}"],
        threads=threads,
        attempt=attempt,
        resources=resources,
        rule=SimpleNamespace(name="train"),
        wildcards=["a", "b"],
        is_group=lambda: False,
    )


def test_many_short_jobs_are_few_bundles_and_each_job_is_in_one():
    jobs = [job(n, seconds=1 + n % 3) for n in range(200)]
    packed = bundles.pack(jobs, cpus=8, seconds=20)
    assert len(packed) == 3  # 399 s of work in 160 a bundle
    assert sorted(m.jobid for b in packed for m in b.members) == list(range(200))
    loads = [sum(m.resources[bundles.PREDICTION] for m in b.members) for b in packed]
    assert max(loads) - min(loads) <= 3


def test_a_bundle_asks_for_what_its_members_use_at_once():
    members = [job(n, seconds=60, mem_mb=100 * n) for n in range(1, 11)]
    (bundle,) = bundles.pack(members, cpus=4, seconds=600)
    assert bundle.threads == 4
    assert bundle.resources.mem_mb == bundles.START_MB + 1000 + 900 + 800 + 700
    # 150 s in parallel, and 60 for the last one to end.
    assert bundle.resources.runtime == bundles.START_MINUTES + bundles.MARGIN * 210 / 60 + 0.5


def test_a_bundle_never_asks_for_more_processors_than_it_has_members():
    (bundle,) = bundles.pack([job(1), job(2)], cpus=8, seconds=600)
    assert bundle.threads == 2
    (bundle,) = bundles.pack([job(1, threads=12), job(2)], cpus=8, seconds=600)
    assert bundle.threads == 12


def test_a_job_alone_asks_for_its_own():
    bundle = bundles.Bundle([job(1, seconds=5000, threads=3, mem_mb=900)], 3)
    assert bundle.threads == 3
    assert (bundle.resources.mem_mb, bundle.resources.runtime) == (bundles.START_MB + 900, 10)
    assert (bundle.name, bundle.wildcards) == ("train", ["a", "b"])
    alone = bundles.Bundle([job(1, alone=1, slurm_extra="--nice")], 1)
    assert alone.resources.slurm_extra == "--nice --exclusive"


def test_jobs_that_ask_for_other_things_are_not_bundled_together():
    jobs = [job(1), job(2, gpu=1), job(3, attempt=2), job(4, slurm_account="x"), job(5), job(6)]
    packed = bundles.pack(jobs, cpus=8, seconds=600)
    assert sorted(sorted(m.jobid for m in b.members) for b in packed) == [[1, 5, 6], [2], [3], [4]]


def test_members_with_a_gpu_take_it_in_turn():
    (bundle,) = bundles.pack([job(n, 60, mem_mb=500, gpu=1) for n in range(5)], 8, 600)
    assert bundle.threads == 1
    assert bundle.resources.gpu == 1
    assert bundle.resources.mem_mb == bundles.START_MB + 500
    assert bundle.resources.runtime == bundles.START_MINUTES + bundles.MARGIN * 360 / 60


def test_jobs_that_ask_for_more_memory_the_second_time_run_fewer_at_once():
    members = [job(n, attempt=3, mem_mb=2400) for n in range(20)]
    (bundle,) = bundles.pack(members, cpus=8, seconds=600)
    assert bundle.threads == 2
    assert bundle.resources.mem_mb == bundles.START_MB + 2 * 2400


@pytest.mark.parametrize(
    ("one", "short"),
    [
        (job(1, seconds=300), True),
        (job(1, seconds=301), False),
        (job(1, nodes=2), False),
        (job(1, nodes=1), True),
        (job(1, alone=1), False),
        (job(1, seconds=None), False),
    ],
)
def test_which_jobs_are_short(one, short):
    assert bundles.is_short(one, 300) is short


def test_each_member_is_reported_once_and_only_when_its_line_is_complete(tmp_path):
    (bundle,) = bundles.pack([job(n) for n in range(3)], 8, 600)
    assert bundle.news() == []
    bundle.report = tmp_path / "report"
    assert bundle.news() == []
    bundle.report.write_text("done\tout/1\nfail")
    assert [(m.jobid, well) for m, well in bundle.news()] == [(1, True)]
    assert bundle.news() == []
    bundle.report.write_text("done\tout/1\nfailed\tout/0\ndone\tout/1\n")
    assert [(m.jobid, well) for m, well in bundle.news()] == [(0, False)]
    assert list(bundle.open) == ["out/2"]


def test_a_submitted_bundle_notes_the_start_of_each_member():
    members = [job(n) for n in range(3)]
    for member in members:
        member.register = Mock()
    bundles.Bundle(members, 3).register(external_jobid="77")
    assert all(m.register.call_args_list == [call(external_jobid="77")] for m in members)


def test_a_refusal_that_is_final_says_how_to_cure_it():
    said = (
        "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: x"
    )
    assert refusals.reason(said).startswith("error: SLURM refuses the job: ")
    assert "slurm_partition" in refusals.reason(said)
    assert refusals.reason("sbatch: error: Socket timed out on send/recv operation") is None


@pytest.fixture
def cancelled(tmp_path, monkeypatch):
    """The file to which a stand-in for `scancel` writes its arguments."""
    for name, code in {"scancel": f'echo "$@" >> {tmp_path}/cancelled', "squeue": ":"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "cancelled"


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ({}, False),
        ({"born": psutil.Process().create_time() - 10}, True),  # the PID was given to this process
        ({"pid": 2**22 + 1}, True),  # above the highest PID of Linux
        ({"host": "another"}, True),
        ({"name": None, "born": "never"}, False),  # not a note
    ],
)
def test_jobs_of_a_killed_call_are_cancelled(tmp_path, cancelled, change, dead):
    note = tmp_path / "note.json"
    calls.begin(note, "first")
    assert not cancelled.exists()
    written = json.loads(note.read_text())
    note.write_text(json.dumps({**written, **change}))
    calls.begin(note, "second")
    assert cancelled.exists() == dead
    assert not dead or cancelled.read_text() == "--name=first\n"
    assert json.loads(note.read_text()) == {**written, "name": "second"}


def test_only_names_of_nodes_are_left_out():
    """What sacct says of a job that waits again, and of one on several nodes."""
    excluded = Excluded({"node9"})
    for said in ("None assigned", "(null)", "", "node2", "node[1-3]", "gpu-7.site", "a b"):
        excluded.add(said)
    assert excluded == {"node9", "node2", "node[1-3]", "gpu-7.site"}
