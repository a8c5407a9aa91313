"""Training on a cluster: over the time limit, on several nodes, and a whole study."""

import csv
import re
import shutil

import pytest
from lab import ROOT, Lab, wait_until

pytestmark = pytest.mark.slurm


def rows_without_seconds(lab):
    (file,) = lab.folder.glob("results/tiny/runs/**/metrics.tsv")
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [{k: v for k, v in row.items() if k not in ("seconds", "device")} for row in rows]


@pytest.fixture
def local(tmp_path_factory):
    """The same workflow, for a local run to compare with."""
    return Lab(tmp_path_factory.mktemp("local"))


def test_a_run_over_its_time_limit_goes_on_and_ends_with_the_exact_result(lab, local):
    """SLURM's shortest limit is a minute, half of one more unseen; the run takes one and a half."""
    changes = (("epochs: [3]", "epochs: [60]"),)
    lab.study("{my/steps.py:Slow: {lr: [0.001]}}", *changes)
    one_each = ("--optlab-slurm-together-seconds", "0")
    lab.call("--set-resources", "train:runtime=1", *one_each, seconds=240)
    jobs = lab.slurm_jobs("timelimitraw")
    # SLURM looks at limits every half minute, and the second job may end in between.
    assert (len(jobs), jobs[0][1]) == (2, "TIMEOUT")
    assert {row[2] for row in jobs} == {"1"}
    assert len(lab.begun()[0.001]) == 2
    assert not [*lab.folder.glob("results/tiny/state/**/*.pt")]
    steps = (local.folder / "my/steps.py").read_text()
    local.write("my/steps.py", steps.replace("time.sleep(1.5)", "time.sleep(0)"))
    local.study("{my/steps.py:Slow: {lr: [0.001]}}", *changes)
    local.call(profile=None)
    assert rows_without_seconds(lab) == rows_without_seconds(local)


def test_four_processes_on_two_nodes_equal_one_process(lab, local):
    """GPUs are asked for and handed out; PyTorch sees none behind them and takes the CPU (Gloo)."""
    changes = (
        ("[line]", "[digits]"), ("[linear]", "[softmax]"), ("[full]", "[100]"),
        ("device: cpu", "device: auto\nprecision: float64"),
    )  # fmt: skip
    four = ("epochs: [3]", "epochs: [3]\n    gpus: [4]")
    lab.study("{sgd: {lr: [0.1]}}", *changes, four)
    lab.call(site=[("gpus_per_node", 2)])
    (job,) = lab.slurm_jobs("nnodes", "alloctres", "alloccpus")
    assert (job[1], job[2], job[4]) == ("COMPLETED", "2", "4")
    assert "gres/gpu=4" in job[3].split(",")
    log = next(lab.folder.glob("results/tiny/logs/fit/**/*.log")).read_text()
    assert "error" not in log.lower(), log
    left = [file for file in lab.folder.glob("results/tiny/state/**/*") if file.is_file()]
    assert not left, left  # nor where its nodes met

    local.study("{sgd: {lr: [0.1]}}", *changes)
    local.call(profile=None)
    on_four, on_one = rows_without_seconds(lab), rows_without_seconds(local)
    assert len(on_four) == len(on_one) == 4
    for one, four in zip(on_one, on_four, strict=True):
        assert (one.pop("gpus"), four.pop("gpus")) == ("1", "4")
        for name in one:
            numbers = name.endswith(("loss", "accuracy"))
            if numbers and one[name]:
                assert float(four[name]) == pytest.approx(float(one[name]), rel=1e-9), name
            else:
                assert four[name] == one[name], name


def test_processes_of_a_run_on_one_node_have_processors_of_their_own(lab):
    lab.study("{sgd: {lr: [0.1]}}", ("[line]", "[digits]"), ("[linear]", "[softmax]"),
              ("epochs: [3]", "epochs: [3]\n    gpus: [2]"))  # fmt: skip
    lab.call()
    (job,) = lab.slurm_jobs("nnodes", "alloccpus")
    assert job[1:] == ["COMPLETED", "1", "2"]
    assert lab.runs()[0]["settings"]["gpus"] == 2


TABLES = ("best", "claims", "optimizers", "runs", "search", "trials")
TIMES = ("seconds", "minutes", "time", "start", "finish", "duration", "worker", "host")


def tables(lab):
    """All tables without their columns of times, and what their texts say of times."""
    # The time that further seeds would take is at the end of an open verdict.
    times = re.compile(r", [0-9]+ (s|min)$|its seconds are too long: [^;]*(; |$)|; $")
    found = {}
    for name in TABLES:
        with (lab.folder / f"results/default/tables/{name}.tsv").open(newline="") as stream:
            found[name] = [
                {
                    k: times.sub("", times.sub("", v))
                    for k, v in row.items()
                    if not any(word in k for word in (*TIMES, "other_work"))
                }
                for row in csv.DictReader(stream, delimiter="\t")
            ]
    return found


def test_the_default_study_is_the_same_as_locally_and_one_more_rate_is_one_job(lab, local):
    """Without exercise 4, whose table is of times; with one worker a search is reproducible."""
    text = (ROOT / "config/config.yaml").read_text(encoding="utf-8")
    text = text.replace("    workers: 2\n", "    workers: 1\n").replace("seeds: 3\n", "seeds: 1\n")
    before, _, rest = text.partition("  # Exercise 4")
    text = before + rest[rest.index("  # Exercise 5") :]
    for one in (lab, local):
        shutil.copy(ROOT / "config/config.yaml", one.folder / "study.yaml")
        one.write("study.yaml", text)
    lab.call("tables", seconds=400)
    jobs = lab.slurm_jobs()
    assert len(jobs) <= 50  # for 198 runs and 45 confirmations, which follow as runs end
    assert lab.call("-n", "tables").count("Nothing to be done") == 1
    local.call("tables", profile=None, seconds=400)
    assert tables(lab) == tables(local)

    lab.write("study.yaml", text.replace("lr: [0.001, 0.005, 0.01,", "lr: [0.001, 0.003, 0.01,"))
    lab.call("tables")
    (job,) = lab.slurm_jobs("comment")
    assert "lr=0.003" in job[2]
    wait_until(lambda: "3 of 3 steps" in lab.told() or "100%" in lab.told(), 5, "the end")
