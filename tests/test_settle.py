"""Further confirmation seeds where a verdict is open: which ones, within a budget, interrupted."""

import json
import math
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handmade import CLASSES, confirm, finish, resolved, save
from test_confirmation import living, no_seconds, seeds_of, until
from test_planning import ROOT, Checkout

import settle
from optlab.results import anytime, settling
from optlab.results.settling import Budget
from optlab.study import confirmation, table

SETTLE = ROOT / "workflow/scripts/settle.py"
NAMES = ("sgd", "adam", "nadam", "radam")
EVERYTHING = Budget(math.inf, math.inf)


# -- which seeds, by hand --------------------------------------------------------------------


class Hand:
    """A study of optimizers whose test accuracies are made up, seed by seed.

    Args:
        gaps: the mean of each optimizer, below 0.9.
        spreads: by how much its seeds are above and below that, in turn.
        seconds: of a seed of each.
        noise: what is added to each value instead of these turns, times its spread.
    """

    def __init__(self, gaps, spreads, seconds=None, seeds=8, noise=None):
        self.names = NAMES[: len(gaps)]
        optimizers = {name: {"lr": [0.1]} for name in self.names}
        exercise = {**CLASSES, "optimizers": optimizers, "confirm": seeds}
        self.study = resolved({"fit": exercise})
        self.runs = table.runs(self.study)
        for run in self.runs:
            figures = {name: [0.9] * 3 for name in ("val_loss", "val_accuracy", "test_accuracy")}
            finish(run, [0.5] * 3, **figures)
        turns = np.where(np.arange(2000) % 2, 1, -1)
        self.values = [
            0.9 - gap + spread * (turns if noise is None else noise.normal(0, 1, 2000))
            for gap, spread in zip(gaps, spreads, strict=True)
        ]
        self.seconds = seconds or [60.0] * len(gaps)
        self.numbers = {f"fit/{name}/digits+softmax": seeds for name in self.names}
        self.begin = dict(self.numbers)
        self.train(self.numbers)

    def train(self, raised, diverged=()):
        """Confirm units with these numbers of seeds."""
        self.numbers |= raised
        for i, (unit, number) in enumerate(self.numbers.items()):
            if unit in raised:
                found = [float(value) for value in self.values[i][:number]]
                found = [None if i in diverged and not n else v for n, v in enumerate(found)]
                confirm(self.study, self.runs[i], found, self.seconds[i])

    def step(self, budget=EVERYTHING):
        found = settling.contests(self.study)
        return settling.step(found, self.numbers, self.begin, budget)

    @property
    def spent(self):
        """Seeds, and minutes."""
        added = [self.numbers[unit] - self.begin[unit] for unit in self.numbers]
        times = (n * seconds for n, seconds in zip(added, self.seconds, strict=True))
        return Budget(sum(added), sum(times) / 60)

    def open(self):
        """Optimizer -> further seeds, of the pairs with the first that are open."""
        found = settling.open_pairs(settling.contests(self.study))
        return {pair.other.run.optimizer: pair.more.seeds for pair in found}


def of(raised):
    """Optimizer -> number."""
    return {unit.split("/")[1]: number for unit, number in raised.items()}


def test_nothing_open_takes_nothing(here):
    clear = Hand((0, 0.1, 0.2), (0.001, 0.001, 0.001))
    assert clear.open() == {} and clear.step() == {}


def test_an_open_pair_gets_half_of_its_seeds_again_or_what_it_needs(here):
    far = Hand((0, 0.008), (0, 0.01), seeds=12)
    assert far.open()["adam"] > 6
    assert of(far.step()) == {"sgd": 18, "adam": 18}
    few = Hand((0, 0.01), (0, 0.01), seeds=5)
    assert few.open()["adam"] > 4
    assert of(few.step()) == {"sgd": 9, "adam": 9}
    near = Hand((0, 0.015), (0, 0.01))
    needs = near.open()["adam"]
    assert 0 < needs < 4
    assert of(near.step()) == {"sgd": 8 + needs, "adam": 8 + needs}


