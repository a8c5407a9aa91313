"""Grids followed beyond their ends, and chosen settings confirmed on fresh seeds."""

import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from handmade import CLASSES, finish, resolved
from test_planning import ROOT, Checkout

import confirm
from optlab.data import prepare
from optlab.errors import UserError
from optlab.figures import plan
from optlab.machine import children
from optlab.study import confirmation, reading, table
from optlab.study.confirmation import Confirmed
from optlab.study.run import CONFIRMATION

SCRIPTS = ROOT / "workflow/scripts"
LAUNCHER = ROOT / "warm/launcher.py"
SOFTMAX = {**CLASSES, "batch_sizes": [100]}


def unit_of(rates, seeds=3, **more):
    """The unit of an optimizer with these learning rates, SGD unless its knobs are given."""
    grid = {"sgd": {"lr": rates}} if isinstance(rates, list) else rates
    settings = {**SOFTMAX, "optimizers": grid, "confirm": 5, **more}
    study = resolved({"fit": settings}, seeds)
    (unit,) = table.units(study)
    return unit


# -- the next rate ---------------------------------------------------------------------------

NEXT = {  # rates tried, the end at which the best one is, and the next one
    "higher": ([0.001, 0.01], "highest", 0.1),
    "lower": ([0.01, 0.1], "lowest", 0.001),
    "in no order": ([1, 0.01, 0.1], "highest", 10),
    "by the ratio at that end": ([0.001, 0.1, 0.2, 0.4], "highest", 0.8),
    "by the ratio at the other end": ([0.001, 0.1, 0.2], "lowest", 1e-5),
    "two digits": ([0.1, 0.3, 1], "highest", 3.3),
    "two digits, lower": ([0.3, 1, 3], "lowest", 0.09),
    "not 1.0000000000000002e-05": ([1e-4, 1e-3], "lowest", 1e-5),
    "a whole number": ([0.25, 0.5], "highest", 1),
    "more digits where two do not reach beyond": ([1, 1.01], "highest", 1.02),
    "and lower": ([0.999, 1], "lowest", 0.998),
    "zero is no ratio": ([0, 0.1], "highest", None),
    "nothing is below zero": ([0, 0.1], "lowest", None),
    "zero far away": ([0, 0.1, 0.2], "highest", 0.4),
    "nor below the smallest number": ([1e-300, 1], "lowest", None),
    "nor above the largest": ([1, 1e9], "highest", None),
    "neighbours": ([1, 1 + 2**-52], "highest", 1 + 2**-51),
}


@pytest.mark.parametrize("name", NEXT)
def test_the_next_rate_continues_the_ratio_of_the_grid(name):
    rates, edge, expected = NEXT[name]
    runs = unit_of(rates).runs
    at = (max if edge == "highest" else min)(runs, key=lambda run: run.knobs["lr"])
    found = confirm.beyond(at, edge, runs)
    if expected is None:
        assert found is None
        return
    assert found.knobs == {**at.knobs, "lr": expected}
    assert type(found.knobs["lr"]) is type(expected)  # 1 rather than 1.0: the text is in paths
    assert found.path not in {run.path for run in runs}


def test_a_rate_beyond_is_the_run_that_the_same_rate_in_the_grid_would_be():
    momentum = {"momentum": {"lr": [0.01, 0.1], "momentum": [0.5, 0.9]}}
    more = {"momentum": {"lr": [0.01, 0.1, 1], "momentum": [0.5, 0.9]}}
    first, *_, last = unit_of(momentum).runs
    (grid,) = (
        run for run in unit_of(more).runs if (run.knobs["lr"], run.knobs["momentum"]) == (1, 0.9)
    )
    found = confirm.beyond(last, "highest", unit_of(momentum).runs)
    assert found.text() == grid.text() and found.path == grid.path
    assert found.knobs["momentum"] == last.knobs["momentum"] != first.knobs["momentum"]


# -- following an edge -----------------------------------------------------------------------


class Trainer:
    """Writes metrics instead of training: the validation loss by learning rate (None diverges)."""

    def __init__(self, loss):
        self.loss, self.runs = loss, []

    def train(self, run):
        self.runs.append(run)
        loss = self.loss(run.knobs["lr"], run.knobs.get("momentum"))
        figures = {name: [loss or 0.0] * run.seeds for name in ("val_loss", "test_loss")}
        finish(run, [loss] * run.seeds, **figures)

    def follow(self, unit):
        for run in unit.runs:
            self.train(run)
        self.runs.clear()
        return confirm.follow(unit, self)


def bowl(best):
    return lambda rate, momentum: 0.1 + abs(math.log10(rate / best))


def tried(found):
    return [run.knobs["lr"] for run in found.added]


