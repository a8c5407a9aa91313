"""Learning-rate schedules: their closed forms, how they are written, and where they are refused."""

import math
from itertools import pairwise

import pytest
import torch
from handmade import settings, train_one

from optlab.catalogue import schedules
from optlab.data import prepare
from optlab.errors import UserError
from optlab.study import reading, table
from optlab.training import datasets, optimizers

STEPS, LR = 40, 0.5


def rates(schedule, steps=STEPS):
    """The learning rate of each step."""
    run = settings("softmax", "sgd", {"lr": LR}, schedule=schedules.text(schedule))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=LR)
    scheduler = optimizers.build_scheduler(run, optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def half_cosine(k, length, high=LR, low=0.0):
    return low + (high - low) * (1 + math.cos(math.pi * k / length)) / 2


FORMS = {
    "step": lambda k: LR * 0.1 ** (k // 14),
    "step,drops=3,gamma=0.5": lambda k: LR * 0.5 ** (k // 10),
    "cosine": lambda k: half_cosine(k, STEPS),
    "cosine,final=0.1": lambda k: half_cosine(k, STEPS, low=0.1 * LR),
    "warmup": lambda k: LR * min(1, (k + 1) / 5),
    "warmup_cosine,warmup=0.2,final=0.5": lambda k: (
        LR * (k + 1) / 9 if k < 8 else half_cosine(k - 8, STEPS - 8, low=0.5 * LR)
    ),
    "one_cycle,warmup=0.25,start=0.1,final=0.01": lambda k: (
        half_cosine(9.25 - k, 9.25, low=0.1 * LR)
        if k <= 9.25
        else half_cosine(k - 9.25, STEPS - 9.25, low=0.01 * LR)
    ),
}


@pytest.mark.parametrize("schedule", FORMS)
def test_rates_equal_the_closed_form(schedule):
    assert rates(schedule) == pytest.approx([FORMS[schedule](k) for k in range(STEPS)], rel=1e-9)


def test_every_schedule_has_a_closed_form_and_fits_runs_of_every_length():
    assert {name.split(",")[0] for name in FORMS} | {"constant"} == set(schedules.SCHEDULES)
    for name in set(schedules.SCHEDULES) - {"constant"}:
        for steps in (1, 2, 3, 1000):
            found = rates(name, steps)
            assert all(0 <= rate <= LR * (1 + 1e-9) for rate in found), name


EDGE = (1e-12, 0.1, 0.25, 0.5, 0.9, 0.999999)
EDGES = [
    *({"name": "step", "drops": d, "gamma": g} for d in (1, 2, 3, 4, 100) for g in (1e-12, 0.5)),
    *({"name": "cosine", "final": f} for f in (0, 1e-12, 1)),
    *({"name": "warmup", "warmup": w} for w in EDGE),
    *({"name": "warmup_cosine", "warmup": w, "final": f} for w in EDGE for f in (0, 1)),
    *({"name": "one_cycle", "warmup": w, "start": s, "final": f}
      for w in EDGE for s in (1e-12, 0.5) for f in (0, 1e-12, 1)),
]  # fmt: skip


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 9])
def test_every_schedule_has_its_shape_at_its_edges_or_is_refused(steps):
    for schedule in EDGES:
        found, name = rates(schedule, steps), schedule["name"]
        assert all(0 <= rate <= LR * (1 + 1e-9) for rate in found), schedule  # no NaN either
        if schedules.unfit(schedules.text(schedule), steps):
            continue
        top = found.index(max(found))
        rise, fall = found[: top + 1], found[top:]
        same = [rise == pytest.approx(sorted(rise)), fall == pytest.approx(sorted(fall)[::-1])]
        assert all(same), (schedule, found)
        if name == "step":
            assert sum(a != b for a, b in pairwise(found)) == schedule["drops"], (schedule, found)
        if name in ("warmup", "warmup_cosine"):
            assert found[0] < max(found) == pytest.approx(LR), (schedule, found)


def test_a_rise_that_ends_at_the_first_step_begins_there():
    """One cycle divided by the length of the rise, which is zero."""
    for steps in (1, 3, 4, 9, 19):
        found = rates({"name": "one_cycle", "warmup": 1 / (steps + 1), "start": 0.1}, steps)
        assert found[0] == pytest.approx(0.1 * LR)
        assert steps == 1 or found[1] == max(found)


@pytest.mark.parametrize(
    ("schedule", "epochs", "words"),
    [
        ("{name: step, drops: 5}", 5, "step,drops=5 needs at least 6 steps, and a run has 5"),
        ("warmup", 1, "warmup needs at least 2 steps, and a run has 1"),
        ("one_cycle", 2, "one_cycle needs at least 3 steps, and a run has 2"),
    ],
)
def test_a_run_that_is_too_short_for_its_schedule_is_told(write, schedule, epochs, words):
    text = f"epochs: [{epochs}]\n    schedules: [{schedule}]"
    with pytest.raises(UserError) as caught:
        reading.load(write({"epochs: [10]": text}))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"study.yaml:8: exercises.fit.schedules: {words}; ")
    reading.load(write({"epochs: [10]": text.replace(str(epochs), str(epochs + 1), 1)}))


