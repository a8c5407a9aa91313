"""Searches with real Optuna studies: shared by processes, killed, continued, retrained, drawn."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from handmade import settings
from optuna.trial import TrialState

import figures
import retrain
import search
import tables
from optlab import triggers
from optlab.data import identity, prepare
from optlab.errors import UserError
from optlab.parts.networks import mlp
from optlab.results import searches as searched
from optlab.runs import metrics
from optlab.search import retraining
from optlab.search.trials.journal import SILENCE, Journal, LostError, Worker
from optlab.study import reading, space
from optlab.study.kinds.search import finished, searches
from optlab.training.batches import Batches
from optlab.training.datasets import Dataset, Split

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow/scripts"

STUDY = """\
study: tiny
seeds: 2
device: cpu
exercises:
  search:
    kind: search
    title: 6 Search
    datasets: [digits]
    trials: 8
    epochs: 3
    batch_size: 64
    retrain_pruned: 2
    pruner: {name: median, n_startup_trials: 3}
    space:
      n_layers: {type: int, low: 1, high: 3}
      n_units: {type: int, low: 4, high: 64, per_layer: true}
      dropout: {type: float, low: 0.2, high: 0.5, per_layer: true}
      optimizer: {type: categorical, choices: [adam, rmsprop, sgd]}
      lr: {type: float, low: 1e-5, high: 1e-1, log: true}
"""
RATE = "lr: {type: float, low: 1e-5, high: 1e-1, log: true}"
SPACE = "exercises.search.space"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder in which the data set is prepared."""
    folder = tmp_path_factory.mktemp("digits")
    before = Path.cwd()
    os.chdir(folder)
    try:
        definition = {"source": "digits", "split_seed": 0}
        prepare.prepare(
            "digits", definition, Path(identity.prepared_path("digits", definition)), None
        )
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(digits, tmp_path, monkeypatch):
    """A folder with the prepared data set, in which the test then is."""
    shutil.copytree(digits, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*changes):
    """Write the study to study.yaml, some of its text replaced, and give its search."""
    text = STUDY
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    Path("study.yaml").write_text(text, encoding="utf-8")
    return searches(reading.load("study.yaml"), "search")[0]


def words(worker=None):
    more = [] if worker is None else ["--worker", str(worker)]
    return ["--study", "study.yaml", "--exercise", "search", "--dataset", "digits", *more]


def work(*changes, worker=0):
    """Run one worker in this process; the trials that the search then has."""
    found = write(*changes)
    assert search.main(words(worker)) == 0
    return trials(found)


def trials(found):
    return retraining.read(found)


def journal(found):
    return Journal(found)


def drawn(some):
    """What two searches with the same seed share: everything but the clock and the worker."""
    names = ("number", "state", "value", "parameters", "epochs", "intermediate")
    return [{name: trial[name] for name in names} for trial in some]


