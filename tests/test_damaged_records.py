"""Damaged files: one line that names the file, and what can be read is kept."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from handmade import CLASSES, confirm, resolved, settings

import status
from optlab.data import identity, prepare
from optlab.errors import UserError
from optlab.results import searches as results
from optlab.search import retraining
from optlab.search.trials import worker
from optlab.search.trials.journal import Journal
from optlab.study import confirmation, table
from optlab.study.confirmation import Confirmed
from optlab.study.kinds import search as searches
from optlab.training import datasets, loop
from optlab.training.checkpoints import Checkpoints

SEARCH = {
    "kind": "search",
    "datasets": ["digits"],
    "epochs": 2,
    "trials": 6,
    "seeds": 1,
    "retrain_pruned": 1,
    "space": {
        "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
        "lr": {"type": "float", "low": 1e-3, "high": 1, "log": True},
    },
}


def zeroed(content, draw):
    start = draw.randrange(len(content))
    size = draw.choice([1, 20, 200, 512, 4096])
    return content[:start] + bytes(len(content[start : start + size])) + content[start + size :]


def flipped(content, draw):
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


def cut(content, draw):
    return content[: draw.randrange(len(content))]


def removed(content, draw):
    start = draw.randrange(len(content))
    return content[:start] + content[start + draw.randrange(1, 400) :]


DAMAGE = [zeroed, flipped, cut, removed]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which a search has finished, and the search."""
    folder, before = tmp_path_factory.mktemp("search"), Path.cwd()
    os.chdir(folder)
    try:
        (found,) = searches.every(resolved({"find": {**SEARCH, "device": "cpu"}}))
        prepare.prepare("digits", {"source": "digits"}, Path(found.data), None)
        worker.work(found, 0)
        retraining.retrain(found, Path(found.folder))
    finally:
        os.chdir(before)
    return folder, found


@pytest.fixture
def copied(finished, tmp_path, monkeypatch):
    folder, found = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return found


def facts_of(journal):
    return {
        trial.number: (trial.params, trial.user_attrs["run"], trial.state)
        for trial in journal.trials()
        if trial.state.name in ("COMPLETE", "PRUNED")
    }


def alike(one, other):
    """The number of bytes with which both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def touched(content, damaged):
    """The numbers of the trials that have a damaged line."""
    same = alike(content, damaged)
    tail = alike(content[same:][::-1], damaged[same:][::-1])
    numbers, place, begun = set(), 0, 0
    for line in content.splitlines(keepends=True):
        log = json.loads(line)
        number = begun if log["op_code"] == 4 else log.get("trial_id")
        begun += log["op_code"] == 4
        if place + len(line) > same - 1 and place <= len(content) - tail:
            numbers.add(number)
        place += len(line)
    return numbers


@pytest.mark.parametrize("damage", DAMAGE)
def test_good_trials_of_a_damaged_journal_are_kept(copied, damage, capsys):
    file, draw = copied.journal(), random.Random(damage.__name__)
    whole, content = facts_of(Journal(copied)), file.read_bytes()
    assert len(whole) == 6
    for _ in range(25):
        damaged = damage(content, draw)
        file.write_bytes(damaged)
        found = facts_of(Journal(copied))
        lost = touched(content, damaged)
        for number, facts in whole.items():
            assert number in lost or found.get(number) == facts, (damaged, number)
        assert facts_of(Journal(copied)) == found  # it is mended, once
        trials = retraining.read(copied)
        if any(trial["state"] == "complete" for trial in trials):
            retraining.setting_of(copied, retraining.best_of(copied, trials))
    told = capsys.readouterr().out.splitlines()
    assert all(line.startswith(f"{file}: damaged, and mended: ") for line in told)


def test_an_empty_journal_begins_the_search_again(copied):
    copied.journal().write_bytes(b"")
    assert Journal(copied).trials() == []
    copied.journal().write_bytes(bytes(10_000) + b"\n")
    assert Journal(copied).trials() == []


def read_state(run):
    found = status.standing(run)
    assert found.state in status.STATES and "\n" not in found.message


def read_data(file):
    examples, shape = identity.size(file, "digits", None)
    assert {type(number) for number in (examples, *shape)} == {int}
    datasets.load(file)


@pytest.fixture
def files(copied):
    """File -> what reads it."""
    sweep = {**CLASSES, "optimizers": {"sgd": {"lr": [0.1, 0.2]}}}
    study = resolved({"fit": sweep}, confirm=4)
    run = table.runs(study)[0]
    confirm(study, run, [0.9] * 4)
    confirmation.write_settled(study, {"seeds": {run.unit: 8}, "begin": {run.unit: 4}})
    state = Path(run.state)
    state.parent.mkdir(parents=True)
    state.write_text('{"status": "running", "share": 0.5, "started": 1.0, "updated": 1.0}')
    (unit,) = table.units(study)
    return {
        f"{copied.folder}/trials.json": lambda: searches.finished(copied),
        copied.data: lambda: read_data(copied.data),
        unit.file: lambda: Confirmed.read(unit.file),
        str(confirmation.settled_file(study)): lambda: confirmation.settled(study),
        run.state: lambda: read_state(run),
        f"{copied.folder}/best/metrics.tsv": lambda: results.summaries([copied]),
        f"{copied.folder}/best/run.json": lambda: status.search_line(copied),
    }


@pytest.mark.parametrize("damage", [*DAMAGE, lambda content, draw: b""])
def test_a_damaged_record_is_one_line_that_names_it(files, damage):
    draw = random.Random(1)
    for name, read in files.items():
        content = Path(name).read_bytes()
        for _ in range(40):
            Path(name).write_bytes(damage(content, draw))
            identity.size.cache_clear()
            try:
                read()
            except UserError as error:
                assert Path(name).stem in str(error) and "\n" not in str(error)
        for text in ("{}", "[]", "null", "3", '"a"', '{"trials": 3}', "[" * 10_000):
            Path(name).write_text(text)
            try:
                read()
            except UserError as error:
                assert Path(name).stem in str(error) and "\n" not in str(error)
        Path(name).write_bytes(content)


def test_a_damaged_checkpoint_is_not_used(here, capsys):
    """Whatever is damaged, the seeds end with the digits of an undisturbed run."""
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    part = datasets.Split(x, torch.arange(8) % 2)
    data = datasets.Dataset("p", "P", "classification", 2, (3,), 1.0, part, part, part)
    run = settings("mlp", "adam", {}, {"hidden": [4]}, batch_size=2, epochs=3)

    def train(checkpoints):
        (outcome,) = loop.train(run, data, [0], checkpoints=checkpoints)
        return [row.train_loss for row in outcome.evaluations]

    plain = train(Checkpoints(None, "mark"))
    file, draw = Path("run.pt"), random.Random(0)
    stopped = Checkpoints(file, "mark")
    stopped._next = 0.0
    train(stopped)
    content = file.read_bytes()
    for number in range(40):
        file.write_bytes(DAMAGE[number % 4](content, draw))
        again = Checkpoints(file, "mark")
        again.load()
        assert train(again) == plain
    assert "is damaged and not used" in capsys.readouterr().out


def test_status_looks_at_the_metrics_of_a_retraining(copied):
    for number in range(copied.workers):
        Path(copied.folder, f"worker-{number}.json").write_text("{}")
    metrics = Path(copied.folder, "best/metrics.tsv")
    assert ": done: " in status.search_line(copied)
    metrics.write_bytes(b"")
    assert f"failed: {metrics} is damaged; remove it" in status.search_line(copied)