@pytest.mark.parametrize(
    ("best", "rates", "extend", "added", "edge"),
    [
        (10, [0.01, 0.1], 5, [1, 10, 100], ""),
        (1e-4, [0.01, 0.1], 5, [1e-3, 1e-4, 1e-5], ""),
        (10, [0.01, 0.1], 3, [1, 10, 100], ""),
        (10, [0.01, 0.1], 2, [1, 10], "highest"),
        (10, [0.01, 0.1], 1, [1], "highest"),
        (1e-4, [0.01, 0.1], 1, [1e-3], "lowest"),
        (10, [0.01, 0.1], 0, [], "highest"),
        (0.1, [0.01, 0.1, 1], 5, [], ""),
        (0.1, [0.1], 5, [], "only"),
        (0.1, [0, 0.1], 5, [], "highest"),
    ],
)  # fmt: skip
def test_an_edge_is_followed_until_the_best_lies_inside_or_extend_is_used(
    best, rates, extend, added, edge, here
):
    unit = replace(unit_of(rates), extend=extend)
    rule = bowl(best)
    trainer = Trainer(lambda rate, momentum: rule(rate, momentum) if rate else 9.0)
    found = trainer.follow(unit)
    assert (tried(found), found.edge) == (added, edge)
    nearest = min([*rates, *added], key=lambda rate: trainer.loss(rate, None))
    assert found.chosen.knobs["lr"] == nearest
    *extended, confirmed = trainer.runs
    assert [run.path for run in extended] == [run.path for run in found.added]
    assert all(run.seed_numbers == range(3) and not run.confirms for run in extended)
    assert confirmed.path == found.chosen.path and confirmed == found.run
    assert confirmed.seed_numbers == range(100_000, 100_005)


def test_a_rate_beyond_that_diverges_ends_it_and_is_not_chosen(here):
    trainer = Trainer(lambda rate, momentum: 1 / rate if rate < 5 else None)
    found = trainer.follow(unit_of([0.01, 0.1], extend=9))
    assert tried(found) == [1, 10] and found.edge == ""
    assert found.chosen.knobs["lr"] == 1


def test_only_the_chosen_setting_is_followed_among_several_momenta(here):
    grid = {"momentum": {"lr": [0.01, 0.1], "momentum": [0.5, 0.9]}}
    trainer = Trainer(lambda rate, momentum: bowl(1)(rate, momentum) + abs(momentum - 0.9))
    found = trainer.follow(unit_of(grid, extend=4))
    assert tried(found) == [1, 10] and found.edge == ""
    assert {run.knobs["momentum"] for run in found.added} == {0.9}
    assert (found.chosen.knobs["lr"], found.chosen.knobs["momentum"]) == (1, 0.9)


def test_confirmed_runs_read_back_as_they_were_written(here):
    found = Trainer(bowl(10)).follow(unit_of([0.01, 0.1], extend=2))
    Path("confirmed.json").write_text(found.text())
    assert Confirmed.read("confirmed.json") == found


def test_a_unit_reads_back_with_the_paths_of_its_runs_and_its_pictures():
    knobs = {"lr": [0.01, 0.1], "betas": [[0.8, 0.9], [0.9, 0.99]], "weight_decay": [0.1]}
    study = resolved({"fit": {**CLASSES, "confirm": 4, "optimizers": {"adam": knobs}}})
    (unit,) = table.units(study)
    read = confirmation.Unit.of(unit.text())
    assert [run.path for run in read.runs] == [run.path for run in unit.runs]
    added = confirm.beyond(read.runs[-1], "highest", read.runs)
    assert added.path == unit.runs[-1].path.replace("lr=0.1+", "lr=1+")
    # A further point of the pictures that there are, not another picture.
    names = [picture.name for picture in plan.pictures(study, "fit")]
    assert [p.name for p in plan.pictures(study, "fit", [*unit.runs, added])] == names


# -- units -----------------------------------------------------------------------------------


def units(exercise, seeds=3, **more):
    found = resolved(
        {"fit": {**exercise, "optimizers": {"sgd": {"lr": [0.01, 0.1]}}}}, seeds, **more
    )
    return [(unit.confirm, unit.extend) for unit in table.units(found)]


def test_what_every_seed_would_repeat_is_extended_and_not_confirmed():
    line = {"datasets": ["line"], "models": ["linear"], "batch_sizes": ["full"], "epochs": [2]}
    assert units(line, confirm=5, extend=2) == [(0, 2)]
    assert units(line, confirm=5) == []
    assert units({**line, "batch_sizes": [2]}, confirm=5, extend=2) == [(5, 2)]
    softmax = {**SOFTMAX, "batch_sizes": ["full"]}  # its weights begin at zero
    assert units(softmax, confirm=5, extend=2) == [(0, 2)]
    assert units(SOFTMAX, confirm=5, extend=2) == [(5, 2)]
    assert units({**softmax, "models": ["mlp"]}, confirm=5) == [(5, 0)]
    assert units({**softmax, "models": ["mlp"], "vary": ["order"]}, confirm=5) == []
    assert units({**softmax, "vary": ["split"]}, confirm=5) == [(5, 0)]


def test_an_added_number_of_seeds_does_not_confirm_what_every_seed_would_repeat(here):
    line = {"datasets": ["line"], "models": ["linear"], "batch_sizes": ["full"], "epochs": [2]}
    study = resolved({"fit": {**line, "optimizers": {"sgd": {"lr": [0.01, 0.1]}}}}, 3,
                     confirm=5, extend=1)  # fmt: skip
    confirmation.write_settled(study, {"seeds": {"fit/sgd/line+linear": 9}, "begin": {}})
    (unit,) = table.units(study)
    assert unit.confirm == 0


@pytest.mark.parametrize("seeds", [1, 3, 100_000])
def test_confirmation_seeds_are_never_those_of_tuning(seeds):
    unit = unit_of([0.01, 0.1], seeds, confirm=100_000)
    tuning = unit.runs[0].seed_numbers
    fresh = confirmation.on_fresh_seeds(unit.runs[0], unit.confirm).seed_numbers
    assert len(tuning) == seeds and len(fresh) == 100_000
    assert tuning[-1] < CONFIRMATION == fresh[0]


