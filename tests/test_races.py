"""Performance profiles over the problems of a study: who reaches the targets, and how fast."""

import math
from pathlib import Path

import pytest
import yaml
from handmade import CLASSES, confirm, describe, resolved, row, save, write
from test_figures import texts
from test_planning import Checkout
from test_results import read

import figures as program
import tables
from optlab.catalogue import optimizers
from optlab.errors import UserError
from optlab.figures import draw, looks, plan
from optlab.figures import profiles as pictures
from optlab.results import profiles, summary
from optlab.runs import record
from optlab.study import reading, table

NEVER = math.inf


pytestmark = pytest.mark.usefixtures("here")


def raced(times, seeds=3, target=0.8, **more):
    """A study of problems; optimizer -> epochs to the target, one number for all seeds or each."""
    common = {**CLASSES, "epochs": [20], "target_accuracy": target, **more}
    exercises = {
        problem: {**common, "optimizers": {name: {"lr": [0.1]} for name in own}}
        for problem, own in times.items()
    }
    study = resolved(exercises, seeds)
    for run in table.runs(study):
        own = times[run.exercise][run.optimizer]
        reached = own if isinstance(own, list) else [own] * seeds
        write(run, [line for seed, epoch in enumerate(reached) for line in curve(run, seed, epoch)])
    return study


def curve(run, seed, reached):
    """Half a second an epoch; the target is reached after this many."""
    marks = [0, *([int(reached)] if 0 < reached < NEVER else []), 20]
    return [
        row(run, seed, n, 1.0, val_loss=1.0, val_accuracy=0.9 if n >= reached else 0.1)
        for n in dict.fromkeys(marks)
    ]


def frame(study):
    return profiles.frame(study, summary.best(summary.summarise(table.runs(study)), {}))


def of(rows, optimizer, measure="epochs"):
    own = rows[(rows["optimizer"] == optimizer) & (rows["measure"] == measure)]
    return [*zip(own["tau"], own["share"], strict=True)]


TWO = {"a": {"sgd": 4, "adam": 2}, "b": {"sgd": 6, "adam": 12}}


def test_profile_by_hand():
    # Problem a: SGD takes twice the time of Adam. Problem b: Adam twice that of SGD; c: 3 times.
    rows = frame(raced({**TWO, "c": {"sgd": 3, "adam": 9}}))
    assert of(rows, "sgd") == [(1, pytest.approx(2 / 3)), (2, 1)]
    assert of(rows, "adam") == [(1, pytest.approx(1 / 3)), (2, pytest.approx(2 / 3)), (3, 1)]
    scores = rows.groupby("optimizer")["score"].first()
    # SGD: 2/3 from 1 to 2, then 1; Adam: 1/3, 2/3 and 1 over a length of 1 each.
    assert scores["sgd"] == pytest.approx((2 / 3 + 2) / 3)
    assert scores["adam"] == pytest.approx((1 / 3 + 2 / 3 + 1) / 3)
    assert set(rows["problems"]) == {3}
    assert of(rows, "adam", "seconds") == of(rows, "adam")  # half a second an epoch


def test_the_score_is_the_integral_of_the_profile():
    for ratios in ([1.0, 1.5, 7.0, NEVER], [1.0, 1.0], [NEVER, NEVER], [4.0, 3.0]):
        found = profiles.steps(ratios)
        ends = [*(tau for tau, _ in found if tau <= 4), 4.0]
        shares = [share for tau, share in found if tau <= 4]
        area = sum(s * (b - a) for s, a, b in zip(shares, ends, ends[1:], strict=False))
        assert profiles.score(ratios) == pytest.approx(area / 3)
    assert profiles.score([1.0, 1.0]) == 1 and profiles.score([NEVER, 4.0]) == 0


def test_a_target_that_is_not_reached_is_never_reached():
    rows = frame(raced({"a": {"sgd": NEVER, "adam": 2}, "b": {"sgd": 6, "adam": 12}}))
    assert of(rows, "sgd") == [(1, 0.5)] and of(rows, "adam") == [(1, 0.5), (2, 1)]
    nobody = frame(raced({"a": {"sgd": NEVER, "adam": NEVER}, "b": {"sgd": 6, "adam": 12}}))
    assert of(nobody, "sgd") == [(1, 0.5)] and of(nobody, "adam") == [(1, 0), (2, 0.5)]


