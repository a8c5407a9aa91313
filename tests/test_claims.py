"""Claims of a study: which are wrong, and what is said of those that are judged."""

import csv
from pathlib import Path

import pytest
from handmade import CLASSES, LINE, descend, finish, resolved, save

import tables
from optlab.errors import UserError
from optlab.results import summary, verdicts
from optlab.results.reading import FIGURES
from optlab.study import reading, schema, table

SWEEP = {
    **CLASSES,
    "optimizers": {"sgd": {"lr": [0.01, 0.1, 1]}, "adam": {"lr": [0.01]}},
}
SGD = {"optimizer": "sgd", "lr": 0.1}
ADAM = {"optimizer": "adam"}
TEST = {"figure": "test_accuracy"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def claimed(claim, exercise=SWEEP, seeds=3):
    """A study with one claim, and its runs."""
    made = resolved({"fit": {**exercise, "claims": [{"claim": "It is so", **claim}]}}, seeds)
    return made, table.runs(made)


def judged(claim, losses, exercise=SWEEP, **more):
    """The verdict where the seeds of each run end at these losses; None diverges."""
    made, runs = claimed(claim, exercise, seeds=len(losses[0]))
    for number, (run, values) in enumerate(zip(runs, losses, strict=True)):
        figures = {name: values[number] for name, values in more.items()}
        finish(run, values, val_loss=values, **figures)
    (stated,) = made["exercises"]["fit"]["claims"]
    return verdicts.judge(stated, summary.summarise(runs))


FAR = [[3.0, 3.1, 3.2], [1.0, 1.1, 1.3], [2.0, 2.2, 2.1], [0.5, 0.6, 0.75]]
NEAR = [[3.0, 3.1, 3.2], [1.0, 1.3, 1.1], [1.1, 1.2, 1.0], [1.05, 1.15, 1.2]]


@pytest.mark.parametrize(
    ("published", "accuracies", "verdict"),
    [
        (0.992, [0.9921], "agrees"),  # rounds to it
        (0.992, [0.9926], "not enough seeds to say"),
        (0.99, [0.9926], "agrees"),  # fewer digits were published
        (0.992, [0.9921, 0.9919, 0.9923], "agrees"),
        # The interval of these three, +-0.0025 about 0.9953, ends beyond what rounds to 0.992 ...
        (0.992, [0.9953, 0.9943, 0.9963], "differs"),
        (0.993, [0.9953, 0.9943, 0.9963], "agrees"),  # ... and reaches what rounds to 0.993
        (1, [0.9953, 0.9943, 0.9963], "agrees"),
    ],
)
def test_published_figure_agrees_where_it_reaches_into_the_interval(published, accuracies, verdict):
    losses = [[0.1] * len(accuracies)] * 4
    claim = {"value": SGD, **TEST, "published": published}
    found = judged(claim, losses, test_accuracy=[accuracies] * 4)
    assert found["verdict"] == verdict
    assert found["published"] == str(published)
    assert float(found["measured"]) == pytest.approx(sum(accuracies) / len(accuracies), rel=1e-5)


def test_settings_of_several_runs_mean_the_best_on_validation_data():
    accuracies = [[0.1] * 3, [0.7, 0.71, 0.72], [0.9] * 3, [0.8] * 3]
    claim = {"value": {"optimizer": "sgd"}, **TEST, "published": 0.71}
    found = judged(claim, FAR, test_accuracy=accuracies)
    assert (found["measured"], found["verdict"]) == ("0.71", "agrees")


def test_value_of_a_run_that_diverges_differs():
    claim = {"value": SGD, "figure": "train_loss", "published": 0.1}
    losses = [[0.1] * 3, [0.1, None, 0.1], [0.1] * 3, [0.1] * 3]
    found = judged(claim, losses)
    assert (found["measured"], found["verdict"]) == ("diverged", "differs")


@pytest.mark.parametrize(
    ("settings", "losses", "verdict"),
    [
        (SGD, FAR, "holds"),
        ({**SGD, "lr": 1}, FAR, "does not hold"),
        (SGD, NEAR, "no difference shown"),
        ({**SGD, "lr": 1}, NEAR, "no difference shown"),
        ({**SGD, "lr": 0.01}, NEAR, "does not hold"),
        (SGD, [values[:2] for values in FAR], "not enough seeds to say"),
        # Divergence decides without a test, by one seed as by many.
        (SGD, [[None] * 2, [1.0, 1.1], [None, 2.0], [1.0, 1.0]], "holds"),
        ({**SGD, "lr": 1}, [[None] * 2, [1.0, 1.1], [None, 2.0], [1.0, 1.0]], "does not hold"),
        (SGD, [[None] * 3, [None] * 3, [None] * 3, [1.0] * 3], "no difference shown"),
    ],
)
def test_best_is_tested_against_every_other_setting_of_the_optimizer(settings, losses, verdict):
    found = judged({"best": settings}, losses)
    assert found["verdict"] == verdict
    assert found["published"] == f"sgd,lr={settings['lr']}"


def test_best_names_the_setting_that_is():
    claim = {"best": {**SGD, "lr": 1}}
    assert judged(claim, FAR)["measured"] == "sgd,lr=0.1 (1.133)"
    # Not the one with the lowest loss if one of its seeds diverges.
    assert judged(claim, [[None, 0.1, 0.1], *FAR[1:]])["measured"] == "sgd,lr=0.1 (1.133)"


def test_figure_decides_what_is_best_and_accuracies_are_better_high():
    accuracies = [[0.7, 0.71, 0.72], [0.8, 0.82, 0.81], [0.9, 0.93, 0.92], [0.5] * 3]
    assert (
        judged({"best": SGD, **TEST}, FAR, test_accuracy=accuracies)["verdict"] == "does not hold"
    )
    claim = {"best": {**SGD, "lr": 1}, **TEST}
    assert judged(claim, FAR, test_accuracy=accuracies)["verdict"] == "holds"


def test_holm_corrects_for_all_pairs_of_a_claim():
    # t of 4.4 with 2 degrees of freedom is p = 0.048: enough for one pair, too much for two.
    pair = {"order": [SGD, {**SGD, "lr": 1}]}
    losses = [[9.0] * 3, [1.0, 1.0, 1.0], [1.25, 1.5, 1.75], [9.0] * 3]
    losses[2] = [1 + d for d in (0.6, 1.0, 1.4)]
    assert judged(pair, losses)["verdict"] == "holds"
    losses[0] = [1 + d for d in (0.6, 1.0, 1.4)]
    assert judged({"best": SGD}, losses)["verdict"] == "no difference shown"


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        ([ADAM, SGD, {**SGD, "lr": 1}], "holds"),
        ([SGD, ADAM, {**SGD, "lr": 1}], "does not hold"),
        ([ADAM, {"optimizer": "sgd"}], "holds"),
    ],
)
def test_order_is_tested_between_neighbours(order, verdict):
    assert judged({"order": order}, FAR)["verdict"] == verdict


