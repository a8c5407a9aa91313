"""What Snakemake plans after a change, and what is left when something goes wrong.

Every test works on a copy of one finished study, so each of them also shows that a checkout that
has been moved plans nothing but what the test changed. The checkout's name has a space and letters
beyond ASCII.
"""

import csv
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]

STUDY = """\
study: tiny
seeds: 1
device: cpu
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [3]
    batch_sizes: [full]
    optimizers:
      sgd: {lr: [0.001, 0.01]}
  pick:
    datasets: [digits]
    models: [softmax]
    epochs: [2]
    optimizers:
      sgd: {lr: [0, 0.1]}
  own:
    datasets: [line]
    models: [my/nets.py:Net, linear]
    epochs: [2]
    batch_sizes: [full]
    optimizers:
      my/steps.py:Step: {lr: [0.001]}
      adam: {lr: [0.001]}
"""

NETS = """\
from dataclasses import dataclass

from layers import Line

@dataclass
class Options:
    bias: bool = True

def Net(shape, outputs):
    return Line(shape[0], outputs, Options().bias)
"""

LAYERS = """\
from torch import nn

class Line(nn.Linear):
    pass
"""

# An optimizer that waits in a run as long as a file `hold` is there, and refuses a rate over 1.
STEPS = """\
import sys
import time
from pathlib import Path

import torch

class Step(torch.optim.SGD):
    def __init__(self, parameters, lr):
        if lr > 1:
            raise ValueError(f"lr {lr} is too long a step")
        super().__init__(parameters, lr=lr)

    def step(self):
        while Path("hold").exists() and not sys.argv[0].endswith("probe.py"):
            time.sleep(0.01)
        super().step()
"""

DRAWN = {"tables": 1, "page": 1, "figures_fit": 1, "figures_pick": 1, "figures_own": 1}


class Checkout:
    """A copy of the workflow with a study of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def make(self):
        for name in ("workflow", "warm", "config", "profiles"):
            shutil.copytree(
                ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "Snakefile", self.folder)
        self.write("study.yaml", STUDY)
        self.write("my/nets.py", NETS)
        self.write("my/layers.py", LAYERS)
        self.write("my/unrelated.py", "import layers")
        self.write("my/steps.py", STEPS)
        return self

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def edit(self, name, *changes):
        """Replace text in a file; each text must stand there once."""
        text = (self.folder / name).read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, (old, text.count(old))
            text = text.replace(old, new)
        self.write(name, text)

    def append(self, name, text="\n# a comment\n"):
        self.write(name, (self.folder / name).read_text(encoding="utf-8") + text)

    def start(self, *words, cores=2):
        return subprocess.Popen(
            [*(sys.executable, "-m", "snakemake", "--configfile", "study.yaml"),
             *("--cores", str(cores), "--printshellcmds", *words)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    def call(self, *words, status=0):
        """Everything that `snakemake` prints."""
        process = self.start(*words)
        told, _ = process.communicate(timeout=120)
        assert process.returncode == status, told
        return told

    def planned(self, *words):
        """The jobs that `snakemake -n` names, and the runs that it would train."""
        told = self.call("-n", *words)
        blocks = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", told, re.MULTILINE)
        assert blocks or "Nothing to be done" in told, told
        jobs = Counter(name for name, _ in blocks if name != "all")
        runs = [re.search("runs/(.*)/metrics.tsv", text)[1] for n, text in blocks if n == "train"]
        return dict(jobs), sorted(runs)

    def status(self):
        command = [sys.executable, "workflow/scripts/status.py", "--study", "study.yaml"]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=True
        ).stdout

    def table(self, name="runs"):
        with (self.folder / f"results/tiny/tables/{name}.tsv").open(newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t"))

    def results(self, pattern):
        """The texts of the results that match, by path."""
        folder = self.folder / "results/tiny"
        return {
            str(file.relative_to(folder)): file.read_text(encoding="utf-8")
            for file in sorted(folder.glob(pattern))
            if file.is_file()
        }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that is done; not to be changed."""
    checkout = Checkout(tmp_path_factory.mktemp("finished") / "Größe é").make()
    checkout.call()
    return checkout


