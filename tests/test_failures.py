"""A run that fails by itself is a result: its reason is told, and the rest of the study goes on."""

import io
import json
import sys
from pathlib import Path
from subprocess import run as call

import pytest
from handmade import CLASSES, confirm, fail, finish, resolved, save
from test_results import read

import confirm as confirm_program
import figures
import retry
import status
import tables
import train
from optlab import files
from optlab.data import prepare
from optlab.errors import UserError
from optlab.machine.processes import LAUNCHER
from optlab.results import verdicts
from optlab.runs import ending, failures, record
from optlab.study import reading, table
from optlab.study.confirmation import Confirmed

SCRIPTS = Path(train.__file__).parent

OWN = """
import os
import torch

class Picky(torch.optim.SGD):
    "Refuses high rates at once, and middle ones after five steps."

    def __init__(self, params, lr=0.1):
        if lr > 0.5:
            raise ValueError("rates above 0.5 are silly")
        super().__init__(params, lr=lr)
        self.taken = 0

    def step(self, closure=None):
        self.taken += 1
        if self.param_groups[0]["lr"] > 0.2 and self.taken > 5:
            raise RuntimeError("lost\\nmy way")
        return super().step(closure)

class Hungry(torch.optim.SGD):
    def step(self, closure=None):
        torch.empty(1 << 46)

class NoFile(torch.optim.SGD):
    def step(self, closure=None):
        open("nowhere")

class NoDisk(torch.optim.SGD):
    def step(self, closure=None):
        raise OSError(5, "Input/output error")

class Mapped(torch.optim.SGD):
    def step(self, closure=None):
        import mmap
        mmap.mmap(-1, 1 << 46)

class Threads(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("can't start new thread")

class Narrow(torch.nn.Module):
    "Its output has one class less than the data."

    def __init__(self, shape, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(64, outputs - 1)

    def forward(self, x):
        return self.layer(x.flatten(1))
"""


@pytest.fixture
def own(here):
    """A folder with code of the user's own."""
    Path("own.py").write_text(OWN)
    return here


def study(optimizers, models=("softmax",), **more):
    """A study of one exercise on prepared data, and its runs."""
    fit = {**CLASSES, "models": list(models), "optimizers": optimizers, **more}
    found = resolved({"fit": fit}, seeds=2)
    runs = table.runs(found)
    for one in {one.data for one in runs}:
        prepare.prepare("digits", {"source": "digits"}, Path(one), None)
    return found, runs


def trained(run, *more):
    """Train a run as the workflow does; returns the exit status and what was printed."""
    words = ["--settings", run.text(), "--output", run.folder, "--state", run.state]
    done = call([sys.executable, str(LAUNCHER), str(SCRIPTS / "train.py"), *words, *more],
                capture_output=True, text=True, check=False)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


PICKY, SGD = "own.py:Picky", "sgd"


@pytest.mark.parametrize(
    ("optimizer", "model", "rate", "reason"),
    [
        (PICKY, "softmax", 0.6, "own.py:Picky refuses {'lr': 0.6}: rates above 0.5 are silly"),
        (PICKY, "softmax", 0.3, "own.py:17: RuntimeError: lost my way"),
        ("own.py:NoFile", "softmax", 0.1, "own.py:26: FileNotFoundError: [Errno 2] No such file"),
        ("own.py:Missing", "softmax", 0.1, "own.py:Missing: there is no 'Missing' in own.py"),
        (SGD, "own.py:Narrow", 0.1, "own.py:Narrow returns the shape [1077, 9] for 1077 examples"),
    ],
)
def test_a_refusal_is_recorded_with_its_reason(own, optimizer, model, rate, reason):
    _, (run,) = study({optimizer: {"lr": [rate]}}, [model])
    code, told = trained(run, "--record-failure")
    assert code == 0 and f"failed: {reason}" in told
    assert failures.reason(run.folder).startswith(reason)
    rows = read(f"{run.folder}/metrics.tsv")
    assert [(row["seed"], row["status"], row["train_loss"]) for row in rows] == [
        ("0", "failed", ""),
        ("1", "failed", ""),
    ]
    assert not Path(run.state).exists()  # nothing is running any more
    # By hand it is one line and a status.
    code, told = trained(run)
    assert code == 1 and told.splitlines()[-1].startswith(f"error: {reason}")
    assert "Traceback" not in told


def test_a_fault_of_the_machine_is_no_result(own):
    _, (run,) = study({"own.py:Hungry": {"lr": [0.1]}})
    code, told = trained(run, "--record-failure")
    assert code == 1 and "error: not enough memory" in told
    assert not Path(run.folder, "metrics.tsv").exists()
    # In the user's own lines too, where a call of the system lacks something.
    for name in ("Mapped", "NoDisk", "Threads"):
        _, (scarce,) = study({f"own.py:{name}": {"lr": [0.1]}})
        code, told = trained(scarce, "--record-failure")
        assert code == 1 and not Path(scarce.folder, "metrics.tsv").exists(), name
    # Nor are data that cannot be read.
    Path(run.tensors).write_bytes(b"")
    code, told = trained(run, "--record-failure")
    assert code == 1 and "damaged" in told
    assert not Path(run.folder, "metrics.tsv").exists()