def test_more_seeds_than_there_are_numbers_below_those_of_confirmation_are_refused():
    with pytest.raises(UserError, match="seeds: 100001 is not allowed"):
        unit_of([0.01, 0.1], 100_001)


# -- mistakes in a study ---------------------------------------------------------------------

STUDY = """\
study: tiny
seeds: 2
exercises:
  fit:
    datasets: [digits]
    models: [softmax]
    optimizers:
      sgd:
        lr: [0.01, 0.1]
      adam:
        lr: [0.01]
  other:
    datasets: [digits]
    models: [softmax]
    optimizers: {sgd: {lr: [0.1, 1]}}
"""
WHOLE = "is not allowed; a whole number at least 0 and at most"
METRIC = "name the metric, as in {accuracy: 0.005, loss: 1%}"
ACCURACY = "is not a margin; use a form like 0.005 or 0.5 points"
LOSS = "is not a margin; use a form like 0.01 or 1%"
FEW = "seeds cannot settle anything; use at least 4, or 0"
BROKEN = {  # what is written, and the key and message
    **{f"confirm: {n}": f"confirm: {n} {FEW}" for n in (1, 2, 3)},
    **{f"confirm: {n}": f"confirm: {n} {WHOLE} 100000" for n in (-1, 4.5, 100001, "true", "[5]")},
    "confirm: many": f"confirm: 'many' {WHOLE} 100000",
    "confirm: .nan": f"confirm: NaN {WHOLE} 100000",
    "confirm: .inf": f"confirm: Infinity {WHOLE} 100000",
    "confirm:": "confirm: nothing is given; it takes a whole number at least 0 and at most 100000",
    "margin: 0.01": f"margin: 0.01 is a margin of nothing; {METRIC}",
    "margin: 1%": f"margin: '1%' is a margin of nothing; {METRIC}",
    "margin: 0": f"margin: 0 is a margin of nothing; {METRIC}",
    "margin: [accuracy, 0.01]": f'margin: ["accuracy", 0.01] is a margin of nothing; {METRIC}',
    "margin:": f"margin: null is a margin of nothing; {METRIC}",
    "margin: {acuracy: 0.01}": (
        "margin.acuracy: unknown key; did you mean 'accuracy'? allowed: loss, accuracy, r2, rmse, "
        "bits_per_character, perplexity"
    ),
    "margin: {accuracy: 0}": f"margin.accuracy: 0 {ACCURACY}",
    "margin: {accuracy: -0.01}": f"margin.accuracy: -0.01 {ACCURACY}",
    "margin: {accuracy: -1 points}": f"margin.accuracy: '-1 points' {ACCURACY}",
    "margin: {accuracy: points}": f"margin.accuracy: 'points' {ACCURACY}",
    "margin: {accuracy: small}": f"margin.accuracy: 'small' {ACCURACY}",
    "margin: {accuracy: 1s}": f"margin.accuracy: '1s' {ACCURACY}",
    "margin: {accuracy: 1%}": f"margin.accuracy: '1%' {ACCURACY}",
    "margin: {accuracy: .nan}": f"margin.accuracy: NaN {ACCURACY}",
    "margin: {accuracy: nan points}": f"margin.accuracy: 'nan points' {ACCURACY}",
    "margin: {accuracy: .inf}": f"margin.accuracy: Infinity {ACCURACY}",
    "margin: {accuracy: [0.01]}": f"margin.accuracy: [0.01] {ACCURACY}",
    "margin: {accuracy: true}": f"margin.accuracy: true {ACCURACY}",
    "margin: {accuracy: }": f"margin.accuracy: null {ACCURACY}",
    "margin: {accuracy: 0.5}": "margin.accuracy: 0.5 is 50 points of 100; write 0.5 points, or use "
    "at most 0.2",
    "margin: {accuracy: 30}": "margin.accuracy: 30 is 3000 points of 100; use at most 0.2",
    "margin: {accuracy: 30 points}": "margin.accuracy: '30 points' is 30 points of 100; use at "
    "most 0.2",
    "margin: {loss: 0}": f"margin.loss: 0 {LOSS}",
    "margin: {loss: 0%}": f"margin.loss: '0%' {LOSS}",
    "margin: {loss: -1%}": f"margin.loss: '-1%' {LOSS}",
    "margin: {loss: 1 point}": f"margin.loss: '1 point' {LOSS}",
    "margin: {loss: .inf}": f"margin.loss: Infinity {LOSS}",
    "margin: {loss: {relative: 1}}": f'margin.loss: {{"relative": 1}} {LOSS}',
    **{f"extend: {n}": f"extend: {n} {WHOLE} 20" for n in (-1, 1.5, 21, "[1]")},
    "extend: far": f"extend: 'far' {WHOLE} 20",
}  # fmt: skip