@pytest.fixture
def checkout(finished, tmp_path):
    """A copy of the finished study in another folder, with a space and a letter beyond ASCII."""
    folder = tmp_path / "moved 二 é"
    shutil.copytree(finished.folder, folder, symlinks=True)
    return Checkout(folder)


def run(exercise, optimizer, problem, knobs, plan="batch_size=full+epochs=3+gpus=1"):
    return f"{exercise}/{optimizer}/{problem}/{knobs}/{plan}"


def without_seconds(text):
    rows = [line.split("\t") for line in text.splitlines()]
    seconds = rows[0].index("seconds")
    return [row[:seconds] + row[seconds + 1 :] for row in rows]


# Nothing to do


def test_finished_study_has_every_result(finished):
    assert len(finished.table()) == 8
    assert len(finished.results("runs/**/metrics.tsv")) == 8
    assert finished.results("figures/*/*.svg") and finished.results("study.yaml")
    assert "8 done, 0 running, 0 failed, 0 waiting" in finished.status()
    assert not list((finished.folder / "results").rglob("*.json.*"))  # no temporary files


def test_moving_and_touching_every_file_plans_nothing(checkout):
    for file in checkout.folder.rglob("*"):
        if ".snakemake" not in file.parts:
            os.utime(file)
    assert checkout.planned() == ({}, [])


def test_a_call_that_starts_nothing_removes_what_killed_servers_have_left(
    finished, tmp_path, monkeypatch
):
    folder = tmp_path / f"optlab-{os.getuid()}"
    folder.mkdir(mode=0o700)
    for name in ("0" * 16, f"{'0' * 16}.log", "gpu-machine-0"):
        (folder / name).touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert finished.planned() == ({}, [])
    assert [file.name for file in folder.iterdir()] == ["gpu-machine-0"]


def test_other_words_for_the_same_study_plan_nothing(checkout):
    checkout.edit(
        "study.yaml",
        ("study: tiny", "# A comment.\nstudy: tiny  # and another"),
        ("lr: [0.001, 0.01]", "lr: [1e-3, 1.0E-2], weight_decay: [0]"),
        ("adam: {lr: [0.001]}", "adam: {betas: [[0.9, 0.999]], lr: [.001], amsgrad: [false]}"),
        ("seeds: 1\ndevice: cpu", "device: cpu\nthreads: 1\nseeds: 1"),
        ("    epochs: [3]\n", "    device: cpu\n    gpus: [1]\n    epochs: [3]\n"),
    )
    assert checkout.planned() == ({}, [])


# Changes of the study


def test_added_rate_is_one_run_and_nothing_else_is_trained(checkout):
    checkout.edit("study.yaml", ("[0.001, 0.01]", "[0.001, 0.003, 0.01]"))
    jobs, runs = checkout.planned()
    assert runs == [run("fit", "sgd", "line+linear", "lr=0.003")]
    assert jobs == {"train": 1, "study": 1, "tables": 1, "figures_fit": 1, "page": 1}

    before = checkout.results("runs/**/*")
    drawn = checkout.results("figures/*/*.svg")
    checkout.call()
    after = checkout.results("runs/**/*")
    assert len(after) == len(before) + 2 and before.items() <= after.items()
    assert [row["lr"] for row in checkout.table() if row["exercise"] == "fit"] == [
        *("0.001", "0.003", "0.01")
    ]
    again = checkout.results("figures/*/*.svg")
    changed = {name.split("/")[1] for name in again if again[name] != drawn.get(name)}
    assert changed == {"fit"}
    assert checkout.planned() == ({}, [])


@pytest.mark.slow
def test_added_claim_is_judged_and_nothing_is_trained_or_drawn(checkout):
    claim = "{claim: 0.01 is the best, best: {optimizer: sgd, lr: 0.01}}"
    checkout.edit(
        "study.yaml",
        (
            "      sgd: {lr: [0.001, 0.01]}\n",
            f"      sgd: {{lr: [0.001, 0.01]}}\n    claims: [{claim}]\n",
        ),
    )
    assert checkout.planned() == ({"study": 1, "tables": 1, "page": 1}, [])
    checkout.call()
    assert [row["verdict"] for row in checkout.table("claims")] == ["holds"]