def start(number):
    return subprocess.Popen(
        [sys.executable, str(SCRIPTS / "search.py"), *words(number)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# The study's section

BROKEN = {
    "low above high": (
        *(RATE, "lr: {type: float, low: 0.1, high: 0.01}"),
        f"19: {SPACE}.lr: low 0.1 is above high 0.01",
    ),
    "logarithm of zero": (
        *(RATE, "lr: {type: float, low: 0, high: 0.1, log: true}"),
        f"19: {SPACE}.lr.low: 0 has no logarithm; with log: true, low must be above 0",
    ),
    "no high": (
        *(RATE, "lr: {type: float, low: 0.1}"),
        f"19: {SPACE}.lr: the key 'high' is missing",
    ),
    "half an integer": (
        *("n_layers: {type: int, low: 1, high: 3}", "n_layers: {type: int, low: 1, high: 2.5}"),
        f"15: {SPACE}.n_layers.high: 2.5 is not a whole number, and the type is int",
    ),
    "a network without layers": (
        *("n_layers: {type: int, low: 1, high: 3}", "n_layers: {type: int, low: 0, high: 3}"),
        f"15: {SPACE}.n_layers.low: 0 is not allowed; a whole number from 1 up",
    ),
    "dropout of all units": (
        *("low: 0.2, high: 0.5", "low: 0.2, high: 1.0"),
        f"17: {SPACE}.dropout.high: 1 is not allowed; a number of at least 0 and below 1",
    ),
    "negative learning rate": (
        *(RATE, "lr: {type: float, low: -0.1, high: 0.1}"),
        f"19: {SPACE}.lr.low: -0.1 is not allowed; a finite number of at least 0",
    ),
    "optimizer in a list": (
        *("choices: [adam, rmsprop, sgd]", "choices: [[adam]]"),
        f'18: {SPACE}.optimizer.choices.0: ["adam"] is not allowed; unknown optimizer; ',
    ),
    "no choices": (
        *("choices: [adam, rmsprop, sgd]", "choices: []"),
        f"18: {SPACE}.optimizer.choices: the list is empty; give at least one value",
    ),
    "categorical without choices": (
        *("{type: categorical, choices: [adam, rmsprop, sgd]}", "{type: categorical}"),
        f"18: {SPACE}.optimizer: a categorical parameter needs the key 'choices': a list of values",
    ),
    "unknown optimizer": (
        *("[adam, rmsprop, sgd]", "[adam, rmsprob]"),
        f"18: {SPACE}.optimizer.choices.1: 'rmsprob' is not allowed; unknown optimizer; "
        "did you mean 'rmsprop'? allowed: ",
    ),
    "optimizer for full batches": (
        *("[adam, rmsprop, sgd]", "[adam, lbfgs]"),
        f"18: {SPACE}.optimizer.choices.1: 'lbfgs' makes no sense here: L-BFGS compares gradients",
    ),
    "unknown name": (
        *(RATE, f"{RATE}\n      n_unit: {{type: int, low: 1, high: 3}}"),
        f"20: {SPACE}.n_unit: unknown name in the search space; did you mean 'n_units'? allowed: ",
    ),
    "option of another network": (
        *(RATE, f"{RATE}\n      channels: {{type: categorical, choices: [[8, 16]]}}"),
        f"20: {SPACE}.channels: unknown name in the search space; ",
    ),
    "knob of an optimizer that is not chosen": (
        *(RATE, f"{RATE}\n      betas: {{type: categorical, choices: [[0.9]]}}"),
        f"20: {SPACE}.betas.choices.0: [0.9] is not allowed; two numbers of at least 0",
    ),
    "unknown type": (
        *(RATE, "lr: {type: double, low: 1, high: 2}"),
        f"19: {SPACE}.lr.type: 'double' is not known; allowed: float, int, categorical",
    ),
    "no learning rate": (
        *(f"      {RATE}\n", ""),
        f"14: {SPACE}: the key 'lr' is missing: without a learning rate",
    ),
    "layers without units": (
        *("      n_units: {type: int, low: 4, high: 64, per_layer: true}\n", ""),
        f"15: {SPACE}.n_layers: needs 'n_units' beside it in the space",
    ),
    "a rate for each layer": (
        *(RATE, RATE.replace("}", ", per_layer: true}")),
        f"19: {SPACE}.lr.per_layer: only n_units and dropout differ between layers",
    ),
    "no trials": (
        *("trials: 8", "trials: 0"),
        "9: exercises.search.trials: 0 is not allowed; a whole number at least 1",
    ),
    "unknown sampler": (
        *("trials: 8", "trials: 8\n    sampler: {name: tpee}"),
        "10: exercises.search.sampler.name: unknown sampler 'tpee'; did you mean 'tpe'? "
        "allowed: tpe, random, gp",
    ),
    "unknown pruner": (
        *("name: median", "name: mean"),
        "13: exercises.search.pruner.name: unknown pruner 'mean'; did you mean 'median'? "
        "allowed: median, hyperband, successive_halving, none",
    ),
    "unknown option of the pruner": (
        *("n_startup_trials: 3", "warmup: 3"),
        "13: exercises.search.pruner.warmup: the pruner median has no option 'warmup'; did you ",
    ),
    "option of the pruner out of range": (
        *("n_startup_trials: 3", "n_startup_trials: -1"),
        "13: exercises.search.pruner.n_startup_trials: -1 is not allowed; a whole number from 0 up",
    ),
    "unknown network": (
        *("trials: 8", "trials: 8\n    network: mpl"),
        "10: exercises.search.network: unknown network 'mpl'; did you mean 'mlp'? "
        "allowed: linear, softmax, mlp, cnn, resnet, lstm, gpt",
    ),
    "data without validation": (
        *("[digits]", "[line]"),
        "8: exercises.search.datasets.0: 'line' has no validation examples, on which",
    ),
    "key of a grid": (
        *("trials: 8", "trials: 8\n    optimizers: {sgd: {lr: [1]}}"),
        "10: exercises.search.optimizers: unknown key; allowed: kind, title, datasets, network, ",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_mistake_in_a_section_is_one_line(here, name):
    old, new, told = BROKEN[name]
    with pytest.raises(UserError) as caught:
        write((old, new))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"study.yaml:{told}"), line


def test_bad_space_stops_snakemake_before_any_job(here):
    with pytest.raises(UserError):
        write((RATE, "lr: {type: float, low: 0.1, high: 0.01}"))
    command = [*(sys.executable, "-m", "snakemake", "-n", "-s", str(ROOT / "Snakefile")),
               *("--configfile", "study.yaml")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"error: study.yaml:19: {SPACE}.lr: low 0.1 is above high 0.01" in done.stderr
    assert "rule " not in done.stdout and "Traceback" not in done.stderr


def test_resolved_section_is_read_again_as_it_is(here):
    write()
    resolved = reading.load("study.yaml")
    Path("again.yaml").write_text(reading.dump(resolved))
    assert reading.load("again.yaml") == resolved
    section = resolved["exercises"]["search"]
    assert section["sampler"]["n_startup_trials"] == 10 and section["pruner"]["n_min_trials"] == 1
    assert section["seeds"] == 2 and section["metric"] == "val_accuracy"


def test_layers_units_and_rates_of_a_trial_belong_together(here):
    knob = "momentum: {type: float, low: 0.5, high: 0.9}"
    found = write(("[adam, rmsprop, sgd]", "[momentum, adam]"), (RATE, f"{RATE}\n      {knob}"))
    values = {
        **{"n_layers": 2, "n_units_l0": 8, "n_units_l1": 16, "dropout_l0": 0.2},
        **{"dropout_l1": 0.3, "optimizer": "momentum", "lr": 0.1, "momentum": 0.7},
    }
    asked = []

    def suggest(name, spec):
        asked.append(name)
        return values[name]

    chosen = space.setting(found.space, "mlp", 64, suggest)
    assert sorted(asked) == sorted(values)
    assert chosen.network_options == {"hidden": [8, 16], "dropout": [0.2, 0.3]}
    assert chosen.knobs["momentum"] == 0.7 and chosen.batch_size == 64
    values |= {"optimizer": "adam", "n_layers": 1}
    asked.clear()
    space.setting(found.space, "mlp", 64, suggest)
    assert set(values) - set(asked) == {"momentum", "n_units_l1", "dropout_l1"}


def test_rates_of_dropout_go_to_their_layers():
    network = mlp.build((4,), 2, hidden=[3, 5], dropout=[0.1, 0.4])
    assert [m.p for m in network if isinstance(m, torch.nn.Dropout)] == [0.1, 0.4]
    same = mlp.build((4,), 2, hidden=[3, 5], dropout=0.3)
    assert [m.p for m in same if isinstance(m, torch.nn.Dropout)] == [0.3, 0.3]


def budget(examples):
    return settings("softmax", "sgd", {}, batch_size=8, epoch_examples=examples)


def test_epoch_of_so_many_examples_takes_others_each_time():
    x = torch.arange(100, dtype=torch.float32)[:, None]
    part = Split(x, torch.zeros(100, dtype=torch.int64))
    data = Dataset("d", "d", "classification", 2, (1,), 1.0, part, part, None)
    batches = Batches(budget(20), data, 0)
    epochs = [torch.cat([x for x, _ in batches.epoch(n)]).flatten().tolist() for n in (1, 2, 3)]
    assert [len(epoch) for epoch in epochs] == [20, 20, 20]
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert len(set(epochs[0] + epochs[1] + epochs[2])) > 40
    with pytest.raises(UserError, match="an epoch of 101 examples is more than the 100"):
        Batches(budget(101), data, 0)


# One worker


def test_same_seed_gives_the_same_trials_and_another_seed_others(here):
    first = work()
    assert [trial["number"] for trial in first] == list(range(8))
    assert {trial["state"] for trial in first} == {"complete", "pruned"}
    for trial in first:
        layers = trial["parameters"]["n_layers"]
        assert {f"n_units_l{n}" for n in range(layers)} <= trial["parameters"].keys()
        assert f"n_units_l{layers}" not in trial["parameters"]
        assert len(trial["intermediate"]) == trial["epochs"] > 0
        assert trial["intermediate"][-1][1] == trial["value"]
        assert (trial["epochs"] < 3) == (trial["state"] == "pruned")
    shutil.rmtree("results/tiny")
    assert drawn(work()) == drawn(first)
    other = work(("trials: 8", "trials: 8\n    seed: 1"))
    assert all(a["parameters"] != b["parameters"] for a, b in zip(first, other, strict=True))


def test_more_trials_continue_the_search_as_if_it_had_not_stopped(here):
    first = work(("trials: 8", "trials: 5"))
    content = write().journal().read_bytes()
    more = work()
    assert drawn(more[:5]) == drawn(first) and len(more) == 8
    assert write().journal().read_bytes().startswith(content)  # nothing rewritten
    points = [json.dumps(trial["parameters"], sort_keys=True) for trial in more]
    assert len(set(points)) == 8
    shutil.rmtree("results/tiny")
    assert drawn(work()) == drawn(more)
    assert len(work(("trials: 8", "trials: 3"))) == 3  # going back forgets nothing, shows fewer


def test_journal_is_another_for_another_space_budget_or_data(here):
    base = write().journal()
    changes = [
        ("high: 64", "high: 65"), ("epochs: 3", "epochs: 4"), ("batch_size: 64", "batch_size: 65"),
        ("n_startup_trials: 3", "n_startup_trials: 4"), ("trials: 8", "trials: 8\n    seed: 1"),
        ("trials: 8", "trials: 8\n    epoch_examples: 64"),
        ("datasets: [digits]", "metric: val_loss\n    datasets: [digits]"),
        ("seeds: 2", "seeds: 2\ndatasets: {digits: {source: digits, split_seed: 1}}"),
    ]  # fmt: skip
    others = [write(change).journal() for change in changes]
    assert len({base, *others}) == 1 + len(changes)
    for same in [("trials: 8", "trials: 9"), ("seeds: 2", "seeds: 5"), ("6 Search", "Six"),
                 ("trials: 8", "trials: 8\n    workers: 3"),
                 ("retrain_pruned: 2", "retrain_pruned: 3"),
                 ("epochs: 3", "epochs: 3\n    metric: val_accuracy")]:  # fmt: skip
        assert write(same).journal() == base, same


@pytest.mark.parametrize(
    ("file", "same"),
    [
        ("training/loop.py", False),
        ("search/trials/journal.py", False),
        ("parts/networks/mlp.py", False),
        ("parts/networks/cnn.py", True),
        ("parts/optimizers/muon.py", True),
        ("search/retraining.py", True),
        ("catalogue/optimizers.py", True),
    ],
)
def test_journal_is_another_after_an_edit_of_what_its_trials_use(here, monkeypatch, file, same):
    base = write().journal()
    shutil.copytree(SCRIPTS, here / "scripts")
    monkeypatch.setattr(triggers, "SCRIPTS", here / "scripts")
    triggers.digest.cache_clear()
    assert write().journal() == base
    with (here / "scripts/optlab" / file).open("a") as stream:
        stream.write("\n# edited\n")
    triggers.digest.cache_clear()
    assert (write().journal() == base) == same
    triggers.digest.cache_clear()


@pytest.mark.parametrize(
    "options",
    [
        ("{name: random}", "{name: none}"),
        ("{name: tpe, multivariate: true, group: true}", "{name: successive_halving}"),
        pytest.param(("{name: gp}", "{name: hyperband}"), marks=pytest.mark.slow),
    ],
)
def test_every_sampler_and_pruner(here, options):
    sampler, pruner = options
    more = ("trials: 8", f"trials: 14\n    sampler: {sampler}"), ("epochs: 3", "epochs: 2")
    found = work(("{name: median, n_startup_trials: 3}", pruner), *more)
    assert len(found) == 14 and {trial["state"] for trial in found} <= {"complete", "pruned"}
    if pruner == "{name: none}":
        assert {trial["state"] for trial in found} == {"complete"}


def test_trial_that_diverges_is_stopped_and_the_search_goes_on(here):
    found = work((RATE, "lr: {type: float, low: 1e10, high: 1e15, log: true}"),
                 ("trials: 8", "trials: 3"), ("[adam, rmsprop, sgd]", "[sgd]"))  # fmt: skip
    assert [(t["state"], t["status"], t["epochs"]) for t in found] == [
        ("pruned", "diverged", 0)
    ] * 3
    assert retrain.main(words()) == 0  # that none came to its end is the result


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_a_search_of_which_every_trial_diverges_has_tables_and_pictures(here, capsys, metric):
    claims = "\n    claims: [{claim: Two layers, best: {n_layers: 2}}]"
    work((RATE, "lr: {type: float, low: 1e10, high: 1e15, log: true}"),
         ("[adam, rmsprop, sgd]", "[sgd]"),
         ("trials: 8", f"trials: 3\n    metric: {metric}{claims}"))  # fmt: skip
    assert retrain.main(words()) == 0
    assert "none of the 3 trials of 'search' reached its end" in capsys.readouterr().out
    options = ["--study", "study.yaml", "--output-folder"]
    assert tables.main([*options, "tables"]) == 0
    (row,) = rows_of(here / "tables/search.tsv")
    assert (row["finished"], row["complete"], row["diverged"]) == ("3", "0", "3")
    assert row["best_trial"] == row["best_value"] == row["retrained_test_accuracy"] == ""
    assert [trial["status"] for trial in rows_of(here / "tables/trials.tsv")] == ["diverged"] * 3
    (claim,) = rows_of(here / "tables/claims.tsv")
    assert claim["verdict"] == "open: no trial reached its end"
    assert figures.main([*options, "figures", "--exercise", "search"]) == 0
    for name in ("history", "intermediate", "importance", "slices"):
        assert "trial" in (here / f"figures/{name}.svg").read_text()


def test_budget_that_the_data_set_does_not_have_is_reported_in_one_line(here):
    with pytest.raises(UserError) as caught:
        write(("trials: 8", "trials: 8\n    validation_examples: 361"))
    place = "study.yaml:10: exercises.search.validation_examples: 'digits'"
    assert str(caught.value) == f"{place} has 360 validation examples, and 361 are asked for"


# Several workers


@pytest.mark.slow
def test_two_workers_share_the_trials(here):
    found = write(("trials: 8", "trials: 12\n    workers: 2"))
    workers = [start(number) for number in range(2)]
    told = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], told
    some = trials(found)
    assert [trial["number"] for trial in some] == list(range(12))
    assert {trial["state"] for trial in some} <= {"complete", "pruned"}
    assert len({json.dumps(trial["parameters"], sort_keys=True) for trial in some}) == 12
    records = [json.loads(Path(file).read_text()) for file in found.worker_files()]
    for number, record in enumerate(records):
        assert sum(record["states"].values()) == sum(t["worker"] == number for t in some)
    assert not list(Path(found.folder).glob("*alive*"))
    assert not list(Path(found.folder).glob("*.lock*"))


@pytest.mark.slow
def test_worker_that_is_killed_loses_its_trial_and_nothing_else(here):
    # Trials so long that one is surely running.
    found = write(("trials: 8", "trials: 6\n    workers: 2"), ("epochs: 3", "epochs: 60"),
                  ("{name: median, n_startup_trials: 3}", "{name: none}"))  # fmt: skip
    first, second = start(0), start(1)
    opened, end = journal(found), time.monotonic() + 100
    victim = None
    while victim is None:
        assert time.monotonic() < end and first.poll() is None, first.stdout.read()
        for trial in opened.trials():
            tag = trial.user_attrs.get("worker", {})
            if tag.get("pid") == first.pid and trial.state.name == "RUNNING":
                victim = trial if trial.intermediate_values else None
        time.sleep(0.005)
    before = {t.number: t.value for t in opened.trials() if t.state.name == "COMPLETE"}
    first.send_signal(signal.SIGKILL)
    first.communicate()
    told, _ = second.communicate(timeout=120)
    assert second.returncode == 0, told

    states = [trial.state.name for trial in opened.trials()]
    assert states[victim.number] == "FAIL" and "RUNNING" not in states
    assert states.count("COMPLETE") == 6 and states.count("FAIL") == 1
    for number, value in before.items():
        assert opened.trials()[number].value == value

    # Started again, it finds nothing left to do.
    assert search.main(words(0)) == 0
    assert len(opened.trials()) == 7
    assert json.loads(Path(found.worker_files()[0]).read_text())["states"] == {}


def test_live_workers_of_one_number_leave_each_other_their_trials(here):
    """As after Snakemake was killed: the worker that it has left, and that of the next call."""
    found = write(("trials: 8", "trials: 3"))
    opened = journal(found)
    with Worker(0, opened.path) as old, Worker(0, opened.path) as new:
        left, running = opened.claim(old), opened.claim(new)
        for worker in (old, new):
            opened.fail_dead(worker)
        assert [trial.state.name for trial in opened.trials()] == ["RUNNING", "RUNNING"]
        assert trials(found) == []  # what has ended
        opened.tell(left, TrialState.COMPLETE, 1.0)
    with Worker(1, opened.path) as last:
        opened.fail_dead(last)  # both have ended, this process has not
    assert [trial.state.name for trial in opened.trials()] == ["COMPLETE", "FAIL"]
    with pytest.raises(LostError):  # whoever was declared dead drops its trial
        opened.tell(running, TrialState.COMPLETE, 1.0)


def test_what_a_killed_worker_leaves_is_removed_by_the_next(here):
    code = "import sys; from optlab.search.trials.journal import Worker; from pathlib import Path;"
    code += "worker = Worker(0, Path('journal-1.log')).__enter__(); print('here', flush=True);"
    command = [sys.executable, "-c", code + "sys.stdin.read()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    victim = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(SCRIPTS)}, **pipes)
    victim.stdout.readline()
    with Worker(0, Path("journal-1.log")):
        assert len(list(Path().glob("*alive*"))) == 2
    victim.kill()
    victim.communicate()
    with Worker(1, Path("journal-1.log")):
        assert len(list(Path().glob("*alive*"))) == 1
    assert not list(Path().glob("*alive*"))


def test_dead_worker_is_known_by_its_process_here_and_by_silence_elsewhere(here):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with Worker(0, Path("journal-1.log")) as us:
        there = {**us.tag, "number": 1, "token": "journal-1.alive-other"}
        assert not us.outlived(us.tag)
        Path(there["token"]).touch()
        assert not us.outlived(there)  # this very process
        os.utime(there["token"], (1, 1))
        assert not us.outlived(there)  # it is stopped, not dead
        Path(there["token"]).touch()
        assert us.outlived({**there, "pid": gone.pid})
        assert us.outlived({**there, "born": us.tag["born"] - 10})  # its PID was reused
        far = {**there, "place": "another machine", "pid": gone.pid}
        assert us.outlived({**far, "token": "journal-1.alive-none"})  # it has left no file
        assert not us.outlived(far)
        silent = time.time() - SILENCE - 10
        os.utime(far["token"], (silent, silent))
        assert us.outlived(far)


def test_trial_without_a_tag_is_failed_and_replaced(here):
    found = write(("trials: 8", "trials: 2"))
    journal(found).study.ask()  # as when a worker is killed between two writes
    assert [trial["state"] for trial in work(("trials: 8", "trials: 2"))] == [
        *("failed", "complete", "complete")
    ]


def test_incomplete_last_line_is_removed(here):
    first = work(("trials: 8", "trials: 2"))
    with write().journal().open("ab") as stream:
        stream.write(b'{"op_code":4,"worker_')
    more = work(("trials: 8", "trials: 4"))
    assert drawn(more[:2]) == drawn(first) and len(more) == 4


# The end of a search


@pytest.fixture(scope="module")
def done(digits, tmp_path_factory):
    """A finished search with its tables and pictures; not to be changed."""
    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(digits, folder, dirs_exist_ok=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        write(("trials: 8", "trials: 16"), ("epochs: 3", "epochs: 4"))
        assert search.main(words(0)) == 0 and retrain.main(words()) == 0
        assert tables.main(["--study", "study.yaml", "--output-folder", "tables"]) == 0
        options = ["--study", "study.yaml", "--exercise", "search"]
        assert figures.main([*options, "--output-folder", "figures"]) == 0
    finally:
        os.chdir(before)
    return folder


def found_in(folder):
    return json.loads((folder / "results/tiny/search/search/digits/trials.json").read_text())


def rows_of(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_best_setting_is_trained_again_and_tested_once(done):
    found = found_in(done)
    complete = [trial for trial in found["trials"] if trial["state"] == "complete"]
    best = max(complete, key=lambda trial: trial["value"])
    assert found["best"] == best["number"]
    rows = rows_of(done / "results/tiny/search/search/digits/best/metrics.tsv")
    assert [(r["seed"], r["epoch"]) for r in rows] == [(s, str(e)) for s in "01" for e in range(5)]
    assert {row["optimizer"] for row in rows} == {best["parameters"]["optimizer"]}
    assert {float(row["lr"]) for row in rows} == {best["parameters"]["lr"]}
    assert [bool(row["test_accuracy"]) for row in rows] == 2 * [*4 * [False], True]
    # No seed of the retraining is that of the trials, which chose the setting.
    assert best["val_loss"] not in {float(row["val_loss"]) for row in rows}


def test_pruned_trials_are_trained_on_from_where_they_stopped(done):
    found = found_in(done)
    by_number = {trial["number"]: trial for trial in found["trials"]}
    assert len(found["retrained_pruned"]) == 2
    for entry in found["retrained_pruned"]:
        trial = by_number[entry["number"]]
        assert trial["state"] == "pruned" and len(entry["intermediate"]) == 4
        assert entry["intermediate"][: trial["epochs"]] == trial["intermediate"]
        assert entry["value"] == entry["intermediate"][-1][1]
        assert entry["would_have_won"] == (entry["value"] > by_number[found["best"]]["value"])


def test_tables_say_how_the_search_went(done):
    trials, (row,) = rows_of(done / "tables/trials.tsv"), rows_of(done / "tables/search.tsv")
    found = found_in(done)
    assert [int(t["number"]) for t in trials] == list(range(16))
    for line, trial in zip(trials, found["trials"], strict=True):
        assert line["state"] == trial["state"] and int(line["epochs"]) == trial["epochs"]
        shown = {
            k.removeprefix("param_"): v for k, v in line.items() if k.startswith("param_") and v
        }
        assert shown.keys() == trial["parameters"].keys()
    complete = sum(trial["state"] == "complete" for trial in found["trials"])
    assert (int(row["finished"]), int(row["complete"])) == (16, complete)
    assert int(row["pruned"]) + int(row["diverged"]) == 16 - complete > 0
    assert int(row["epochs_run"]) + int(row["epochs_saved"]) == 16 * 4
    rows = rows_of(done / "results/tiny/search/search/digits/best/metrics.tsv")
    last = [float(line["test_accuracy"]) for line in rows if line["test_accuracy"]]
    assert float(row["retrained_test_accuracy"]) == pytest.approx(np.mean(last), rel=1e-5)
    low, high = (float(row[f"retrained_test_accuracy_{end}"]) for end in ("low", "high"))
    assert low <= min(last) and max(last) <= high
    assert float(row["best_value"]) == pytest.approx(max(
        t["value"] for t in found["trials"] if t["state"] == "complete"), rel=1e-5)  # fmt: skip


def test_pictures_show_every_trial_and_every_parameter(done, monkeypatch):
    from matplotlib.colors import to_hex

    from optlab.figures import trials as pictured
    from optlab.figures.plan import pictures

    monkeypatch.chdir(done)
    study = reading.load("study.yaml")
    (plan,) = searches(study, "search")
    picture, *_ = pictures(study, "search")
    found = finished(plan)
    trials = pictured.Trials(plan, found)
    shown = [trial for trial in found["trials"] if trial["intermediate"]]
    pruned = [trial for trial in shown if trial["state"] == "pruned"]

    lines = pictured.intermediate(picture, trials).axes[0].lines
    whole = {tuple(map(float, line.get_ydata())) for line in lines}
    for trial in shown:
        assert tuple(value for _, value in trial["intermediate"]) in whole
    assert sum(line.get_marker() == "x" for line in lines) == len(pruned)
    assert sum(line.get_linestyle() == ":" for line in lines) == 2

    lines = pictured.history(picture, trials).axes[0].lines
    marks = {line.get_marker(): line for line in lines}
    assert list(marks["x"].get_xdata()) == [trial["number"] for trial in pruned]
    assert list(marks["*"].get_xdata()) == [found["best"]]
    assert to_hex(marks["*"].get_color()) == pictured.BEST.lower()

    panels = pictured.slices(picture, trials).axes
    names = {name for trial in shown for name in trial["parameters"]}
    assert {axes.get_xlabel() for axes in panels} - {""} == names

    shares = pictured.importances(trials)
    assert {"lr", "optimizer", "n_layers"} <= shares.keys()
    assert sum(shares.values()) == pytest.approx(1)
    few = pictured.Trials(plan, {**found, "trials": found["trials"][:2]})
    assert not pictured.importances(few)

    files = {file.name: file.read_text() for file in Path("figures").glob("*.svg")}
    assert files.keys() == {"history.svg", "intermediate.svg", "importance.svg", "slices.svg"}
    assert all("6 Search, digits" in text for text in files.values())
    assert f"stopped early ({len(pruned)})" in files["intermediate.svg"]


def test_second_call_trains_nothing_and_one_more_seed_only_that_seed(
    done, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    monkeypatch.chdir(folder)
    place = folder / "results/tiny/search/search/digits"
    before = {name: (place / name).read_text() for name in ("best/metrics.tsv", "trials.json")}

    def call(*changes):
        write(("trials: 8", "trials: 16"), ("epochs: 3", "epochs: 4"), *changes)
        assert retrain.main(words()) == 0
        return {name: (place / name).read_text() for name in before}

    assert call() == before  # to the last digit of `seconds`
    after = call(("seeds: 2", "seeds: 3"), ("retrain_pruned: 2", "retrain_pruned: 3"))
    assert after["best/metrics.tsv"].startswith(before["best/metrics.tsv"])
    assert len(after["best/metrics.tsv"].splitlines()) == 1 + 3 * 5
    first, second = (
        json.loads(text["trials.json"])["retrained_pruned"] for text in (before, after)
    )
    assert len(second) == 3 and all(entry in second for entry in first)
    capsys.readouterr()
    fewer = call(("seeds: 2", "seeds: 1"), ("retrain_pruned: 2", "retrain_pruned: 1"))
    assert fewer["best/metrics.tsv"] == after["best/metrics.tsv"]
    assert len(json.loads(fewer["trials.json"])["retrained_pruned"]) == 1
    again = call(("seeds: 2", "seeds: 3"), ("retrain_pruned: 2", "retrain_pruned: 3"))
    assert again["trials.json"].replace("[]", "") == after["trials.json"].replace("[]", "")
    assert again["best/metrics.tsv"] == after["best/metrics.tsv"]
    told = capsys.readouterr().out.splitlines()  # the statistics of each call, and no training
    assert len(told) == 2 and all(" trials finished (" in line for line in told)


def test_fewer_trials_and_as_many_again_train_no_setting_twice(done, tmp_path, monkeypatch, capsys):
    """The best of the first few trials is another setting; both retrainings stay."""
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    monkeypatch.chdir(folder)
    best = found_in(folder)["best"]
    file = folder / "results/tiny/search/search/digits/best/metrics.tsv"
    before = file.read_text()

    def call(trials):
        found = write(("trials: 8", f"trials: {trials}"), ("epochs: 3", "epochs: 4"))
        assert retrain.main(words()) == 0
        told = capsys.readouterr().out
        return found, [line for line in told.splitlines() if line.startswith("best, seed")]

    assert best > 2, "choose another number below"
    found, told = call(2)
    other = file.read_text()
    assert found_in(folder)["best"] != best and len(told) == 2 and other != before
    assert call(16)[1] == [] and file.read_text() == before
    found, told = call(2)
    assert told == [] and file.read_text() == other
    rows = metrics.read(file)
    file.write_text(metrics.text([*rows, {**rows[-1], "seed": 7}]))
    file.with_name("run.json").unlink()  # which describes other metrics
    assert searched.retrained(found).keys() == {0, 1}


# The workflow


@pytest.mark.slow
def test_workflow_plans_a_continued_search_and_nothing_else(here):
    for name in ("workflow", "warm", "profiles", "Snakefile"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, name)
    write(("trials: 8", "trials: 6\n    workers: 2"))

    def call(*more):
        command = [*(sys.executable, "-m", "snakemake", "--printshellcmds", *more),
                   *("--cores", "2", "--configfile", "study.yaml")]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        told = done.stdout + done.stderr
        return sorted(re.findall(r"^(?:local)?rule (\w+):", told, re.MULTILINE))

    every = ["all", "figures_search", "page", "retrain"]
    every += [*2 * ["search_worker"], "study", "tables"]
    call()
    assert call("-n") == []
    assert len(rows_of(Path("results/tiny/tables/trials.tsv"))) == 6

    write(("trials: 8", "trials: 8\n    workers: 2"))
    assert call("-n") == every
    call()
    assert len(rows_of(Path("results/tiny/tables/trials.tsv"))) == 8
    assert len(list(Path("results/tiny/search/search/digits").glob("journal-*.log"))) == 1

    write(("trials: 8", "trials: 8\n    workers: 2"), ("seeds: 2", "seeds: 3"))
    assert call("-n") == [name for name in every if name != "search_worker"]
    write(("trials: 8", "trials: 8\n    workers: 2"), ("6 Search", "Six"))
    assert call("-n") == ["all", "figures_search", "page", "study", "tables"]

    write(("trials: 8", "trials: 8\n    workers: 2"))
    for file, planned in {
        "training/loop.py": every,
        "search/trials/trial.py": every,
        "parts/networks/mlp.py": every,
        "search/retraining.py": ["all", "figures_search", "page", "retrain", "tables"],
        "catalogue/optimizers.py": [],
        "parts/networks/cnn.py": [],
    }.items():
        place = Path("workflow/scripts/optlab", file)
        text = place.read_text()
        place.write_text(text + "\n# edited\n")
        assert call("-n") == [name for name in planned if name != "study"], file
        place.write_text(text)
    place = Path("workflow/scripts/optlab/catalogue/optimizers.py")
    text = place.read_text()
    place.write_text(text.replace('{"alpha": 0.99, ', '{"alpha": 0.98, '))
    assert call("-n") == [name for name in every if name != "study"]
    place.write_text(text)

    write(("trials: 8", "trials: 8\n    workers: 2"), ("high: 64", "high: 32"))
    assert call("-n") == every
    call("search")
    assert len(list(Path("results/tiny/search/search/digits").glob("journal-*.log"))) == 2


def test_a_worker_waits_for_a_gpu_that_another_job_has(here, monkeypatch, holder):
    write(("device: cpu", "device: cuda"))
    name = f"test-{os.getpid()}-search"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
    other = holder(1)
    assert other.stdout.readline() == f"{name}\n"
    worker = start(0)
    assert worker.stdout.readline() == "waiting for 1 free GPU(s) of 1\n"
    other.stdin.close()
    assert other.wait(timeout=30) == 0
    # It has the GPU now, but a machine that only says it has one cannot train on it.
    rest = worker.communicate(timeout=60)[0]
    if not torch.cuda.is_available():
        assert rest == "error: device: cuda, but PyTorch sees no GPU here; use cpu or auto\n"
    Path(f"/tmp/optlab-{os.getuid()}/gpu-machine-{name}").unlink()