def broken(here, line, after):
    text = STUDY.replace(after, f"{after}{line}\n", 1)
    (here / "study.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        reading.load("study.yaml")
    return str(raised.value)


@pytest.mark.parametrize("line", BROKEN)
def test_a_mistake_is_one_line_with_its_place_in_a_study_and_in_an_exercise(line, here):
    assert broken(here, line, "seeds: 2\n") == f"study.yaml:3: {BROKEN[line]}"
    place = "study.yaml:7: exercises.fit."
    assert broken(here, f"    {line}", "models: [softmax]\n") == f"{place}{BROKEN[line]}"


def test_extending_what_has_one_rate_is_a_mistake_where_it_is_stated_for_the_exercise(here):
    expected = (
        "study.yaml:11: exercises.fit.optimizers.adam: has no two learning rates, whose ratio "
        "'extend' would continue; add one, or use extend: 0"
    )
    assert broken(here, "    extend: 2", "models: [softmax]\n") == expected
    (here / "study.yaml").write_text(STUDY.replace("seeds: 2", "seeds: 2\nextend: 2"))
    found = [(u.path, u.extend) for u in table.units(reading.load("study.yaml"))]
    assert found == [("fit/sgd/digits+softmax", 2), ("other/sgd/digits+softmax", 2)]
    # What the figures of an exercise get is read again, with a line break added by the shell.
    part = reading.part(reading.load("study.yaml"), "fit")
    (here / "part.yaml").write_text(reading.dump(part) + "\n")
    found = [(u.path, u.extend) for u in table.units(reading.load("part.yaml"))]
    assert found == [("fit/sgd/digits+softmax", 2)]


def test_margins_in_each_of_their_forms():
    def margin(value, metric="accuracy"):
        return confirmation.margin({metric: value}, metric)

    assert margin(0.005) == margin("0.5 points") == margin("0.5points") == (0.005, False)
    assert margin(1) == (1.0, False) and margin("1 point") == (0.01, False)
    assert margin("1%", "loss") == margin("1 %", "loss") == (0.01, True)
    assert margin(0.02, "loss") == (0.02, False)
    assert confirmation.margin({"loss": 0.02}, "accuracy") is None


def test_a_mistake_ends_each_program_in_one_line(here):
    (here / "study.yaml").write_text(STUDY.replace("seeds: 2", "seeds: 2\nconfirm: 3"))
    programs = [
        [str(SCRIPTS / "status.py"), "--study", "study.yaml"],
        [str(SCRIPTS / "settle.py"), "--study", "study.yaml", "--seeds", "9"],
        ["-m", "snakemake", "-n", "--cores", "1", "--quiet", "all", "--snakefile",
         str(ROOT / "Snakefile"), "--configfile", "study.yaml"],
    ]  # fmt: skip
    for program in programs:
        done = subprocess.run([sys.executable, *program], capture_output=True, text=True)
        told = [line for line in done.stderr.splitlines() if "profile" not in line]
        assert told == [f"error: study.yaml:3: confirm: 3 {FEW}"] and done.returncode == 1
        assert done.stdout == ""


# -- damaged files ---------------------------------------------------------------------------

DAMAGED = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "no JSON": lambda text: "chosen: yes",
    "no object": lambda text: "[1, 2]",
    "null": lambda text: "null",
    "no run": lambda text: json.dumps({**json.loads(text), "chosen": None}),
    "a key missing": lambda text: text.replace('"edge"', '"hedge"'),
    "a run of another version": lambda text: text.replace('"knobs"', '"knots"'),
    "a wrong number": lambda text: text.replace('"seeds": 5', '"seeds": "five"'),
    "an infinite number": lambda text: text.replace('"seeds": 5', '"seeds": Infinity'),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_confirmation_is_one_line(name, here):
    text = Trainer(bowl(1)).follow(unit_of([0.1, 1], extend=1)).text()
    file = Path("confirmed.json")
    file.write_text(DAMAGED[name](text))
    assert file.read_text() != text
    with pytest.raises(UserError) as raised:
        Confirmed.read("confirmed.json")
    assert str(raised.value) == "confirmed.json: not a file of this version; remove it"


def test_absent_or_unreadable_confirmation_is_one_line(here):
    with pytest.raises(UserError) as raised:
        Confirmed.read("confirmed.json")
    assert str(raised.value) == (
        "confirmed.json: No such file or directory; has this been confirmed?"
    )
    Path("confirmed.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a file of this version"):
        Confirmed.read("confirmed.json")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"seeds": {}}', '{"seeds": [], "begin": {}}', "\udcff",
     '{"seeds": {"a": "many"}, "begin": {}}', '{"seeds": {"a": Infinity}, "begin": {}}',
     '{"seeds": {"a": null}, "begin": {}}'],
)  # fmt: skip
def test_damaged_numbers_of_settling_are_one_line(content, here):
    study = resolved({"fit": {**SOFTMAX, "optimizers": {"sgd": {"lr": [0.1, 1]}}, "confirm": 5}})
    assert confirmation.settled(study) == {}  # absent: nothing was raised
    file = confirmation.settled_file(study)
    file.parent.mkdir(parents=True)
    file.write_text(content, errors="surrogateescape")
    with pytest.raises(UserError) as raised:
        table.units(study)
    assert str(raised.value) == "results/hand/settled.json: damaged; remove it, and settle again"


# -- the program -----------------------------------------------------------------------------


# A network that notes which seed it has begun, and is slow in the seed that a file names.
NET = """\
import time
from pathlib import Path

import torch
from torch import nn

from optlab.training.batches import derived_seed

SEEDS = (0, 1, *range(100_000, 100_010))


class Net(nn.Sequential):
    def __init__(self, shape, outputs):
        weights = torch.initial_seed()
        self.seed = next((s for s in SEEDS if derived_seed("weights", s) == weights), None)
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, outputs))
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == 30 and Path("slow").exists():
            Path(f"at-{self.seed}").touch()
        if self.steps > 30 and Path("slow").exists() and Path(f"slow-{self.seed}").exists():
            time.sleep(1)
        return super().forward(x)
"""