@pytest.mark.slow
def test_removed_rate_trains_nothing_and_leaves_tables_and_figures(checkout):
    checkout.edit("study.yaml", ("[0.001, 0.01]", "[0.001]"))
    jobs, runs = checkout.planned()
    assert (jobs, runs) == ({"study": 1, "tables": 1, "figures_fit": 1, "page": 1}, [])
    assert any("0.01" in text for text in checkout.results("figures/fit/loss*.svg").values())
    checkout.call()
    assert [row["lr"] for row in checkout.table() if row["exercise"] == "fit"] == ["0.001"]
    assert not checkout.results("figures/fit/final-loss.svg")  # one rate makes no such picture

    # Its results are kept, so going back trains nothing either.
    checkout.write("study.yaml", STUDY)
    assert checkout.planned()[1] == []


def test_added_exercise_leaves_the_others_alone(checkout):
    checkout.append("study.yaml", "  more: {datasets: [line], models: [linear], epochs: [1], "
                    "batch_sizes: [full], optimizers: {sgd: {lr: [0.1]}}}\n")  # fmt: skip
    jobs, runs = checkout.planned()
    assert jobs == {"train": 1, "study": 1, "tables": 1, "figures_more": 1, "page": 1}
    assert [path.split("/")[0] for path in runs] == ["more"]


def test_target_of_one_exercise_makes_only_that_exercise(checkout):
    shutil.rmtree(checkout.folder / "results/tiny")
    jobs, runs = checkout.planned("fit")
    assert jobs == {"train": 2, "figures_fit": 1, "fit": 1}
    assert {path.split("/")[0] for path in runs} == {"fit"}


@pytest.mark.slow
def test_one_more_seed_trains_that_seed_only(checkout, tmp_path):
    before = checkout.results("runs/pick/**/metrics.tsv")
    checkout.edit("study.yaml", ("seeds: 1", "seeds: 2"))
    jobs, _ = checkout.planned()
    assert jobs == {"train": 8, "study": 1, **DRAWN}
    metrics = [f"results/tiny/{path}" for path in before]
    checkout.call(*metrics)
    after = checkout.results("runs/pick/**/metrics.tsv")
    for path, text in before.items():
        assert after[path].startswith(text)  # the old rows to the letter, `seconds` included
        added = after[path][len(text) :].splitlines()
        assert added and {row.split("\t")[9] for row in added} == {"1"}
    assert checkout.planned(*metrics) == ({}, [])

    # A fresh run gives the same digits; here, elsewhere than in the checkout.
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    shutil.copytree(checkout.folder / "my", elsewhere / "my")
    checkout.call(*metrics, "--directory", str(elsewhere))
    fresh = Checkout(elsewhere).results("runs/**/metrics.tsv")
    assert fresh.keys() == after.keys()
    for path, text in fresh.items():
        assert without_seconds(text) == without_seconds(after[path])
    assert checkout.planned(*metrics, "--directory", str(elsewhere)) == ({}, [])


@pytest.mark.slow
def test_fewer_seeds_train_nothing_new(checkout):
    path = f"runs/{run('fit', 'sgd', 'line+linear', 'lr=0.01')}/metrics.tsv"
    texts = []
    for seeds in ("seeds: 3", "seeds: 2"):
        checkout.write("study.yaml", STUDY.replace("seeds: 1", seeds))
        checkout.call(f"results/tiny/{path}")
        texts.append(checkout.results(path)[path])
    three, two = texts
    assert two == three and len(three.splitlines()) == 1 + 3 * 4  # what is not asked for is kept


def test_rate_of_zero_changes_nothing(finished):
    (text,) = finished.results("runs/pick/sgd/*/lr=0/*/metrics.tsv").values()
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    assert len(rows) == 3 and len({row["train_loss"] for row in rows}) == 1
    assert {row["status"] for row in rows} == {"ok"}