def test_several_processes_record_one_failure(own):
    _, (run,) = study({PICKY: {"lr": [0.3]}}, gpus=[2], device="cpu")
    code, told = trained(run, "--record-failure")
    assert code == 0, told
    assert failures.reason(run.folder) == "own.py:17: RuntimeError: lost my way"


def test_a_cured_run_is_trained_and_a_failed_one_tried_again(own):
    _, (run,) = study({PICKY: {"lr": [0.3]}})
    for _ in range(2):  # it is not kept as if it were trained
        assert trained(run, "--record-failure")[0] == 0
        assert failures.reason(run.folder) and not record.seeds(run)
    Path("own.py").write_text(OWN.replace("self.taken > 5", "False"))
    assert trained(run, "--record-failure")[0] == 0
    assert failures.reason(run.folder) is None
    assert [entry["seed"] for entry in record.seeds(run)] == [0, 1]


def results(found, *wanted):
    """Tables and pictures of a study, by the programs; returns the rows of the tables wanted."""
    path = str(save(found))
    assert tables.main(["--study", path, "--output-folder", "tables"]) == 0
    words = ["--study", path, "--exercise", "fit", "--output-folder", "figures"]
    assert figures.main(words) == 0
    return [read(f"tables/{name}.tsv") for name in wanted]


def test_tables_and_pictures_are_made_without_what_failed(here):
    claims = [
        {"claim": "a", "order": [{"optimizer": "adam"}, {"optimizer": "sgd", "lr": 1}]},
        {"claim": "b", "diverges_from": {"optimizer": "sgd", "lr": 1}},
        {"claim": "c", "best": {"optimizer": "sgd", "lr": 0.1}},
    ]
    grid = {"sgd": {"lr": [0.1, 1]}, "adam": {"lr": [0.1]}, "adamw": {"lr": [0.1, 0.2]}}
    found = resolved({"fit": {**CLASSES, "optimizers": grid, "claims": claims}})
    low, high, adam, *adamw = table.runs(found)
    for run in (low, adam):
        finish(run, [0.5] * 3, val_accuracy=[0.9, 0.91, 0.92], test_accuracy=[0.9, 0.91, 0.92])
    for run in (high, *adamw):
        fail(run, "it will not\tdo")
    runs, best, optimizers, judged = results(found, "runs", "best", "optimizers", "claims")
    assert [row["status"] for row in runs] == ["ok", "failed", "ok", "failed", "failed"]
    assert [row["reason"] for row in runs][:2] == ["", "it will not\tdo"]
    chosen = [(r["optimizer"], r["lr"], r["settings"], r["failed_settings"]) for r in best]
    assert chosen == [
        ("sgd", "0.1", "2", "1"),
        ("adam", "0.1", "1", "0"),
        ("adamw", "0.1", "2", "2"),
    ]
    last = optimizers[-1]
    assert (last["optimizer"], last["rank"], last["verdict"]) == ("adamw", "3", "failed")
    assert last["warnings"] == "it will not\tdo"
    assert "1 setting failed" in optimizers[0]["warnings"] + optimizers[1]["warnings"]
    assert [row["verdict"].partition(":")[0] for row in judged] == ["open", "does not hold", "open"]
    assert "failed: it will not" in judged[0]["verdict"]
    assert Path("figures/loss-adamw.svg").read_text().count("every run of this picture failed") == 1
    assert "AdamW" not in Path("figures/comparison-best.svg").read_text()


def test_a_study_of_which_everything_failed_has_all_its_files(here):
    found = resolved({"fit": {**CLASSES, "optimizers": {"sgd": {"lr": [1]}, "adam": {"lr": [1]}}}})
    for run in table.runs(found):
        fail(run, "no")
    best, optimizers = results(found, "best", "optimizers")
    assert [row["status"] for row in best] == ["failed", "failed"]
    assert [row["verdict"] for row in optimizers] == ["failed", "failed"]


def test_a_failed_scaling_run_leaves_the_others(here):
    from handmade import SCALING, timed

    found = resolved({"fit": {**SCALING, "gpus": [1, 2], "scaling": ["strong"]}})
    one, two = table.runs(found)
    timed(one, [10.0] * 3)
    fail(two, "no")
    (rows,) = results(found, "scaling")
    states = {(row["scaling"], row["gpus"]): row["status"] for row in rows}
    assert states[("strong", "1")] == "ok" and states[("strong", "2")] == "failed"
    claim = {
        "claim": "x",
        "order": [{"scaling": "strong", "gpus": 2}, {"scaling": "strong", "gpus": 1}],
        "figure": "speedup",
    }
    found["exercises"]["fit"]["claims"] = [claim]
    (verdict,) = verdicts.frame(found)["verdict"]
    assert verdict.startswith("open: ") and verdict.endswith("failed: no")


