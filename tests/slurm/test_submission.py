"""What reaches SLURM, what comes back, and that the results are those of a local run."""

import subprocess
from itertools import pairwise

import pytest
from lab import wait_until

pytestmark = pytest.mark.slurm

RATES = ", ".join(str(rate / 1000) for rate in range(1, 31))


def without_times(rows):
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]


def test_short_runs_share_a_submission_and_equal_those_of_a_local_run(lab, tmp_path):
    lab.study(f"{{sgd: {{lr: [{RATES}]}}, momentum: {{lr: [{RATES}], momentum: [0.2]}}}}")
    lab.call()
    jobs = lab.slurm_jobs("alloccpus", "timelimitraw")
    assert len(lab.runs()) == 60
    assert len(jobs) <= 3
    assert {row[1] for row in jobs} == {"COMPLETED"}
    assert {row[2] for row in jobs} == {"2"}
    assert all(11 <= int(row[3]) <= 30 for row in jobs)
    # A log and a benchmark for each, and a table.
    assert len([*lab.folder.glob("results/tiny/logs/fit/**/*.log")]) == 60
    assert len([*lab.folder.glob("results/tiny/logs/fit/**/*.benchmark.tsv")]) == 60
    on_slurm = without_times(lab.table())
    assert lab.planned() == lab.planned("slurm") == 0

    # One more rate is one more run; and what was made here may be made again elsewhere.
    lab.study(f"{{sgd: {{lr: [{RATES}, 0.5]}}, momentum: {{lr: [{RATES}], momentum: [0.2]}}}}")
    lab.call()
    assert len(lab.slurm_jobs()) == 1
    assert len(lab.runs()) == 61

    (lab.folder / "results/tiny/runs").rename(tmp_path / "slurm-runs")
    lab.study(f"{{sgd: {{lr: [{RATES}]}}, momentum: {{lr: [{RATES}], momentum: [0.2]}}}}")
    lab.call(profile=None)
    assert without_times(lab.table()) == on_slurm
    assert lab.planned("slurm") == 0


def test_each_run_has_the_processors_memory_time_and_gpus_it_should_have(lab):
    """Long runs: each a job of its own. What torch sees is not tested: these GPUs are stand-ins."""
    lab.study(
        "{my/steps.py:Waits: {lr: [0.001, 0.002, 0.003, 0.004]}}",
        ("device: cpu", "device: auto\nthreads: 2"),
    )
    (lab.folder / "hold").touch()
    together = ("--optlab-slurm-together-seconds", "0")
    process = lab.start(*together, site=[("gpus_per_node", 4)])
    try:
        wait_until(lambda: len(lab.begun()) == 4, 90, "four runs")
    finally:
        (lab.folder / "hold").unlink()
    assert process.wait(120) == 0, lab.told()
    jobs = lab.slurm_jobs("alloccpus", "reqmem", "timelimitraw", "alloctres", "comment")
    assert len(jobs) == 4
    for _, state, cpus, memory, minutes, resources, comment in jobs:
        assert (state, cpus, memory, minutes) == ("COMPLETED", "2", "5300M", "11")
        assert "gres/gpu=1" in resources.split(",")
        assert "rule_train" in comment and "lr=0.00" in comment
    seen = {}
    for ((_, node, gpu, _),) in lab.begun().values():
        seen.setdefault(node, []).append(gpu)
    assert max(map(len, seen.values())) > 1, "no two runs were on one node"
    assert all(len(set(gpus)) == len(gpus) for gpus in seen.values())


def test_short_runs_on_gpus_share_one_and_take_it_in_turn(lab):
    lab.study("{my/steps.py:Slow: {lr: [0.001, 0.002, 0.003]}}", ("device: cpu", "device: auto"))
    lab.call(site=[("gpus_per_node", 4)])
    (job,) = lab.slurm_jobs("alloctres", "alloccpus")
    assert "gres/gpu=1" in job[2].split(",")
    assert job[3] == "1"
    begun = sorted(float(facts[3]) for (facts,) in lab.begun().values())
    assert min(later - one for one, later in pairwise(begun)) > 3 * 1.5


def test_data_are_prepared_by_a_job_where_the_user_wants_that(lab):
    lab.study("{sgd: {lr: [0.01]}}")
    lab.call(site=[("prepare_on", "compute")])
    comments = [row[2] for row in lab.slurm_jobs("comment")]
    assert sorted(text.split("_")[1] for text in comments) == ["prepare", "train"]


def test_inside_an_allocation_runs_are_its_processes(lab):
    lab.study("{my/steps.py:Step: {lr: [0.001, 0.002, 0.003]}}")
    line = "snakemake -p --profile profiles/allocation --configfile study.yaml"
    subprocess.run(
        ["sbatch", "--wait", "--exclusive", "--mem=8000", "--output=job.log", f"--wrap={line}"],
        cwd=lab.folder, check=True, timeout=120,
    )  # fmt: skip
    told = (lab.folder / "job.log").read_text()
    assert "Provided cores: 8" in told or "cores: 8" in told.lower(), told
    assert len({facts[0] for runs in lab.begun().values() for facts in runs}) == 1
    assert len(lab.table()) == 3