# Changes of code


SCRIPTS = "workflow/scripts/optlab"
AFTER = {"tables": 1, "page": 1}
FIGURES = {name: 1 for name in DRAWN if name.startswith("figures_")}
DOWNSTREAM = {  # of a file of each package, what an edit of it runs again, `train` aside
    "training/loop.py": {"train": 8, **DRAWN},
    "training/settings.py": {"train": 8, **DRAWN},
    "__init__.py": {"train": 8, **DRAWN},
    "results/statistics.py": DRAWN,
    "values.py": DRAWN,
    "figures/plan.py": {**FIGURES, "page": 1},
    "figures/looks.py": {**FIGURES, "page": 1},
    "figures/epochs.py": FIGURES,
    "page/sweeps.py": {"page": 1},
    "parts/networks/mlp.py": {},
    "parts/networks/linear.py": {"train": 4, "figures_fit": 1, "figures_own": 1, **AFTER},
    "parts/networks/softmax.py": {"train": 2, "figures_pick": 1, **AFTER},
    "parts/optimizers/muon.py": {},
    "parts/schedules/cosine.py": {},
}


@pytest.mark.parametrize("file", DOWNSTREAM)
def test_edit_of_code_runs_again_what_depends_on_it(checkout, file):
    checkout.append(f"{SCRIPTS}/{file}")
    jobs, runs = checkout.planned()
    assert jobs == DOWNSTREAM[file]
    assert len(runs) == jobs.get("train", 0)


def test_edits_that_change_no_result_plan_nothing(checkout):
    packages = ("catalogue", "command_line", "custom", "data", "machine", "runs", "search")
    for package in (*packages, "study", "study/kinds"):
        for file in (ROOT / SCRIPTS / package).glob("*.py"):
            checkout.append(f"{SCRIPTS}/{package}/{file.name}")
    for name in ("errors", "files", "triggers"):
        checkout.append(f"{SCRIPTS}/{name}.py")
    for program in ("prepare_data", "search", "retrain", "status", "plot_curves"):
        checkout.append(f"workflow/scripts/{program}.py")
    for file in ("warm/launcher.py", "warm/server.py"):
        checkout.append(file)
    assert checkout.planned() == ({}, [])