def test_a_pair_beyond_the_most_seeds_is_left_open(here):
    lab = Hand((0, 0.001, 0.01), (0, 0.01, 0.01))
    assert lab.open()["adam"] is None and lab.open()["nadam"] <= anytime.MOST
    assert of(lab.step()) == {"sgd": 12, "nadam": 12}
    alone = Hand((0, 0.001), (0, 0.01))
    assert alone.open() == {"adam": None} and alone.step() == {}


def test_diverged_seeds_and_seeds_of_tuning_are_not_raised(here):
    lab = Hand((0, 0.008, 0.008), (0, 0.01, 0.01))
    assert set(lab.open()) == {"adam", "nadam"}
    lab.train(lab.numbers, diverged=(1,))
    assert set(lab.open()) == {"nadam"}
    lab.train(lab.numbers, diverged=(0, 1, 2))
    assert lab.open() and lab.step() == {}  # open, and no number of seeds is known to help


def test_the_cheapest_pair_comes_first(here):
    def cheap(seconds):
        lab = Hand((0, 0.008, 0.008), (0, 0.01, 0.01), seconds)
        assert all(lab.open().values()) and len(lab.open()) == 2
        return of(lab.step(Budget(8, math.inf)))

    assert cheap([1, 5, 100]) == {"sgd": 12, "adam": 12}
    assert cheap([1, 100, 5]) == {"sgd": 12, "nadam": 12}


def test_unknown_times_come_last_and_are_within_no_budget_of_minutes(here):
    lab = Hand((0, 0.008, 0.008), (0, 0.01, 0.01), [1, 1, 100])
    Path(lab.runs[1].folder.replace("/runs/", "/confirm/"), "run.json").unlink()
    assert of(lab.step(Budget(8, math.inf))) == {"sgd": 12, "nadam": 12}
    assert of(lab.step()) == {"sgd": 12, "adam": 12, "nadam": 12}
    assert of(lab.step(Budget(math.inf, 1e6))) == {"sgd": 12, "nadam": 12}


def test_a_step_is_within_the_budget_to_the_last_seed_and_second(here):
    lab = Hand((0, 0.008, 0.008), (0, 0.01, 0.01), [5, 10, 30])
    steps = {0: {}, 7: {}, 8: {"sgd", "adam"}, 11: {"sgd", "adam"}, 12: {"sgd", "adam", "nadam"}}
    for seeds, names in steps.items():
        assert of(lab.step(Budget(seeds, math.inf))).keys() == set(names)
    steps = {0.99: {}, 1: {"sgd", "adam"}, 2.99: {"sgd", "adam"}, 3: {"sgd", "adam", "nadam"}}
    for minutes, names in steps.items():
        assert of(lab.step(Budget(math.inf, minutes))).keys() == set(names)
    assert lab.step(Budget(8, 0.99)) == {} and lab.step(Budget(7, 1)) == {}


def test_what_was_spent_counts_from_the_beginning(here):
    lab = Hand((0, 0.008), (0, 0.01))
    lab.train({unit: 12 for unit in lab.numbers})
    assert lab.open() and lab.spent.seeds == 8
    assert lab.step(Budget(8 + 12 - 1, math.inf)) == {}
    assert of(lab.step(Budget(8 + 12, math.inf))) == {"sgd": 18, "adam": 18}
    lab.begin = dict(lab.numbers)
    assert of(lab.step(Budget(12, math.inf))) == {"sgd": 18, "adam": 18}


def test_only_the_one_with_fewer_seeds_is_raised(here):
    lab = Hand((0, 0.008), (0, 0.01))
    lab.train({"fit/sgd/digits+softmax": 30})
    assert of(lab.step()) == {"adam": 12}
    assert of(lab.step(Budget(22 + 4, math.inf))) == {"adam": 12}
    lab.begin = dict(lab.numbers)
    assert of(lab.step(Budget(4, math.inf))) == {"adam": 12} and lab.step(Budget(3, 9)) == {}