class Lab:
    """A folder with a trained grid, in which confirm.py runs as the rule calls it."""

    def __init__(self, folder):
        self.folder = folder

    def make(self, monkeypatch):
        (self.folder / "net.py").write_text(NET)
        monkeypatch.chdir(self.folder)  # the network's file has to be there
        settings = {"epochs": [3], "batch_sizes": [20], "models": ["net.py:Net"], "extend": 1}
        self.unit = unit_of([0.0001, 0.001], 2, **settings)
        prepare.prepare("digits", {"source": "digits"}, self.folder / self.unit.runs[0].data, None)
        for run in self.unit.runs:
            self.train(run)
        return self

    def copy(self, folder):
        shutil.copytree(self.folder, folder)
        found = Lab(folder)
        found.unit = self.unit
        return found

    def train(self, run):
        command = [
            sys.executable,
            str(LAUNCHER),
            str(SCRIPTS / "train.py"),
            "--settings",
            run.text(),
        ]
        command += ["--output", run.folder, "--state", run.state]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def start(self, unit=None, log="log", launcher=True):
        """The job of the unit, its output in a file."""
        unit = unit or self.unit
        first = [str(LAUNCHER)] if launcher else []
        with (self.folder / log).open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, *first, str(SCRIPTS / "confirm.py"), "--output", unit.file],
                cwd=self.folder, stdin=subprocess.PIPE, stdout=stream, stderr=stream, text=True,
            )  # fmt: skip
        process.stdin.write(unit.text())
        process.stdin.close()
        return process

    def confirm(self, unit=None, log="log"):
        """What was chosen, and what was printed."""
        unit = unit or self.unit
        process = self.start(unit, log)
        told = lambda: (self.folder / log).read_text()  # noqa: E731
        assert process.wait(120) == 0, told()
        return Confirmed.read(str(self.folder / unit.file)), told()

    def metrics(self, run):
        return (self.folder / run.folder / "metrics.tsv").read_text(encoding="utf-8")

    def outcome(self):
        """Every metric but the seconds, and what was chosen."""
        files = sorted(self.folder.glob("results/hand/**/metrics.tsv"))
        found = {str(file.relative_to(self.folder)): no_seconds(file.read_text()) for file in files}
        return {**found, "confirmed": (self.folder / self.unit.file).read_text()}


def no_seconds(text):
    header, *rows = [line.split("\t") for line in text.splitlines()]
    at = header.index("seconds")
    return [row[:at] + row[at + 1 :] for row in [header, *rows]]


def seeds_of(text):
    header, *rows = [line.split("\t") for line in text.splitlines()]
    return sorted({int(row[header.index("seed")]) for row in rows})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained grid; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        return Lab(tmp_path_factory.mktemp("lab")).make(patch)


@pytest.fixture(scope="module")
def done(made, tmp_path_factory):
    """The same with what confirm.py makes of it; not to be changed."""
    lab = made.copy(tmp_path_factory.mktemp("done") / "lab")
    lab.confirm()
    return lab


@pytest.fixture
def lab(done, tmp_path):
    """A copy of the confirmed grid."""
    return done.copy(tmp_path / "lab")


def with_confirm(unit, number):
    return replace(unit, confirm=number)


def test_the_program_extends_and_confirms(done):
    found = Confirmed.read(str(done.folder / done.unit.file))
    assert tried(found) == [0.01] and found.edge == "highest" and found.chosen == found.added[0]
    assert seeds_of(done.metrics(found.chosen)) == [0, 1]
    assert seeds_of(done.metrics(found.run)) == [*range(100_000, 100_005)]
    state = done.folder.glob("results/hand/state/**/*")
    assert not [file for file in state if file.is_file()]


def test_a_second_call_trains_nothing_and_changes_no_byte(lab):
    before = {**lab.outcome(), **every(lab)}
    _, told = lab.confirm()
    assert "  epoch" not in told
    assert {**lab.outcome(), **every(lab)} == before


def every(lab):
    """The metrics with their seconds: what is trained again differs there."""
    return {str(f): f.read_text() for f in sorted(lab.folder.glob("results/hand/**/metrics.tsv"))}


def test_more_seeds_train_those_only_and_fewer_lose_none(lab):
    found, _ = lab.confirm()
    five = lab.metrics(found.run)
    more, told = lab.confirm(with_confirm(lab.unit, 7))
    seven = lab.metrics(more.run)
    assert seven.startswith(five) and seeds_of(seven) == [*range(100_000, 100_007)]
    assert told.count("epoch 3/3") == 2
    fewer, told = lab.confirm(with_confirm(lab.unit, 4))
    assert "  epoch" not in told and lab.metrics(fewer.run) == seven
    assert fewer.seeds == 4 and fewer.run.seed_numbers == range(100_000, 100_004)
    again, told = lab.confirm(with_confirm(lab.unit, 8))
    assert told.count("epoch 3/3") == 1
    assert lab.metrics(again.run).startswith(seven)


def test_seeds_of_other_code_or_data_are_trained_again_and_no_more_than_asked_for(lab):
    found, _ = lab.confirm(with_confirm(lab.unit, 7))
    seven = no_seconds(lab.metrics(found.run))
    for file in lab.folder.glob("results/hand/confirm/**/run.json"):
        file.write_text(re.sub(r'"fingerprint": "\w+"', '"fingerprint": "0"', file.read_text()))
    _, told = lab.confirm()
    assert told.count("epoch 3/3") == 5
    assert no_seconds(lab.metrics(found.run)) == seven[: 1 + 5 * 4]