ENTRIES = {  # file of the catalogue, a line of it, and what is added before that line
    "optimizers": (
        '    "sgd": Optimizer(',
        '    "other": Optimizer("torch.optim:ASGD", {}, (0.1,), "Other", ("#123456", "-", "o")),\n',
    ),
    "networks": (
        '    "softmax": Network(',
        '    "other": Network("optlab.parts.networks.mlp:build", _mlp_work, {"hidden": [9]}),\n',
    ),
    "datasets": (
        '    "digits": Source(',
        '    "other": Source("Other", "classification", 100, (1, 8, 8), 10, "none"),\n',
    ),
    "schedules": ('    "cosine": {', '    "other": {"final": 0.5},\n'),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_added_entry_of_the_catalogue_plans_nothing(checkout, name):
    line, added = ENTRIES[name]
    checkout.edit(f"{SCRIPTS}/catalogue/{name}.py", (line, added + line))
    checkout.write(f"{SCRIPTS}/parts/schedules/other.py", "def build(): ...\n")
    assert checkout.planned() == ({}, [])


def test_reworded_entries_plan_nothing(checkout):
    checkout.edit(
        f"{SCRIPTS}/catalogue/knobs.py",
        ('"true or false"', '"yes or no"'),
        ('_RATE = Rule(_number(0), "a finite number of at least 0")',
         '_RATE = Rule(_number(0), "0 or more")'),
    )  # fmt: skip
    checkout.edit(f"{SCRIPTS}/catalogue/schedules.py", ('"the factor of each drop"', '"a factor"'))
    checkout.edit(f"{SCRIPTS}/catalogue/networks.py", ("UNKNOWN = Work(2_0", "UNKNOWN = Work(3_0"))
    assert checkout.planned() == ({}, [])


def test_changed_default_trains_the_runs_that_use_it(checkout):
    moments = '_MOMENTS = {"betas": [0.9, 0.999], "eps": 1e-8'
    checkout.edit(f"{SCRIPTS}/catalogue/optimizers.py", (moments, moments.replace("1e-8", "1e-7")))
    jobs, runs = checkout.planned()
    plan = "batch_size=full+epochs=2+gpus=1"
    problems = ("line+linear", "line+my-nets.py-Net")
    assert runs == [run("own", "adam", problem, "lr=0.001", plan) for problem in problems]
    assert jobs == {"train": 2, "study": 1, "figures_own": 1, **AFTER}


def test_changed_default_of_a_network_trains_the_runs_that_use_it(checkout):
    checkout.edit(f"{SCRIPTS}/catalogue/networks.py", ('"weight": 0.3', '"weight": 0.4'))
    jobs, runs = checkout.planned()
    assert {path.split("/")[2] for path in runs} == {"line+linear"} and len(runs) == 4
    assert jobs == {"train": 4, "figures_fit": 1, "figures_own": 1, **AFTER}


def test_changed_colour_draws_its_pictures_and_trains_nothing(checkout):
    checkout.edit(
        f"{SCRIPTS}/catalogue/optimizers.py", ('("#D55E00", "-", "P")', '("#D55E11", "-", "P")')
    )
    assert checkout.planned() == ({"figures_own": 1, "page": 1}, [])


def test_another_inclusion_makes_the_tables_again(checkout):
    look = '("#D55E00", "-", "P"),\n        fused=True,\n        contains='
    entry = f'{look}("momentum",)', f'{look}("nesterov",)'
    checkout.edit(f"{SCRIPTS}/catalogue/optimizers.py", entry)
    assert checkout.planned() == (AFTER, [])


def test_an_edit_of_a_file_that_no_run_reaches_trains_nothing(checkout):
    checkout.append("my/unrelated.py")
    assert checkout.planned() == ({}, [])


@pytest.mark.parametrize(
    "file",
    [
        "my/layers.py",
        *(pytest.param(f"my/{n}.py", marks=pytest.mark.slow) for n in ("nets", "steps")),
    ],
)
def test_edit_of_own_code_trains_the_runs_that_use_it(checkout, file):
    before = checkout.results("runs/**/run.json")
    checkout.append(file)
    jobs, runs = checkout.planned()
    nets = [run("own", o, "line+my-nets.py-Net", "lr=0.001", "batch_size=full+epochs=2+gpus=1")
            for o in ("adam", "my-steps.py-Step")]  # fmt: skip
    steps = [run("own", "my-steps.py-Step", p, "lr=0.001", "batch_size=full+epochs=2+gpus=1")
             for p in ("line+linear", "line+my-nets.py-Net")]  # fmt: skip
    assert runs == (steps if file == "my/steps.py" else nets)
    assert jobs == {"train": 2, "figures_own": 1, **AFTER}
    own = checkout.results("runs/own/**/metrics.tsv")
    checkout.call(*(f"results/tiny/{path}" for path in own))
    after = checkout.results("runs/**/run.json")
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {f"runs/{path}/run.json" for path in runs}


# Prepared data


@pytest.mark.slow
def test_prepared_data_is_not_missed_until_it_is_needed(checkout):
    shutil.rmtree(checkout.folder / "results/data")
    assert checkout.planned() == ({}, [])
    checkout.edit("study.yaml", ("[0.001, 0.01]", "[0.001, 0.003, 0.01]"))
    before = checkout.results("runs/**/metrics.tsv")
    # Snakemake then starts the data set's other runs too; each finds its seeds and trains nothing.
    checkout.call("fit")
    after = checkout.results("runs/**/metrics.tsv")
    assert len(after) == len(before) + 1 and before.items() <= after.items()
    assert [f.stem.split("-")[0] for f in checkout.folder.glob("results/data/*.pt")] == ["line"]
    assert checkout.planned("fit") == ({}, [])


def test_other_place_of_the_archives_plans_nothing(checkout):
    checkout.edit("study.yaml", ("device: cpu", "device: cpu\narchives: some/where"),
                  ("[0.001, 0.01]", "[0.001, 0.003, 0.01]"))  # fmt: skip
    jobs, runs = checkout.planned()
    assert jobs == {"train": 1, "study": 1, "tables": 1, "figures_fit": 1, "page": 1}, runs


# When something goes wrong


@contextmanager
def held(checkout, *words):
    """A study whose new run waits in its first step; the running Snakemake and the run's path."""
    checkout.write("hold", "")
    checkout.edit("study.yaml", ("Step: {lr: [0.001]}", "Step: {lr: [0.001, 0.5]}"),
                  ("[my/nets.py:Net, linear]", "[linear]"))  # fmt: skip
    path = run("own", "my-steps.py-Step", "line+linear", "lr=0.5",
               "batch_size=full+epochs=2+gpus=1")  # fmt: skip
    state = checkout.folder / f"results/tiny/state/{path}.json"
    process = checkout.start(*words)
    try:
        end = time.monotonic() + 60
        while not state.exists():
            assert time.monotonic() < end and process.poll() is None, process.stdout.read()
            time.sleep(0.05)
        yield process, path, json.loads(state.read_text())
    finally:
        (checkout.folder / "hold").unlink(missing_ok=True)
        process.communicate(timeout=60)


@pytest.mark.slow
def test_second_snakemake_says_why_it_stops_and_damages_nothing(checkout):
    with held(checkout) as (process, path, _):
        told = checkout.call(status=1)
        assert "locked" in told and "Traceback" not in told
        assert f"running {path}: 0%" in checkout.status()
        assert process.poll() is None
        (checkout.folder / "hold").unlink()
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert checkout.planned() == ({}, [])
    assert len(checkout.table()) == 7


@pytest.mark.slow
def test_what_a_killed_server_has_left_goes_at_the_end_of_a_call_too(
    checkout, tmp_path, monkeypatch
):
    """Its jobs hold the lock on its log: the call that follows it cannot remove that at first."""
    folder = tmp_path / f"t/optlab-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True)
    log = folder / f"{'0' * 16}.log"
    monkeypatch.setenv("TMPDIR", str(folder.parent))
    with log.open("w") as job:
        fcntl.flock(job, fcntl.LOCK_EX)
        with held(checkout) as (process, *_):
            assert log.exists()
            job.close()
            (checkout.folder / "hold").unlink()
            process.communicate(timeout=60)
            assert process.returncode == 0
    assert not log.exists()


@pytest.mark.slow
@pytest.mark.parametrize("stopped", ["training", "snakemake"])
def test_what_is_killed_looks_unfinished_and_is_made_again(checkout, stopped):
    with held(checkout) as (process, path, state):
        if stopped == "training":
            os.kill(state["pid"], signal.SIGKILL)
            process.communicate(timeout=60)
            assert process.returncode == 1
            assert f"failed  {path}: its process has gone" in checkout.status()
        else:
            # As when the machine stops: Snakemake, the launcher and the run die together.
            process.kill()
            os.kill(state["pid"], signal.SIGKILL)
    assert not (checkout.folder / f"results/tiny/runs/{path}/metrics.tsv").exists()
    if stopped == "snakemake":
        assert "locked" in checkout.call(status=1)
        checkout.call("--unlock")
    checkout.call()
    rows = checkout.results(f"runs/{path}/metrics.tsv")[f"runs/{path}/metrics.tsv"]
    assert len(rows.splitlines()) == 4
    assert "7 done, 0 running, 0 failed, 0 waiting" in checkout.status()


@pytest.mark.slow
def test_deleted_and_damaged_results_are_made_again(checkout):
    before = checkout.results("runs/**/metrics.tsv")
    deleted, damaged = (
        f"runs/{run('fit', 'sgd', 'line+linear', f'lr={rate}')}" for rate in (0.001, 0.01)
    )
    folder = checkout.folder / "results/tiny"
    shutil.rmtree(folder / deleted)
    jobs, runs = checkout.planned()
    assert jobs["train"] == 1 and runs == [deleted.removeprefix("runs/")]
    file = folder / damaged / "metrics.tsv"
    file.write_text(file.read_text().replace("\t23.", "\t24."))
    told = checkout.call(status=1)
    assert f"error: results/tiny/{damaged}/metrics.tsv: damaged: " in told
    checkout.call()
    assert checkout.planned() == ({}, [])
    after = checkout.results("runs/**/metrics.tsv")
    assert after.keys() == before.keys()
    for name, text in after.items():
        rows = [
            list(csv.DictReader(one.splitlines(), delimiter="\t")) for one in (text, before[name])
        ]
        for row in (*rows[0], *rows[1]):
            del row["seconds"]
        assert rows[0] == rows[1]


@pytest.mark.slow
def test_failing_run_is_a_result_and_the_others_go_on(checkout):
    checkout.edit(
        "study.yaml",
        ("Step: {lr: [0.001]}", "Step: {lr: [2, 0.001]}"),
        ("[0, 0.1]", "[0, 0.1, 0.2]"),
        ("[0.001, 0.01]", "[0.001, 0.01, 0.02]"),
        ("[my/nets.py:Net, linear]", "[linear]"),
    )
    told = checkout.call()
    reason = "my/steps.py:Step refuses {'lr': 2.0}: lr 2.0 is too long a step"
    path = run("own", "my-steps.py-Step", "line+linear", "lr=2", "batch_size=full+epochs=2+gpus=1")
    assert f"failed: {path}: {reason}" in told.splitlines()
    assert "Traceback" not in told
    assert {row["path"]: row["reason"] for row in checkout.table() if row["reason"]} == {
        path: reason
    }
    assert checkout.planned() == ({}, [])  # it would end in the same way
    status = checkout.status()
    assert "8 done, 0 running, 1 failed, 0 waiting" in status
    assert f"failed  {path}: {reason} (see results/tiny/logs/{path}.log)" in status


# The profiles, and the size of a study


def test_no_two_profiles_disagree():
    # Keys of profiles/default override those of --profile: what is there must be true everywhere.
    profiles = {
        file.parent.name: yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for file in sorted((ROOT / "profiles").glob("*/config*.yaml"))
    }
    own = profiles["default"]
    assert not own.keys() & {"cores", "jobs", "retries", "executor", "default-resources"}
    for name, keys in profiles.items():
        differing = {key for key in keys.keys() & own.keys() if keys[key] != own[key]}
        assert not differing, f"profiles/{name} and profiles/default disagree"


@pytest.mark.slow
def test_five_thousand_runs_are_planned_in_half_a_minute_and_two_gigabytes(tmp_path):
    checkout = Checkout(tmp_path / "big").make()
    rates = ", ".join(f"{n}e-5" for n in range(1, 5001))
    checkout.write(
        "study.yaml",
        f"""\
study: big
exercises:
  fit:
    datasets: [line]
    models: [linear]
    batch_sizes: [full]
    optimizers: {{sgd: {{lr: [{rates}]}}}}
""",
    )
    measured = """\
import resource, subprocess, sys, time
start = time.monotonic()
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("5000" in done.stdout, time.monotonic() - start, used.ru_maxrss)
"""
    command = [sys.executable, "-c", measured, sys.executable, "-m", "snakemake"]
    done = subprocess.run(
        [*command, "-n", "--quiet", "rules", "--configfile", "study.yaml"],
        cwd=checkout.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    planned, seconds, memory = done.stdout.split()
    assert planned == "True"
    assert float(seconds) < 30 and int(memory) < 2 * 2**20


# -- GPUs ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_gpus_are_counted_before_anything_runs(checkout, monkeypatch):
    checkout.edit("study.yaml", ("device: cpu", "device: cuda"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    told = checkout.call("-n", status=1)
    assert "it takes 1 GPU(s) and there is none here; use device: cpu" in told
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert "gpu=1" in checkout.call("-n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "gpu=1" in checkout.call("-n", "--profile", "profiles/slurm")