def test_one_schedule_has_one_text():
    assert schedules.text({"name": "cosine", "final": 0.1}) == "cosine,final=0.1"
    assert schedules.text("cosine, final=0.10") == "cosine,final=0.1"
    assert schedules.text({"name": "cosine", "final": 0}) == schedules.text("cosine") == "cosine"


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", "unknown schedule 'cosin'; did you mean 'cosine'? allowed: constant, step"),
        ({"final": 0.1}, "unknown schedule ''"),
        ("cosine,warmup=0.1", "the schedule cosine has no option 'warmup'; it has final"),
        ("constant,final=0", "the schedule constant has no option 'final'; it has none"),
        ("cosine,final=2", "final = 2.0 is not allowed; a number from 0 to 1"),
        ("cosine,final=nan", "final = nan is not allowed"),
        ("cosine,final", "final = None is not allowed"),
        ("step,drops=1.5", "drops = 1.5 is not allowed; a whole number from 1 to 100"),
        ("warmup,warmup=0", "warmup = 0.0 is not allowed; a number above 0 and below 1"),
    ],
)
def test_bad_schedules_are_refused_by_name(schedule, message):
    with pytest.raises(UserError) as error:
        schedules.text(schedule)
    assert str(error.value).startswith(message)


def runs_of(write, schedules_):
    old = "epochs: [10]"
    return table.runs(reading.load(write({old: f"{old}\n    schedules: {schedules_}"})))


def test_schedules_multiply_the_grid_and_the_constant_one_changes_no_path(write):
    (plain,) = table.runs(reading.load(write()))
    constant, cosine = runs_of(write, "[constant, {name: cosine, final: 1e-1}]")
    assert constant == plain and "schedule" not in " ".join([plain.path, *plain.options()])
    assert cosine.path == f"{plain.path}+schedule=cosine-final=0.1"
    words = cosine.options()
    assert words[words.index("--schedule") + 1] == "cosine,final=0.1"
    assert cosine.matches({"optimizer": "sgd", "schedule": "cosine,final=0.1"})


def test_a_bad_schedule_of_a_study_is_told_with_its_line(write):
    with pytest.raises(UserError) as caught:
        runs_of(write, "[constant, cosin]")
    assert str(caught.value).startswith(
        "study.yaml:8: exercises.fit.schedules.1: unknown schedule 'cosin'; did you mean 'cosine'? "
    )


def test_training_follows_the_schedule(tmp_path):
    """SGD on one batch: with a rate of zero at the end, the last steps change next to nothing."""
    prepare.prepare("line", {"source": "line"}, tmp_path / "line.json", None)
    data = datasets.load(tmp_path / "line.json")

    def losses(schedule):
        shape = {"batch_size": "full", "epochs": 50, "precision": "float64"}
        run = settings("linear", "sgd", {"lr": 0.01}, schedule=schedule, **shape)
        return [row.train_loss for row in train_one(run, data, 0).evaluations]

    constant, cosine = losses("constant"), losses("cosine")
    assert cosine[1] == pytest.approx(constant[1])  # the first step has the whole rate
    assert cosine[-2] - cosine[-1] < 0.02 * (constant[-2] - constant[-1])