@pytest.mark.parametrize("seed", range(6))
def test_no_budget_is_ever_exceeded_and_the_end_is_always_reached(seed, here):
    noise = random.Random(seed)
    gaps = [0, *(noise.choice([0, 0.002, 0.005, 0.02]) for _ in range(2))]
    seconds = [noise.uniform(1, 100) for _ in gaps]
    lab = Hand(gaps, [0.004] * 3, seconds, 5, np.random.default_rng(seed))
    budget = Budget(noise.choice([17, 60, math.inf]), noise.choice([3.3, 40.0]))
    steps = 0
    while raised := lab.step(budget):
        assert all(number > lab.numbers[unit] for unit, number in raised.items())
        lab.train(raised)
        assert lab.spent.seeds <= budget.seeds
        assert lab.spent.minutes <= budget.minutes + 1e-9
        steps += 1
    assert steps < 40


# -- the session, by hand --------------------------------------------------------------------


def begun(lab, seeds, begin):
    confirmation.write_settled(lab.study, {"seeds": seeds, "begin": begin})
    for unit, number in seeds.items():
        lab.train({unit: number})
    return settle.Session(lab.study)


def test_a_session_begins_where_an_interrupted_one_began(here):
    lab = Hand((0, 0.008), (0, 0.01))
    sgd, adam = lab.numbers
    assert begun(lab, {}, {}).begin == {sgd: 8, adam: 8}
    assert begun(lab, {sgd: 12, adam: 12}, {sgd: 8, adam: 8}).begin == {sgd: 8, adam: 8}
    session = begun(lab, {sgd: 12, adam: 12}, {sgd: 8, adam: 8})
    assert session.numbers == {sgd: 12, adam: 12} and session.cost.seeds == 8
    session.end()
    assert confirmation.settled_content(lab.study) == {"seeds": {sgd: 12, adam: 12}, "begin": {}}
    assert settle.Session(lab.study).begin == {sgd: 12, adam: 12}


def test_an_optimizer_that_joins_an_interrupted_session_is_not_free(here):
    lab = Hand((0, 0.008, 0.008), (0, 0.01, 0.01))
    sgd, adam, nadam = lab.numbers
    session = begun(lab, {sgd: 12, adam: 12}, {sgd: 8, adam: 8})
    assert session.begin == {sgd: 8, adam: 8, nadam: 8} and session.cost.seeds == 8
    session.raise_to({nadam: 12})
    assert confirmation.settled_content(lab.study)["begin"][nadam] == 8


def test_seeds_that_the_study_itself_asks_for_cost_nothing(here):
    lab = Hand((0, 0.008), (0, 0.01))
    sgd, adam = lab.numbers
    session = begun(lab, {sgd: 12, adam: 12}, {sgd: 5, adam: 5})  # with confirm: 5 at that time
    assert session.begin == {sgd: 8, adam: 8} and session.cost.seeds == 8


class Workflow:
    """Instead of Snakemake: seeds have the values made up; from some call on, it is interrupted."""

    def __init__(self, lab, until=math.inf):
        self.lab, self.left, self.targets = lab, until, []

    def __call__(self, *words):
        return self

    def run(self, *targets):
        self.targets.append(targets)
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        if "tables" in targets:
            wanted = confirmation.settled(self.lab.study)
            self.lab.train({u: n for u, n in wanted.items() if n > self.lab.numbers[u]})


def call(lab, monkeypatch, until=math.inf, budget=("--seeds", "40")):
    workflow = Workflow(lab, until)
    monkeypatch.setattr(settle, "Workflow", workflow)
    status = settle.main(["--study", str(save(lab.study)), *budget])
    return status, confirmation.settled_content(lab.study), workflow.targets


@pytest.mark.parametrize("until", range(5))
def test_a_call_interrupted_in_any_stage_is_continued_to_the_same_end(
    until, here, monkeypatch, capsys
):
    def lab():
        return Hand((0, 0.008, 0.006), (0, 0.01, 0.01))

    status, whole, targets = call(lab(), monkeypatch)
    assert status == 0 and len(targets) == 4 and targets[-1] == ("all",)
    assert all(unit in " ".join(targets[0]) for unit in whole["seeds"])
    report = capsys.readouterr().out.splitlines()[-1].partition("; ")[2]
    confirmation.settled_file(lab().study).unlink()
    cut = lab()
    status, content, _ = call(cut, monkeypatch, until)
    if until < 4:
        assert status == 1 and capsys.readouterr().err == "error: interrupted\n"
        assert bool(content["begin"]) == (until > 0)
        status, content, _ = call(cut, monkeypatch)
    assert (status, content) == (0, whole)
    assert capsys.readouterr().out.splitlines()[-1].partition("; ")[2] == report