def test_order_is_told_as_it_is_claimed_and_as_it_is_measured():
    found = judged({"order": [SGD, ADAM]}, FAR)
    assert found["published"] == "sgd,lr=0.1 > adam"
    assert found["measured"] == "adam (0.6167) > sgd,lr=0.1 (1.133)"


def line(rates, steps, claim, optimizer="sgd"):
    """The verdict on exercise 1, where the loss is multiplied by one of ``steps`` an epoch."""
    exercise = {**LINE, "seeds": 1, "optimizers": {optimizer: {"lr": rates}}}
    made, runs = claimed(claim, exercise)
    for run, step in zip(runs, steps, strict=True):
        descend(run, step)
    (stated,) = made["exercises"]["fit"]["claims"]
    return verdicts.judge(stated, summary.summarise(runs))


@pytest.mark.parametrize(
    ("rates", "steps", "measured", "verdict"),
    [
        ([0.1, 0.01, 0.05], [2, 0.9, 2], "ok up to lr=0.01, diverges from lr=0.05", "holds"),
        ([0.01, 0.03, 0.05], [0.9, 2, 2], "ok up to lr=0.01, diverges from lr=0.03", None),
        ([0.01, 0.05, 0.1], [0.9, 0.9, 2], "ok up to lr=0.05, diverges from lr=0.1", None),
        ([0.01, 0.05, 0.1], [0.9, 2, 0.9], "ok up to lr=0.1, diverges from lr=0.05", None),
        ([0.01, 0.05], [0.9, 0.9], "ok up to lr=0.05, none diverges", None),
        ([0.05], [2], "diverges from lr=0.05", "holds"),
    ],
)
def test_lowest_rate_that_diverges(rates, steps, measured, verdict):
    found = line(rates, steps, {"diverges_from": {"optimizer": "sgd", "lr": 0.05}})
    assert (found["measured"], found["verdict"]) == (measured, verdict or "does not hold")


def test_one_seed_says_all_where_nothing_is_random():
    best = {"best": {"optimizer": "sgd", "lr": 0.01}}
    assert line([0.01, 0.02], [0.90, 0.91], best)["verdict"] == "holds"
    assert line([0.01, 0.02], [0.91, 0.90], best)["verdict"] == "does not hold"
    assert line([0.01, 0.02], [0.9, 0.9], best)["verdict"] == "no difference shown"
    value = {"value": {"optimizer": "sgd"}, "figure": "train_loss", "published": 1}
    assert line([0.01], [0.999], value)["verdict"] == "differs"