def test_status_tells_failed_runs_with_their_reasons(here, capsys):
    found = resolved({"fit": {**CLASSES, "optimizers": {"sgd": {"lr": [0.1, 1]}}}})
    _, high = table.runs(found)
    fail(high, "it will not do")
    standing = status.standing(high)
    assert (standing.state, standing.message) == ("failed", "it will not do")


def test_extension_and_confirmation_go_on_when_a_rate_is_refused(own, capsys, monkeypatch):
    optimizers = {PICKY: {"lr": [0.01, 0.1]}, SGD: {"lr": [0.05, 0.15]}}
    found, runs = study(optimizers, confirm=4, extend=2, metric="loss")
    for run in runs:
        assert trained(run, "--record-failure")[0] == 0
    unit = table.units(found)[0]
    monkeypatch.setattr(sys, "stdin", io.StringIO(unit.text()))
    assert confirm_program.main(["--output", unit.file]) == 0
    confirmed = Confirmed.read(unit.file)
    assert [run.knobs["lr"] for run in confirmed.added] == [1]
    assert failures.reason(confirmed.added[0].folder) and confirmed.chosen.knobs["lr"] == 0.1
    assert confirmed.edge == "" and confirmed.seeds == 4  # a rate that fails bounds the grid


def test_a_unit_of_which_everything_failed_confirms_nothing(own, monkeypatch):
    found, runs = study({PICKY: {"lr": [0.3, 0.6]}, SGD: {"lr": [0.1]}}, confirm=4)
    for run in runs[:2]:
        fail(run, "no")
    unit = table.units(found)[0]
    monkeypatch.setattr(sys, "stdin", io.StringIO(unit.text()))
    assert confirm_program.main(["--output", unit.file]) == 0
    assert Confirmed.read(unit.file).seeds == 0
    assert "failed: no" in status.unit_line(unit)


def test_a_damaged_record_has_no_failure(here):
    for text in ("", "[]", '{"failure": 3}', "{"):
        Path("run.json").write_text(text)
        assert failures.reason(".") is None
    Path("run.json").write_text(json.dumps({"failure": "why"}))
    assert failures.reason(".") == "why"


def test_only_errors_with_own_code_are_the_run_s():
    built_in = table.runs(resolved({"fit": {**CLASSES, "optimizers": {"sgd": {"lr": [0.1]}}}}))[0]
    with pytest.raises(RuntimeError), failures.recognised(built_in):
        raise RuntimeError("a fault of this program")
    with pytest.raises(failures.RunFailed), failures.recognised(built_in):
        raise UserError("the data refuse")


def test_failed_runs_are_forgotten_on_request(here, capsys):
    grid = {"sgd": {"lr": [0.1, 1]}, "adam": {"lr": [0.1]}}
    found = resolved({"fit": {**CLASSES, "optimizers": grid, "confirm": 4}})
    low, high, adam = table.runs(found)
    finish(low, [0.5] * 3)
    fail(high, "no")
    fail(confirm(found, adam, [0.9] * 4), "neither")
    confirm(found, low, [0.9] * 4)
    files.write(Path("study.yaml"), reading.dump(found))
    assert retry.main(["--study", "study.yaml"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"forgotten: {high.path}: no",
        f"forgotten: confirm/{adam.unit}: neither",
        "2 failed runs will be tried again",
    ]
    # What did not fail is kept, and is found again by the job of the unit.
    assert [path.parts[4] for path in Path("results").rglob("*.json")] == ["sgd"]


def test_the_end_of_a_call_names_a_few_failures_and_where_the_answers_are(here):
    grid = {"sgd": {"lr": [0.1, 0.2, 0.3, 0.4]}, "adam": {"lr": [0.1]}}
    found = resolved({"fit": {**CLASSES, "optimizers": grid}})
    *lost, kept = table.runs(found)
    for run in lost:
        fail(run, "its \x1b[31mred\x1b[0m reason")
    finish(kept, [0.5] * 3)
    files.write(Path("results/hand/tables/optimizers.tsv"), "")
    told = ending.lines("results/hand", table.runs(found), [])
    assert told[:3] == [f"failed: {run.path}: its \\x1b[31mred\\x1b[0m reason" for run in lost[:3]]
    assert told[3].startswith("4 of 5 runs failed; they are tried again when")
    assert told[4:] == ["the answers: results/hand/tables/optimizers.tsv, results/hand/figures"]