# -- the command line ------------------------------------------------------------------------

TINY = """\
study: tiny
seeds: 2
device: cpu
confirm: 5
exercises:
  pick:
    datasets: [digits]
    models: [softmax]
    epochs: [1]
    optimizers:
      adam: {lr: [0.01]}
      nadam: {lr: [0.01]}
"""
HINT = "a study is named by --study, and options of Snakemake follow --"
REFUSED = {
    "no budget": ([], 1, "a budget is missing: --minutes or --seeds"),
    "no minutes": (["--minutes", "0"], 2, "--minutes: '0' is not allowed; a number above 0"),
    "less": (["--minutes", "-1"], 2, "--minutes: '-1' is not allowed; a number above 0"),
    "no number": (["--minutes", "nan"], 2, "--minutes: 'nan' is not allowed; a number above 0"),
    "no end": (["--minutes", "inf"], 2, "--minutes: 'inf' is not allowed; a number above 0"),
    "text": (["--minutes", "ten"], 2, "--minutes: 'ten' is not allowed; a number above 0"),
    "no seeds": (["--seeds", "0"], 2, "--seeds: '0' is not allowed; a whole number from 1 up"),
    "half": (["--seeds", "1.5"], 2, "--seeds: '1.5' is not allowed; a whole number from 1 up"),
    "a file": (["--seeds", "9", "study.yaml"], 1, f"'study.yaml' is no option: {HINT}"),
    "an option before --": (["--seeds", "9", "--cores", "2"], 2, None),
    "an unknown study": (
        ["--seeds", "9", "--study", "gone.yaml"],
        1,
        "gone.yaml: cannot be read: No such file or directory",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_in_one_line(name, here, monkeypatch, capsys):
    words, status, line = REFUSED[name]
    (here / "study.yaml").write_text(TINY)
    monkeypatch.setattr(settle.Workflow, "run", lambda *words: pytest.fail("something was started"))
    if "--study" not in words:
        words = ["--study", "study.yaml", *words]
    try:
        assert settle.main(words) == status
    except SystemExit as end:
        assert end.code == status
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 1
    assert told.err.startswith(f"error: {line}" if line else "error: ")
    assert not (here / "results").exists()


@pytest.mark.parametrize(
    "change", [("confirm: 5\n", ""), ("digits", "line"), ("confirm: 5", "confirm: 0")]
)
def test_a_study_that_confirms_nothing_is_refused_in_one_line(change, here, capsys):
    text = TINY.replace(*change)
    if "line" in change:  # nothing there is random
        text = text.replace("[softmax]", "[linear]\n    batch_sizes: [full]")
    (here / "study.yaml").write_text(text)
    assert settle.main(["--study", "study.yaml", "--seeds", "9"]) == 1
    line = "error: study.yaml: nothing is confirmed; set confirm, as confirm: 10\n"
    assert capsys.readouterr().err == line


# -- real ------------------------------------------------------------------------------------


class Lab(Checkout):
    """A checkout in which settle.py is called."""

    def settle(self, *words, options=(), budget=("--seeds", "24")):
        """A call that has been started; what it prints is in files."""
        command = [sys.executable, "workflow/scripts/settle.py", "--study", "study.yaml", *budget]
        with (self.folder / "out").open("w") as out, (self.folder / "err").open("w") as err:
            return subprocess.Popen(
                [*command, *words, *(["--", *options] if options else [])],
                cwd=self.folder, stdout=out, stderr=err,
            )  # fmt: skip

    def settled(self, *words, status=0, **more):
        """What a call prints."""
        process = self.settle(*words, **more)
        assert process.wait(300) == status, self.told("err")
        return self.told("out" if status == 0 else "err")

    def told(self, name):
        file = self.folder / name
        return file.read_text(encoding="utf-8") if file.exists() else ""

    @property
    def content(self):
        return json.loads(self.told("results/tiny/settled.json") or "{}")

    def metrics(self):
        return self.results("**/metrics.tsv")

    def outcome(self):
        found = {path: no_seconds(text) for path, text in self.metrics().items()}
        return {**found, **self.results("confirm/**/confirmed.json"), "": self.content}


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory):
    """A study that is confirmed, one pair of which is open; not to be changed."""
    lab = Lab(tmp_path_factory.mktemp("confirmed") / "lab").make()
    lab.write("study.yaml", TINY)
    lab.call()
    return lab


@pytest.fixture(scope="module")
def settled(confirmed, tmp_path_factory):
    """The same after an undisturbed call; not to be changed."""
    lab = copy(confirmed, tmp_path_factory.mktemp("settled"))
    lab.report = lab.settled()
    return lab


def copy(lab, folder):
    shutil.copytree(lab.folder, folder / "lab", symlinks=True)
    return Lab(folder / "lab")


UNITS = ("pick/adam/digits+softmax", "pick/nadam/digits+softmax")


@pytest.mark.slow
def test_seeds_are_spent_on_what_is_open_and_within_the_budget(settled, confirmed):
    assert settled.content == {"seeds": dict.fromkeys(UNITS, 13), "begin": {}}  # 19 are 28 seeds
    lines = settled.report.splitlines()
    assert lines[:4] == [f"{u}: {n} -> {n + 4} confirmation seeds" for n in (5, 9) for u in UNITS]
    assert "0 of 1 stand (1 open)" in lines[4]
    assert lines[-1].startswith("open before 1, now 1; this took 16 seeds, ")
    before, after = confirmed.metrics(), settled.metrics()
    for path, text in before.items():
        assert after[path].startswith(text)
        wanted = [*range(100_000, 100_013)] if path.startswith("confirm") else [0, 1]
        assert seeds_of(after[path]) == wanted
    assert {row["seeds"] for row in settled.table("optimizers")} == {"13"}
    assert settled.planned() == ({}, [])


@pytest.mark.slow
def test_a_call_after_the_end_has_a_budget_of_its_own(settled, tmp_path):
    lab = copy(settled, tmp_path)
    before = lab.metrics()
    told = lab.settled(budget=("--seeds", "11"))  # of which the next step takes 12
    assert "confirmation seeds" not in told and "this took 0 seeds" in told
    assert lab.metrics() == before
    told = lab.settled(budget=("--seeds", "12"), options=["--cores", "1"])
    assert "13 -> 19 confirmation seeds" in told and "this took 12 seeds" in told
    assert lab.content == {"seeds": dict.fromkeys(UNITS, 19), "begin": {}}
    assert all(text.startswith(before[path]) for path, text in lab.metrics().items())


@pytest.mark.slow
def test_changes_of_the_study_keep_what_was_settled(settled, tmp_path):
    lab = copy(settled, tmp_path)
    before = lab.results("confirm/**/metrics.tsv")
    lab.edit("study.yaml", ("nadam: {lr: [0.01]}", "nadam: {lr: [0, 0.01]}"))
    jobs, runs = lab.planned()
    assert jobs["confirm"] == jobs["train"] == 1 and "lr=0/" in runs[0]
    lab.edit("study.yaml", ("seeds: 2", "seeds: 3"))
    lab.call()
    assert lab.results("confirm/**/metrics.tsv") == before
    lab.edit("study.yaml", ("confirm: 5", "confirm: 6"))  # fewer than there are
    lab.call()
    assert lab.results("confirm/**/metrics.tsv") == before
    assert {row["seeds"] for row in lab.table("optimizers")} == {"13"}
    (lab.folder / "results/tiny/settled.json").unlink()
    lab.call()
    assert lab.results("confirm/**/metrics.tsv") == before  # still there, and not counted
    assert {row["seeds"] for row in lab.table("optimizers")} == {"6"}


@pytest.mark.slow
def test_options_reach_snakemake_and_its_failures_reach_the_user(settled, tmp_path):
    lab = copy(settled, tmp_path)
    lab.write("mine/config.yaml", "cores: 1\nprintshellcmds: true\n")
    lab.settled(budget=("--minutes", "1e-6"), options=["--profile", "mine"])
    log = lab.told("results/tiny/logs/settle.log")
    assert log.count("--profile mine") == 2 and "locked" not in log
    told = lab.settled(options=["--nonsense"], status=1).splitlines()
    assert any("unrecognized arguments: --nonsense" in line for line in told)
    last = "the workflow failed, see results/tiny/logs/settle.log; the same call continues it"
    assert told[-1] == f"error: {last} (exit status 2)"
    lock = lab.folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f"results/tiny/confirm/{UNITS[0]}/confirmed.json\n")
    told = lab.settled(status=1)
    assert "Directory cannot be locked" in told and "Traceback" not in told
    assert told.splitlines()[-1] == f"error: {last} (exit status 1)"
    assert lab.content == settled.content
    lock.unlink()
    assert "this took 12 seeds" in lab.settled()  # 13 -> 19; the next step would take 18 more


