"""SLURM's own plugin runs our training jobs: `profiles/slurm-plain`, without our executor."""

import pytest
import small_study

pytestmark = pytest.mark.slurm

QUICK = ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return small_study.without_ours(tmp_path_factory.mktemp("environment"))


@pytest.fixture
def call(lab, python):
    """Call Snakemake with the plain profile, where our executor is not to be found."""
    lab.python = python

    def call(*words, **more):
        return lab.call(*QUICK, *words, profile="slurm-plain", **more)

    return call


def test_a_study_is_run_to_its_end_one_job_a_run(lab, call):
    lab.write("study.yaml", small_study.STUDY)
    call()
    jobs = lab.slurm_jobs("comment")
    assert [row[1] for row in jobs] == ["COMPLETED"] * small_study.RUNS
    runs = {record.parent.relative_to(lab.folder / "results/tiny/runs")
            for record in lab.folder.glob("results/tiny/runs/**/run.json")}  # fmt: skip
    # The plugin's comment is the rule and the wildcards, which are the parts of a run's path.
    assert {row[2] for row in jobs} == {f"rule_train_wildcards_{'_'.join(r.parts)}" for r in runs}
    small_study.check(lab, "slurm-plain")


def test_a_failing_run_is_shown_and_costs_the_others_nothing(lab, call):
    lab.study("{my/steps.py:Raises: {lr: [0.001, 0.002, 2]}}")
    told = call("--retries", "1", status=1)
    assert "a rate of 2 is too long a step" in told
    assert {rate: len(times) for rate, times in lab.begun().items()} == {0.001: 1, 0.002: 1, 2: 2}
    assert len(lab.runs()) == 2


def test_a_run_on_two_nodes_with_the_settings_of_the_readme(lab, call):
    """As in `test_whole_studies`: PyTorch sees none of these GPUs and takes the CPU."""
    lab.study(
        "{sgd: {lr: [0.1]}}", ("[line]", "[digits]"), ("[linear]", "[softmax]"),
        ("[full]", "[100]"), ("device: cpu", "device: auto"),
        ("epochs: [3]", "epochs: [3]\n    gpus: [4]"),
    )  # fmt: skip
    profile = lab.folder / "profiles/slurm-plain/config.yaml"
    text = profile.read_text(encoding="utf-8")
    assert text.count("gpus_per_node: 0") == 1
    profile.write_text(text.replace("gpus_per_node: 0", "gpus_per_node: 2"), encoding="utf-8")
    call("--set-resources", "train:mpi=srun", "train:tasks=2", "train:tasks_per_gpu=0")
    (job,) = lab.slurm_jobs("nnodes", "alloctres", "alloccpus")
    assert (job[1], job[2], job[4]) == ("COMPLETED", "2", "4")
    assert "gres/gpu=4" in job[3].split(",")
    assert [run["settings"]["gpus"] for run in lab.runs()] == [4]
