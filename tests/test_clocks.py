"""Times that were measured beside other work: how they are known, and where that is said."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from handmade import CLASSES, SCALING, describe, resolved, row, settings, timed, train_one, write
from test_comparison import confirmed, end

from optlab.data import prepare
from optlab.figures import draw, plan, scaling_axes
from optlab.results import clocks
from optlab.results.tables import tables
from optlab.runs import record as records
from optlab.study import table
from optlab.training import datasets
from optlab.training.loop import Clock

pytestmark = pytest.mark.usefixtures("here")


def record(run, seconds, cpu):
    """A record in which each seed of a finished run took so long and had a core for so long."""
    times = {"seconds": seconds, "evaluation_seconds": 0.1, "cpu_seconds": cpu}
    known = {name: value for name, value in times.items() if value is not None}
    describe(run, {"seeds": [{"seed": seed, **known} for seed in run.seed_numbers]})


def test_a_thread_that_waits_has_no_core_meanwhile():
    clock = Clock(torch.device("cpu"))
    with clock:
        time.sleep(0.2)
        with clock.paused():
            sum(range(2_000_000))  # not counted
    assert clock.cpu < 0.1 * clock.seconds


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs to choose a core")
def test_a_thread_that_shares_its_core_has_a_part_of_it():
    """Two other processes compute on the only core that this one may use."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        time.sleep(0.3)  # until they compute
        clock, until = Clock(torch.device("cpu")), time.perf_counter() + 1
        with clock:
            while time.perf_counter() < until:
                pass
    finally:
        for other in others:
            other.kill()
            other.wait()
        os.sched_setaffinity(0, usual)
    assert 0 < clock.cpu < clocks.ALONE * clock.seconds


@pytest.mark.parametrize(
    ("seconds", "cpu", "device", "gpus", "said"),
    [
        (2.0, 0.8, "cpu", 1, "left it 40% of a core"),
        (9.0, 1.0, "cpu", 1, "left it 11% of a core"),
        (2.0, 1.9, "cpu", 1, ""),
        (2.0, 0.2, "cuda", 1, ""),  # it waits for the GPU
        (2.0, 0.2, "cpu", 2, ""),  # it waits for the other process
        (2.0, None, "cpu", 1, ""),  # recorded by an earlier version
        (0.01, 0.002, "cpu", 1, ""),  # too short to say
    ],
)
def test_what_is_said_of_a_run(seconds, cpu, device, gpus, said):
    study = resolved({"fit": {**CLASSES, "gpus": [gpus], "optimizers": {"sgd": {"lr": [0.1]}}}})
    (run,) = table.runs(study)
    write(run, [row(run, seed, epoch, 0.5, device=device) for seed in range(3) for epoch in (0, 2)])
    record(run, seconds, cpu)
    assert tables(study)["runs"]["other_work"].tolist() == [said]
    assert tables(study)["best"]["other_work"].tolist() == [said]


def test_optimizers_have_it_as_a_warning():
    study, runs = confirmed([0.9] * 8, [0.8] * 8)
    end(runs[1], 0.9)
    _, run = (table.confirmed(study)[unit.path].run for unit in table.units(study))
    record(run, 1.0, 0.5)
    found = tables(study)["optimizers"].set_index("optimizer")["warnings"]
    assert "its seconds are too long: other work left it 50% of a core" in found["adam"]
    assert "other work" not in found["sgd"]


def test_a_speed_up_over_a_run_beside_other_work_is_marked():
    study = resolved({"scaling": {**SCALING, "gpus": [1, 2], "scaling": ["strong"]}})
    for run in table.runs(study):
        timed(run, [10.0, 10.0, 10.0])
        file = Path(run.folder, "run.json")
        content = json.loads(file.read_text())
        for seed in content["seeds"]:
            seed["cpu_seconds"] = 4.0
        describe(run, content)
    rows = tables(study)["scaling"]
    one = rows["gpus"] == 1
    assert set(rows.loc[one, "other_work"]) == {"left it 40% of a core"}
    assert set(rows.loc[~one & (rows["scaling"] == "strong"), "other_work"]) == {""}
    (picture,) = (p for p in plan.pictures(study, "scaling") if p.kind == "scaling-speedup")
    figure = draw.DRAWN[picture.kind](picture, scaling_axes.source(study, "scaling"))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "with one process, measured beside other work" in texts


def test_training_counts_it_and_the_record_has_it(here):
    prepare.prepare("line", {"source": "line"}, here / "line.json", None)
    run = settings("linear", "sgd", {"lr": 0.01}, batch_size="full", epochs=20)
    outcome = train_one(run, datasets.load(here / "line.json"), 0)
    assert 0 < outcome.cpu_seconds <= 1.05 * outcome.seconds
    kept = records.of_seed(0, outcome, 1, "cpu")["cpu_seconds"]
    assert kept == pytest.approx(outcome.cpu_seconds, abs=1e-6)