def test_an_earlier_choice_keeps_its_seeds_and_the_log_says_so(lab):
    first, told = lab.confirm()
    assert "chosen before" not in told
    before = lab.metrics(first.run)
    shorter = replace(lab.unit, extend=0)
    second, told = lab.confirm(shorter)
    assert second.chosen.knobs["lr"] == 0.001 and second.edge == "highest"
    line = f"chosen before: {first.chosen.path}; its seeds stay in {first.run.folder}"
    assert told.splitlines()[-1] == line
    assert lab.metrics(first.run) == before
    third, told = lab.confirm()
    assert third == first and "  epoch" not in told
    assert f"chosen before: {second.chosen.path}" in told and lab.metrics(first.run) == before


def test_a_unit_that_is_not_confirmed_is_followed_only(lab):
    shutil.rmtree(lab.folder / "results/hand/confirm")
    found, told = lab.confirm(with_confirm(lab.unit, 0))
    assert found.seeds == 0 and tried(found) == [0.01] and "fresh" not in told
    assert not list(lab.folder.glob("results/hand/confirm/**/metrics.tsv"))
    _, told = lab.confirm(replace(with_confirm(lab.unit, 0), extend=0))
    assert "chosen before" not in told  # no seeds stay


def test_a_damaged_confirmation_is_made_again(lab):
    before = lab.outcome()
    (lab.folder / lab.unit.file).write_text("{")
    _, told = lab.confirm()
    assert lab.outcome() == before and "  epoch" not in told


def test_a_failing_run_is_one_line_and_leaves_no_confirmation(lab):
    (lab.folder / lab.unit.file).unlink()
    shutil.rmtree(lab.folder / "results/data")
    process = lab.start()
    assert process.wait(60) == 1
    told = (lab.folder / "log").read_text()
    assert "Traceback" not in told and not (lab.folder / lab.unit.file).exists()
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2 and errors[1].endswith("could not be trained (exit status 1)")


# -- interrupted -----------------------------------------------------------------------------

SEEDS = (0, 1, *range(100_000, 100_005))  # in the order in which the job trains them


def living(folder):
    """The processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != "zombie":
                found.append(process)
        except (psutil.Error, OSError):
            pass
    return found


def until(condition, seconds=60):
    """Wait for it; the time is there for what never comes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def held(lab, seed, launcher=True):
    """A job in the middle of a seed, which takes minutes from there on."""
    for file in ("slow", f"slow-{seed}"):
        (lab.folder / file).touch()
    process = lab.start(launcher=launcher)
    until(lambda: (lab.folder / f"at-{seed}").exists() or process.poll() is not None)
    assert process.poll() is None, (lab.folder / "log").read_text()
    return process


def released(lab, process):
    """The exit status of a job that has been asked to end, and what still runs in its folder."""
    status = process.wait(60)
    left = living(lab.folder)
    for file in [*lab.folder.glob("slow*"), *lab.folder.glob("at-*")]:
        file.unlink()
    return status, left


@pytest.mark.parametrize("launcher", [True, False], ids=["launcher", "program"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.slow), 100_002])
def test_a_job_that_is_asked_to_end_saves_and_leaves_nothing_running(
    seed, number, launcher, made, done, tmp_path
):
    lab = made.copy(tmp_path / "lab")
    process = held(lab, seed, launcher)
    process.send_signal(number)
    assert released(lab, process) == (1, [])
    told = (lab.folder / "log").read_text()
    assert told.splitlines()[-2:] == ["error: interrupted"] * 2  # the run, then the job
    assert "Traceback" not in told and not (lab.folder / lab.unit.file).exists()
    _, told = lab.confirm()
    assert lab.outcome() == done.outcome()
    finished = told.count("epoch 3/3")
    assert finished == len(SEEDS[SEEDS.index(seed) :])  # none of those before it is trained again


