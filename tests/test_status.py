"""`make status` tells from the files of the runs what is done, running, failed and waiting."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from handmade import describe

import status as program
from optlab import files
from optlab.runs.progress import Progress
from optlab.study import reading, table
from optlab.study.kinds import search

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
FOUR = {"[0.01]": "[0.01, 0.02, 0.03, 0.04]", "[10]": "[2]"}


def call(*words):
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False
    )


def status(*words):
    done = call(SCRIPTS / "status.py", "--study", "study.yaml", "--cores", "2", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(run):
    """Train a run with the real program, on data that the real program prepared."""
    source = run.dataset
    if not Path(run.data).exists():
        command = (SCRIPTS / "prepare_data.py", "--source", source, "--output", run.data)
        assert call(*command).returncode == 0
    words = (*run.options(), "--output", run.folder, "--state", run.state)
    done = call(SCRIPTS / "train.py", *words)
    assert done.returncode == 0, done.stderr


def tell(run, epoch=1):
    """The state file that a run leaves after an epoch of its first seed; its process is ours."""
    progress = Progress(Path(run.state), run.seed_numbers, run.epochs)
    row = SimpleNamespace(
        epoch=epoch, step=epoch, status="ok", seconds=0.1, train_loss=1.0,
        val_loss=None, val_accuracy=None, test_accuracy=None,
    )  # fmt: skip
    progress.update(0, row)
    return progress


def change(run, **facts):
    state = Path(run.state)
    state.write_text(json.dumps({**json.loads(state.read_text()), **facts}))


@pytest.fixture
def runs(write):
    return table.runs(reading.load(write(FOUR)))


def test_nothing_begun_is_all_waiting(runs, here):
    told = status()
    assert told.splitlines() == [
        "study tiny: 4 runs",
        "  0 done, 0 running, 0 failed, 4 waiting",
        "  time left on 2 cores: unknown yet",
    ]
    assert [file.name for file in here.iterdir()] == ["study.yaml"]  # nothing is written


def test_a_run_is_done_when_its_own_seeds_are(runs, here):
    later = replace(runs[0], first_seed=1)
    files.write(Path(later.folder, "metrics.tsv"), "")
    for seeds, state in (((0, 1), "waiting"), ((1, 2), "done"), ((0, 1, 2), "done")):
        describe(later, {"seeds": [{"seed": seed} for seed in seeds], "wall": {"total": 6.0}})
        found = program.standing(later)
        assert (found.state, found.seconds) == (state, 12 / len(seeds) if state == "done" else None)


def test_each_run_is_counted_where_it_stands(runs):
    done, running, failed, _ = runs
    train(done)
    tell(running)
    tell(failed).fail("the disk is full")
    told = status()
    assert "study tiny: 4 runs\n  1 done, 1 running, 1 failed, 1 waiting\n" in told
    assert re.search(rf"^  running {re.escape(running.path)}: 25%", told, re.MULTILINE)
    assert f"  failed  {failed.path}: the disk is full (see {failed.log})" in told
    assert re.search(r"^  time left on 2 cores: about \d+ s$", told, re.MULTILINE)


def test_all_done_leaves_nothing_to_train(write):
    (run,) = table.runs(reading.load(write({"[10]": "[2]"})))
    train(run)
    assert not Path(run.state).exists()
    assert status().endswith("1 done, 0 running, 0 failed, 0 waiting\n  nothing is left to train\n")

    # One more seed than there is, and the run waits again.
    write({"[10]": "[2]", "seeds: 2": "seeds: 3"})
    assert "0 done, 0 running, 0 failed, 1 waiting" in status()

    # Without its metrics a record says nothing.
    write({"[10]": "[2]"})
    Path(run.folder, "metrics.tsv").unlink()
    assert "0 done, 0 running, 0 failed, 1 waiting" in status()


def test_run_whose_process_has_gone_has_failed(runs):
    tell(runs[0])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    change(runs[0], pid=gone.pid)
    assert f"  failed  {runs[0].path}: its process has gone" in status()


def test_run_on_another_machine_counts_as_long_as_it_is_heard_of(runs):
    for run in runs[:2]:
        tell(run)
    change(runs[0], place="elsewhere", pid=1)
    change(runs[1], place="elsewhere", pid=1, updated=time.time() - 1000)
    told = status()
    assert "0 done, 1 running, 1 failed, 2 waiting" in told
    assert f"running {runs[0].path}" in told and f"failed  {runs[1].path}" in told


def test_damaged_files_are_told(runs):
    for run, text in zip(runs, ("", "{", "[1]", "null"), strict=True):
        for name in (run.state, f"{run.folder}/run.json", f"{run.folder}/metrics.tsv"):
            file = Path(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    told = status()
    assert "0 done, 0 running, 4 failed, 0 waiting" in told
    assert told.count("metrics.tsv is damaged; remove it") == 4


@pytest.mark.parametrize("record", ['{"seeds": 3}', '{"wall": 1}', '{"seeds": [1, 2], "wall": {}}'])
@pytest.mark.parametrize("news", ['{"status": "running"}', '{"status": "running", "pid": "a"}'])
def test_files_that_say_something_else_are_told(runs, record, news):
    first, second = runs[:2]
    for name, text in ((f"{first.folder}/run.json", record), (second.state, news)):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    Path(first.folder, "metrics.tsv").touch()
    told = status()
    assert "0 done, 0 running, 2 failed, 2 waiting" in told
    assert told.count("is damaged; remove it") == 2


def test_no_cores_is_a_mistake(write):
    write()
    done = call(SCRIPTS / "status.py", "--study", "study.yaml", "--cores", "0")
    assert done.returncode == 2
    assert done.stderr == "error: --cores: '0' is not allowed; a whole number from 1 up\n"


def test_broken_study_is_told_in_one_line(write):
    write({"sgd:": "sgdd:"})
    done = call(SCRIPTS / "status.py", "--study", "study.yaml")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith("error: study.yaml:10: exercises.fit.optimizers.sgdd: unknown")


def test_what_is_left_out_is_told_with_its_reason(write):
    write({"[full]": "[full, 2]", "sgd:\n        lr: [0.01]": "lbfgs: {lr: [0.1, 1]}"})
    lines = [line for line in status().splitlines() if "left out" in line]
    assert lines == [
        "  left out fit, lbfgs: 2 runs; L-BFGS compares gradients of one and the same loss: "
        "it needs batch_size full"
    ]


def test_a_finished_search_is_told_with_its_statistics():
    def trial(number, state, value=None, status="ok", **parameters):
        facts = {"number": number, "state": state, "status": status}
        return {**facts, "value": value, "parameters": parameters}

    trials = [
        trial(0, "complete", 0.5, lr=0.1),
        trial(1, "complete", 0.931234, lr=0.0123456, optimizer="adam"),
        trial(2, "pruned", 0.1),
        trial(3, "pruned", status="diverged"),
        trial(4, "failed", status="lost"),
    ]
    told = search.statistics({"trials": trials, "best": 1, "metric": "val_accuracy"})
    assert told == (
        "4 trials finished (2 complete, 1 pruned, 1 diverged, 1 failed); "
        "best val_accuracy 0.9312 (trial 1: lr 0.01235, optimizer adam)"
    )
    told = search.statistics({"trials": trials[3:], "best": None, "metric": "val_loss"})
    assert told.endswith("0 complete, 0 pruned, 1 diverged, 1 failed); none came to its end")