def test_a_problem_counts_as_solved_by_more_than_half_of_the_seeds():
    half = {"a": {"sgd": [4, 4, NEVER, NEVER], "adam": 2}, "b": {"sgd": 6, "adam": 12}}
    assert of(frame(raced(half, seeds=4)), "sgd") == [(1, 0.5)]
    most = {"a": {"sgd": [4, 4, 4, NEVER], "adam": 2}, "b": {"sgd": 6, "adam": 12}}
    assert of(frame(raced(most, seeds=4)), "sgd") == [(1, 0.5), (2, 1)]
    mean = {"a": {"sgd": [2, 8, 8], "adam": 2}, "b": {"sgd": 6, "adam": 12}}  # geometric
    assert of(frame(raced(mean)), "sgd")[1] == (pytest.approx(128 ** (1 / 3) / 2), 1)


def test_the_times_are_those_of_the_confirmation_seeds():
    """Tuning: SGD takes twice and half the time of Adam. Confirmation: always a third."""
    study = raced(TWO, confirm=4)
    for run in table.runs(study):
        found = confirm(study, run, [0.9] * 4)
        epoch = 3 if run.optimizer == "sgd" else 9
        write(found, [line for seed in found.seed_numbers for line in curve(found, seed, epoch)])
        describe(found, record.read(found.folder))
    rows = frame(study)
    assert of(rows, "sgd") == [(1, 1)] and of(rows, "adam") == [(1, 0), (3, 1)]


def test_ties_are_all_the_fastest_even_at_no_time():
    rows = frame(raced({"a": {"sgd": 2, "adam": 2}, "b": {"sgd": 0, "adam": 0, "nadam": 5}}))
    assert of(rows, "sgd") == of(rows, "adam") == [(1, 1)]
    rows = frame(raced({"a": {"sgd": 2, "adam": 2}, "b": {"sgd": 0, "adam": 1}}))
    assert of(rows, "adam") == [(1, 0.5)]


def test_only_optimizers_that_are_on_every_problem_are_compared():
    study = raced({"a": {"sgd": 4, "adam": 2, "nadam": 1}, "b": {"sgd": 6, "adam": 12}})
    problems = [("a", "digits", "softmax"), ("b", "digits", "softmax")]
    assert table.races(study) == (problems, ["sgd", "adam"])
    rows = frame(study)
    assert set(rows["optimizer"]) == {"sgd", "adam"}
    assert of(rows, "adam") == [(1, 0.5), (2, 1)]  # NAdam is not the fastest: it is not there


@pytest.mark.parametrize(
    "times", [{"a": TWO["a"]}, {"a": {"sgd": 4, "adam": 2}, "b": {"sgd": 3, "nadam": 3}}]
)
def test_too_few_problems_or_optimizers_leave_a_header_and_no_picture(times):
    study = raced(times)
    assert table.races(study) == ([], []) and plan.of_study(study) == []
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    assert Path("out/profiles.tsv").read_text() == "\t".join(profiles.COLUMNS) + "\n"


def test_problems_without_a_target_and_other_kinds_do_not_count():
    study = raced(TWO)
    study["exercises"]["b"]["target_accuracy"] = None
    assert table.races(study) == ([], [])
    scaling = {"kind": "scaling", "datasets": ["digits"], "models": ["cnn"]}
    times = {"optimizers": {"sgd": {"lr": [0.1]}}, "target_accuracy": 0.9}
    assert table.races(resolved({"s": {**scaling, **times}, "t": {**scaling, **times}}))[0] == []


def test_data_sets_of_one_exercise_are_problems():
    grid = {"sgd": {"lr": [0.1]}, "adam": {"lr": [0.1]}}
    more = {"datasets": ["digits", "mnist"], "target_accuracy": 0.8}
    study = resolved({"a": {**CLASSES, "optimizers": grid, **more}})
    assert [problem[1] for problem in table.races(study)[0]] == ["digits", "mnist"]