@pytest.mark.slow
def test_confirmations_that_are_gone_are_made_again(settled, tmp_path):
    lab = copy(settled, tmp_path)
    before = lab.outcome()
    for file in lab.folder.glob("results/tiny/confirm/**/confirmed.json"):
        file.unlink()
    lab.settled(budget=("--seeds", "1"))
    assert lab.outcome() == before


def interrupt(lab, number, moment):
    """End a call when its log has `moment` lines; returns whether it had finished before."""
    log = "results/tiny/logs/settle.log"
    (lab.folder / log).unlink(missing_ok=True)
    process = lab.settle()
    until(lambda: process.poll() is not None or lab.told(log).count("\n") >= moment, 120)
    process.send_signal(number)
    status = process.wait(120)
    if number == signal.SIGKILL:
        until(lambda: not living(lab.folder), 120)  # Snakemake ends with the jobs that run
    assert living(lab.folder) == [] and "Traceback" not in lab.told("err")
    if status == 0:
        return True
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 1)
    if status == 1:
        assert lab.told("err") == "error: interrupted\n"
    return bool(lab.content.get("seeds")) and not lab.content["begin"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_call_is_continued_to_the_same_end(number, confirmed, settled, tmp_path):
    lab = copy(confirmed, tmp_path)
    moments = random.Random(int(number))
    seen = []
    for _ in range(6):
        ended = interrupt(lab, number, moments.randrange(1, 200))
        seen.append(lab.metrics())
        if ended:
            break
    else:
        lab.settled()
    assert lab.outcome() == settled.outcome()
    final = lab.metrics()
    for metrics in seen:  # with their seconds: no seed that was there has been trained again
        assert all(final[path].startswith(text) for path, text in metrics.items())


@pytest.mark.slow
def test_the_workflow_of_a_killed_call_ends_with_the_jobs_that_run_and_locks_nothing(tmp_path):
    lab = Lab(tmp_path / "lab").make()
    lab.write("study.yaml", TINY.replace("nadam:", "my/steps.py:Step:"))
    lab.write("hold", "")
    process = lab.settle(budget=("--seeds", "8"), options=["--cores", "1"])
    state = "results/tiny/state/pick/my-steps.py-Step/**/*.json"
    until(lambda: process.poll() is not None or [*lab.folder.glob(state)], 120)
    assert process.poll() is None, lab.told("err")
    locks = lab.folder / ".snakemake/locks"
    assert [*locks.glob("*")]
    process.kill()
    process.wait(60)
    assert living(lab.folder)
    following = lab.settle(budget=("--seeds", "8"))  # waits for the workflow of the killed one
    until(lambda: following.poll() is not None or "waiting for" in lab.told("out"), 60)
    (lab.folder / "hold").unlink()
    following.send_signal(signal.SIGINT)
    assert following.wait(60) == 1 and lab.told("err") == "error: interrupted\n"
    until(lambda: not living(lab.folder), 120)
    assert not [*locks.glob("*")]
    assert not lab.results("confirm/**/metrics.tsv")  # no other job was started
    assert len(lab.results("runs/pick/my-steps.py-Step/**/metrics.tsv")) == 1
    assert "this took 8 seeds" in lab.settled(budget=("--seeds", "8"))