@pytest.mark.parametrize("launcher", [True, False], ids=["launcher", "program"])
def test_nothing_outlives_a_job_that_is_killed(launcher, made, done, tmp_path):
    lab = made.copy(tmp_path / "lab")
    process = held(lab, 100_001, launcher)
    process.kill()
    until(lambda: not living(lab.folder))
    assert released(lab, process) == (-signal.SIGKILL, [])
    lab.confirm()
    assert lab.outcome() == done.outcome()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [True, False], ids=["launcher", "program"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_job_ended_at_random_moments_is_continued_to_the_same_digits(
    number, launcher, made, done, tmp_path
):
    lab = made.copy(tmp_path / "lab")
    moments = random.Random(f"{number} {launcher}")
    for _ in range(8):
        lines, pause = moments.randrange(6), moments.random()
        process = lab.start(launcher=launcher)
        log = lab.folder / "log"
        until(lambda: process.poll() is not None or log.read_text().count("\n") >= lines)  # noqa: B023
        time.sleep(pause / 2)
        process.send_signal(number)
        process.wait(60)
        if number == signal.SIGKILL:
            until(lambda: not living(lab.folder))
        assert living(lab.folder) == []
    lab.confirm()
    assert lab.outcome() == done.outcome()
    left = [file.name for file in lab.folder.glob("results/hand/**/*") if file.is_file()]
    if number == signal.SIGKILL:  # in the middle of writing; nobody reads these
        left = [name for name in left if not name.startswith(".")]
    assert set(left) == {"metrics.tsv", "run.json", "confirmed.json"}


# -- a process and the programs that it runs -------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_a_program_or_while_it_is_started_ends_it(number, monkeypatch):
    before = {n: signal.getsignal(n) for n in children.ASKING}
    try:
        mine = children.Children(children.terminate)
        real = subprocess.Popen

        def start(*words, **more):
            process = real(*words, **more)
            os.kill(os.getpid(), number)  # before anybody knows of the process
            return process

        monkeypatch.setattr(children.subprocess, "Popen", start)
        with pytest.raises(KeyboardInterrupt):
            mine.run(["sleep", "600"])
        monkeypatch.undo()
        with pytest.raises(KeyboardInterrupt):
            mine.run(["true"])
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


def test_a_program_that_succeeds_all_the_same_has_succeeded():
    before = {n: signal.getsignal(n) for n in children.ASKING}
    try:
        mine = children.Children(lambda child: None)
        code = "import os, signal; os.kill(os.getppid(), signal.SIGTERM)"
        assert mine.run([sys.executable, "-c", code]) == 0
    except KeyboardInterrupt:  # which would end pytest
        pytest.fail("a program that had succeeded was interrupted")
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


# -- through Snakemake -----------------------------------------------------------------------

PLANNED = """\
study: tiny
seeds: 2
device: cpu
confirm: 5
exercises:
  pick:
    title: A title
    datasets: [digits]
    models: [softmax]
    epochs: [1]
    optimizers:
      sgd: {lr: [0.01, 0.1]}
      adam: {lr: [0.001, 0.01]}
  line:
    datasets: [line]
    models: [linear]
    epochs: [2]
    batch_sizes: [full]
    optimizers:
      sgd: {lr: [0.001]}
"""
AFTER = {"tables": 1, "page": 1, "figures_pick": 1}
CONFIRMED = "results/tiny/confirm/pick/{}/digits+softmax/confirmed.json"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A confirmed study; not to be changed."""
    checkout = Checkout(tmp_path_factory.mktemp("finished") / "Größe é").make()
    checkout.write("study.yaml", PLANNED)
    checkout.call()
    return checkout


@pytest.fixture
def checkout(finished, tmp_path):
    """A copy of the confirmed study in another folder."""
    shutil.copytree(finished.folder, tmp_path / "moved 二 é", symlinks=True)
    return Checkout(tmp_path / "moved 二 é")


@pytest.mark.slow
def test_a_confirmed_study_that_was_moved_plans_nothing(checkout):
    assert checkout.planned() == ({}, [])
    told = checkout.status()
    for name in ("sgd", "adam"):
        assert f"confirm pick/{name}/digits+softmax, 5 seeds: done" in told
        assert "5 fresh seeds" in checkout.results(f"logs/confirm/pick/{name}/*.log").popitem()[1]
    assert "confirm line" not in told  # nothing there is random
    assert not (checkout.folder / "results/tiny/confirm/line").exists()


@pytest.mark.slow
def test_one_more_confirmation_seed_trains_one_an_optimizer(checkout):
    before = checkout.results("**/metrics.tsv")
    checkout.edit("study.yaml", ("confirm: 5", "confirm: 6"))
    jobs = {"confirm": 2, "study": 1, "figures_line": 1, **AFTER}
    assert checkout.planned() == (jobs, [])
    checkout.call()
    after = checkout.results("**/metrics.tsv")
    assert after.keys() == before.keys()
    changed = [path for path in after if after[path] != before[path]]
    assert [path.split("/")[:3] for path in changed] == [["confirm", "pick", "adam"],
                                                         ["confirm", "pick", "sgd"]]  # fmt: skip
    for path in changed:
        assert after[path].startswith(before[path])
        assert seeds_of(after[path]) == [*range(100_000, 100_006)]
        assert seeds_of(before[path]) == [*range(100_000, 100_005)]
    assert checkout.planned() == ({}, [])

    checkout.edit("study.yaml", ("confirm: 6", "confirm: 5"))
    assert checkout.planned() == (jobs, [])
    checkout.call()
    assert checkout.results("**/metrics.tsv") == after  # none is lost
    rows = checkout.table("optimizers")
    assert [row["tuning_seeds"] for row in rows] == ["2", "2"]
    assert [row["seeds"] for row in rows] == ["5", "5"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "jobs"),
    [
        ("title: A title", "title: Another", {"study": 1, **AFTER}),
        (
            "confirm: 5",
            "confirm: 5\nmargin: {accuracy: 0.5 points}",
            {"study": 1, "tables": 1, "page": 1},
        ),
        (
            "    title",
            "    margin: {accuracy: 0.01}\n    title",
            {"study": 1, "tables": 1, "page": 1},
        ),
    ],
)
def test_words_and_margins_train_and_confirm_nothing(old, new, jobs, checkout):
    checkout.edit("study.yaml", (old, new))
    assert checkout.planned() == (jobs, [])


@pytest.mark.slow
def test_what_is_said_as_by_default_plans_nothing(checkout):
    checkout.edit("study.yaml", ("confirm: 5\n", "confirm: 5\nmargin: {}\nextend: 0\n"),
                  ("    epochs: [1]", "    confirm: 5.0\n    epochs: [1]"),
                  ("    epochs: [2]", "    confirm: 5\n    epochs: [2]"))  # fmt: skip
    assert checkout.planned() == ({}, [])


@pytest.mark.slow
def test_an_added_rate_is_one_run_and_its_optimizer_is_confirmed_again(checkout):
    before = checkout.results("**/metrics.tsv")
    checkout.edit("study.yaml", ("sgd: {lr: [0.01, 0.1]}", "sgd: {lr: [0, 0.01, 0.1]}"))
    jobs, runs = checkout.planned()
    assert jobs == {"train": 1, "confirm": 1, "study": 1, **AFTER}
    assert runs == ["pick/sgd/digits+softmax/lr=0/batch_size=100+epochs=1+gpus=1"]
    checkout.call()
    after = checkout.results("**/metrics.tsv")
    assert len(after) == len(before) + 1 and before.items() <= after.items()
    assert checkout.planned() == ({}, [])


@pytest.mark.slow
def test_an_extension_is_one_job_and_its_rates_may_join_the_grid(checkout):
    checkout.edit(
        "study.yaml",
        ("sgd: {lr: [0.01, 0.1]}", "sgd: {lr: [0.0002, 0.002]}"),
        ("    title", "    extend: 1\n    metric: loss\n    title"),
    )
    checkout.call()
    found = Confirmed.read(str(checkout.folder / CONFIRMED.format("sgd")))
    assert tried(found) == [0.02] and found.edge == "highest"
    rows = [row for row in checkout.table() if row["optimizer"] == "sgd"]
    assert [row["lr"] for row in rows] == ["0.0002", "0.002", "0.02", "0.001"]  # of line, too
    assert checkout.planned() == ({}, [])
    before = checkout.results("runs/**/metrics.tsv")
    checkout.edit("study.yaml", ("[0.0002, 0.002]", "[0.0002, 0.002, 0.02]"), ("d: 1", "d: 0"))
    jobs, runs = checkout.planned()
    joined = "pick/sgd/digits+softmax/lr=0.02/batch_size=100+epochs=1+gpus=1"
    assert jobs == {"train": 1, "confirm": 2, "study": 1, **AFTER} and runs == [joined]
    checkout.call()
    after = checkout.results("runs/**/metrics.tsv")
    assert before.keys() - after.keys() == set() and before.items() <= after.items()
    assert checkout.planned() == ({}, [])
    checkout.edit("study.yaml", ("seeds: 2", "seeds: 3"))
    assert joined in checkout.planned()[1]


@pytest.mark.slow
def test_an_edit_of_the_program_confirms_again_and_trains_nothing(checkout):
    before = checkout.results("**/metrics.tsv")
    checkout.append("workflow/scripts/confirm.py")
    assert checkout.planned() == ({"confirm": 2, **AFTER}, [])
    checkout.call()
    assert checkout.results("**/metrics.tsv") == before
    assert checkout.planned() == ({}, [])


@pytest.mark.slow
def test_edits_of_what_confirms_nothing_plan_nothing(checkout):
    for file in ("settle.py", "optlab/study/confirmation.py", "optlab/machine/children.py"):
        checkout.append(f"workflow/scripts/{file}")
    assert checkout.planned() == ({}, [])


@pytest.mark.slow
def test_an_absent_confirmation_is_made_from_the_seeds_that_are_there(checkout):
    before = checkout.results("confirm/**/metrics.tsv")
    name = CONFIRMED.format("adam")
    (checkout.folder / name).unlink()
    assert "confirm pick/adam/digits+softmax, 5 seeds: waiting" in checkout.status()
    planned = ({"confirm": 1, "figures_pick": 1, "tables": 1, "page": 1}, [])
    assert checkout.planned() == planned  # although the tables are there
    assert checkout.planned(name) == ({"confirm": 1}, [])
    checkout.edit("study.yaml", ("confirm: 5", "confirm: 5\nmargin: {loss: 1%}"))
    assert checkout.planned() == ({"confirm": 1, "study": 1, **AFTER}, [])
    checkout.call()
    assert checkout.results("confirm/**/metrics.tsv") == before


@pytest.mark.slow
def test_damaged_and_missing_files_of_confirmation_end_the_tables_in_one_line(checkout):
    checkout.edit("study.yaml", ("confirm: 5\n", "confirm: 5\nmargin: {loss: 1%}\n"))
    file = checkout.folder / CONFIRMED.format("adam")
    text = file.read_text()
    stamp = file.stat().st_mtime_ns

    def tables(line):
        os.utime(file, ns=(stamp, stamp))
        told = checkout.call("tables", status=1)
        assert "Traceback" not in told
        found = [one.strip() for one in told.splitlines() if one.strip().startswith("error: ")]
        assert found == [f"error: {line}"]

    file.write_text(text[:-9])
    tables(f"{CONFIRMED.format('adam')}: not a file of this version; remove it")
    assert "5 seeds: waiting" in checkout.status()
    file.write_text(text)
    metrics = Confirmed.read(str(file)).run.folder + "/metrics.tsv"
    (checkout.folder / metrics).unlink()
    again = "set aside as *.damaged: the next call makes it again"
    tables(f"{metrics}: there is no such file; has this run been trained?; {again}")
    assert not file.exists()


@pytest.mark.slow
def test_damaged_numbers_of_settling_end_snakemake_in_one_line(checkout):
    checkout.write("results/tiny/settled.json", "{")
    line = "error: results/tiny/settled.json: damaged; remove it, and settle again"
    told = checkout.call("-n", status=1).splitlines()
    assert [one for one in told if "profile" not in one] == [line]