PLACE = "study.yaml:7: exercises.fit.claims.0"
SETTINGS = '{"optimizer": "sgd", "lr": 0.2}'
WRONG = {
    "{best: {optimizer: sgd, lr: 0.01}}": ": the key 'claim' is missing",
    "{claim: a}": ": a claim has one of the keys value, best, order, diverges_from",
    "{claim: a, best: {optimizer: sgd}, order: [{optimizer: sgd, lr: 0.01}, {optimizer: sgd}]}": (
        ": a claim has one of the keys value, best, order, diverges_from"
    ),
    "{claim: a, valu: {optimizer: sgd}}": (
        ".valu: unknown key; did you mean 'value'? allowed: claim, value, figure, published, best, "
        "order, diverges_from"
    ),
    "{claim: a, value: {optimizer: sgd}, figure: train_loss}": (
        ": the key 'published' is missing: a value has both figure and published"
    ),
    "{claim: a, value: {optimizer: sgd}, published: 1}": (
        ": the key 'figure' is missing: a value has both figure and published"
    ),
    "{claim: a, best: {optimizer: sgd, lr: 0.01}, published: 1}": (
        ".published: only claims with the key value have it"
    ),
    "{claim: a, diverges_from: {optimizer: sgd, lr: 0.01}, figure: seconds}": (
        ".figure: only claims with the key value or best or order have it"
    ),
    "{claim: a, value: {optimizer: sgd}, figure: train_loss, published: low}": (
        ".published: 'low' is not allowed; a number"
    ),
    "{claim: a, best: {optimizer: adm, lr: 0.01}}": (
        ".best.optimizer: 'adm' is not in this exercise; allowed: sgd"
    ),
    "{claim: a, best: {optimizer: sgd, lr: 0.2}}": (
        f".best: {SETTINGS} is not in the exercise's grid"
    ),
    "{claim: a, best: {optimizer: sgd}}": '.best: {"optimizer": "sgd"} is all that is tried of sgd',
    "{claim: a, order: [{optimizer: sgd, lr: 0.2}, {optimizer: sgd}]}": (
        f".order.0: {SETTINGS} is not in the exercise's grid"
    ),
    "{claim: a, diverges_from: {optimizer: sgd}}": (
        ".diverges_from: the key 'lr' is missing: the lowest learning rate that diverges"
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_mistake_in_a_claim_is_one_line(write, text):
    with pytest.raises(UserError) as caught:
        reading.load(write({"epochs: [10]": f"claims: [{text}]"}))
    assert str(caught.value) == PLACE + WRONG[text]


@pytest.mark.parametrize(
    ("axes", "claim", "message"),
    [
        (
            {"models": ["softmax", "mlp"]},
            {"best": SGD},
            "of several problems; add dataset or model",
        ),
        (
            {"batch_sizes": [50, 100]},
            {"diverges_from": SGD},
            "describes several runs; add the knobs in which they differ",
        ),
    ],
)
def test_settings_that_leave_open_what_is_meant(axes, claim, message):
    with pytest.raises(UserError, match=message):
        claimed(claim, {**SWEEP, **axes})
    ((kind, settings),) = claim.items()
    narrower = {"model": "mlp"} if "models" in axes else {"batch_size": 50}
    claimed({kind: {**settings, **narrower}}, {**SWEEP, **axes})


def test_figures_are_those_of_the_tables():
    claim = schema.load("config")["$defs"]["claim"]
    assert tuple(claim["properties"]["figure"]["enum"]) == FIGURES


def test_scaling_exercises_and_searches_have_no_claims(write):
    with pytest.raises(UserError, match="claims: unknown key"):
        reading.load(write({"epochs: [10]": "kind: scaling\n    claims: []"}))


def test_table():
    made, runs = claimed({"value": ADAM, **TEST, "published": 0.9})
    made["exercises"]["fit"]["claims"].append({"claim": "Two\n\tlines", "best": SGD})
    for run, values in zip(runs, FAR, strict=True):
        finish(run, values, val_loss=values, test_accuracy=[0.7, 0.8, 0.9])
    assert tables.main(["--study", str(save(made)), "--output-folder", "tables"]) == 0
    with Path("tables/claims.tsv").open(newline="") as stream:
        first, second = csv.DictReader(stream, delimiter="\t")
    assert first == {
        "exercise": "fit",
        "claim": "It is so",
        "figure": "test_accuracy",
        "published": "0.9",
        "measured": "0.8",
        "measured_low": "0.551586",
        "measured_high": "1",
        "verdict": "agrees",
    }
    assert (second["claim"], second["verdict"]) == ("Two lines", "holds")
    assert second["measured_low"] == second["figure"] == ""


def test_a_study_without_claims_has_an_empty_table():
    made = resolved({"fit": SWEEP})
    for run in table.runs(made):
        finish(run, [0.1] * 3)
    assert tables.main(["--study", str(save(made)), "--output-folder", "tables"]) == 0
    header = "exercise claim figure published measured measured_low measured_high verdict"
    assert Path("tables/claims.tsv").read_text() == header.replace(" ", "\t") + "\n"


def test_claims_are_no_part_of_what_is_trained_or_drawn():
    made, runs = claimed({"best": SGD})
    bare = resolved({"fit": SWEEP})
    assert runs == table.runs(bare)
    assert reading.part(made, "fit") == reading.part(bare, "fit")