def test_seconds_on_different_devices_are_not_compared():
    study = raced(TWO)
    run = table.runs(study)[0]
    write(run, [{**line, "device": "cuda"} for seed in range(3) for line in curve(run, seed, 4)])
    assert set(frame(study)["measure"]) == {"epochs"}


def test_table_of_the_study():
    study = raced(TWO)
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    rows = read("out/profiles.tsv")
    assert list(rows[0]) == profiles.COLUMNS
    assert [(r["optimizer"], r["measure"], r["tau"], r["share"]) for r in rows][:2] == [
        ("sgd", "epochs", "1", "0.5"),
        ("sgd", "epochs", "2", "1"),
    ]
    assert rows[0]["score"] == "0.833333"


# -- the picture -------------------------------------------------------------------------------


def test_picture_shows_the_profile():
    study = raced(TWO)
    (picture,) = plan.of_study(study)
    figure = draw.DRAWN[picture.kind](picture, pictures.source(study)(picture))
    by_epochs, by_seconds = figure.axes
    assert by_epochs.get_xlabel().startswith("epochs to the target")
    assert by_seconds.get_xlabel().startswith("seconds to the target")
    sgd, adam = by_epochs.get_lines()
    assert list(sgd.get_xdata()) == [1, 2, 4] and sgd.get_drawstyle() == "steps-post"
    assert list(sgd.get_ydata()) == pytest.approx([0.5, 1, 1], abs=0.02)
    assert (sgd.get_ydata() != adam.get_ydata()).all()  # neither hides the other
    found = texts(looks.svg(figure))
    assert "SGD: score 0.83 (epochs), 0.83 (seconds)" in found
    assert "Time to the target accuracy on 2 problems" in found


def test_many_optimizers_have_a_panel_each():
    few = [name for name in optimizers.OPTIMIZERS if name not in ("muon", "lbfgs")]
    study = raced({p: {name: 1 + n for n, name in enumerate(few)} for p in "ab"}, seeds=1)
    (picture,) = plan.of_study(study)
    figure = pictures.draw(picture, pictures.source(study)(picture))
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.axison] == [
        optimizers.of(name).label for name in few
    ]
    assert figure.axes[0].get_title(loc="right") == "1.00 / 1.00"
    assert {"by epochs", "by seconds"} <= set(texts(looks.svg(figure)))


def test_program_draws_the_pictures_of_the_study_from_its_part():
    study = raced({**TWO, "other": {"sgd": 1}})
    file = Path("part.yaml")
    file.write_text(reading.dump(reading.part(study, "a", "b")))
    assert program.main(["--study", str(file), "--output-folder", "figures"]) == 0
    assert [f.name for f in Path("figures").iterdir()] == ["profiles.svg"]
    file.write_text(reading.dump(reading.part(study, "a")))
    assert program.main(["--study", str(file), "--output-folder", "figures"]) == 0
    assert not list(Path("figures").iterdir())


@pytest.mark.parametrize("target, drawn", [(0.8, 1), (None, 0)])
def test_the_workflow_draws_the_pictures_of_the_study_where_it_has_any(tmp_path, target, drawn):
    checkout = Checkout(tmp_path).make()
    grid = {"sgd": {"lr": [0.1]}, "adam": {"lr": [0.1]}}
    one, two = ({**CLASSES, "models": [name], "optimizers": grid} for name in ("softmax", "mlp"))
    exercises = {"one": {**one, "target_accuracy": 0.8}, "two": {**two, "target_accuracy": target}}
    study = {"study": "tiny", "seeds": 1, "device": "cpu", "exercises": exercises}
    checkout.write("study.yaml", yaml.safe_dump(study))
    jobs, _ = checkout.planned()
    assert jobs.get("figures_study", 0) == drawn and jobs["figures_one"] == jobs["tables"] == 1


def test_no_exercise_can_have_the_name_of_that_rule():
    with pytest.raises(UserError, match="cannot be called 'figures_study': a rule has this name"):
        resolved({"figures_study": {**CLASSES, "optimizers": {"sgd": {}}}})
