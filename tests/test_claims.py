"""Claims of a study: what is read of them, which are wrong, and their table."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from handmade import ADAM, SCALING, SGD, SWEEP, TEST, claimed, finish, resolved, save

import tables
from optlab.errors import UserError
from optlab.results import scaling
from optlab.results.reading import FIGURES
from optlab.study import claims, reading, schema, table
from optlab.study.claims import sweeps
from optlab.study.kinds import search

pytestmark = pytest.mark.usefixtures("here")


WRITTEN = """\
study: tiny
seeds: 1
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [10]
    batch_sizes: [full]
    optimizers: {sgd: {lr: [0.01]}}
    claims:
      - {claim: a, value: &run {optimizer: sgd}, figure: train_loss, published: 0.150}
      - {claim: b, value: *run, figure: train_loss, published: 1.0}
      - {claim: c, value: *run, figure: train_loss, published: 5.69997e-11}
      - {claim: d, value: *run, figure: train_loss, published: '0.80'}
      - {claim: e, value: *run, figure: train_loss, published: 1e-5}
"""
TEXTS = ["0.150", "1.0", "5.69997e-11", "0.80", "1e-5"]


def of_claims(study):
    return [claim["published"] for claim in study["exercises"]["fit"]["claims"]]


def test_written_digits_are_kept_in_the_resolved_study(here):
    Path("study.yaml").write_text(WRITTEN)
    study = reading.load("study.yaml")
    assert of_claims(study) == TEXTS
    assert reading.of_files(["study.yaml"]) == study
    Path("resolved.yaml").write_text(reading.dump(study))
    assert reading.load("resolved.yaml") == study
    edited = reading.dump(study).replace("study: tiny", "study: small")  # is checked again
    Path("resolved.yaml").write_text(edited)
    assert of_claims(reading.load("resolved.yaml")) == TEXTS


def test_number_that_replaces_the_written_one_is_taken(here):
    Path("study.yaml").write_text(WRITTEN)
    claims = yaml.safe_load(WRITTEN)["exercises"]["fit"]["claims"]
    claims = [{**one, "published": text} for one, text in zip(claims, TEXTS, strict=True)]
    claims[1]["published"] = "2.50"
    claims[0]["published"] = 0.25
    Path("more.yaml").write_text(WRITTEN.replace("1.0}", "2.50}"))
    found = reading.of_files(["study.yaml", "more.yaml"])
    assert of_claims(found) == [TEXTS[0], "2.50", *TEXTS[2:]]
    word = f"exercises={json.dumps({'fit': {'claims': claims}})}"
    assert of_claims(reading.of_files(["study.yaml"], [word])) == ["0.25", "2.50", *TEXTS[2:]]


PLACE = "study.yaml:7: exercises.fit.claims.0"
SETTINGS = '{"optimizer": "sgd", "lr": 0.2}'
KEYS = "value, best, order, ratio, equivalent, reaches, diverges_from"
SGD_ = "{optimizer: sgd}"
WRONG = {
    "{best: {optimizer: sgd, lr: 0.01}}": ": the key 'claim' is missing",
    "{claim: a}": f": a claim has one of the keys {KEYS}, unanswered",
    "{claim: a, best: {optimizer: sgd}, order: [{optimizer: sgd, lr: 0.01}, {optimizer: sgd}]}": (
        f": a claim has one of the keys {KEYS}, unanswered"
    ),
    "{claim: a, unanswered: b, best: {optimizer: sgd}}": (
        f": a claim has one of the keys {KEYS}, unanswered"
    ),
    "{claim: a, valu: {optimizer: sgd}}": (
        f".valu: unknown key; did you mean 'value'? allowed: claim, {KEYS}, figure, target, "
        "published, runs, within, unanswered"
    ),
    # -- keys that are missing, or belong to other claims
    "{claim: a, value: {optimizer: sgd}, figure: train_loss}": (
        ": the key 'published' is missing: a claim with the key value has published"
    ),
    "{claim: a, value: {optimizer: sgd}, published: 1}": (
        ": the key 'figure' is missing: the one that is compared with value"
    ),
    f"{{claim: a, equivalent: [{SGD_}, {{optimizer: sgd, lr: 0.01}}], figure: train_loss}}": (
        ": the key 'within' is missing: a claim with the key equivalent has figure and within"
    ),
    f"{{claim: a, reaches: [{SGD_}]}}": (
        ": the key 'target' is missing: a claim with the key reaches has target"
    ),
    "{claim: a, best: {optimizer: sgd, lr: 0.01}, published: 1}": (
        ".published: only claims with the key value or ratio have it"
    ),
    "{claim: a, best: {optimizer: sgd, lr: 0.01}, runs: 3}": (
        ".runs: only claims with the key value or ratio have it"
    ),
    "{claim: a, diverges_from: {optimizer: sgd, lr: 0.01}, figure: seconds}": (
        ".figure: only claims with the key value or best or order or ratio or equivalent have it"
    ),
    "{claim: a, diverges_from: {optimizer: sgd, lr: 0.01}, target: {train_loss: 1}}": (
        ".target: only claims with the key value or best or order or ratio or reaches have it"
    ),
    "{claim: a, unanswered: b, figure: seconds}": (
        ".figure: only claims with the key value or best or order or ratio or equivalent have it"
    ),
    # -- figures, targets, margins
    "{claim: a, value: {optimizer: sgd}, figure: train_loss, published: low}": (
        ".published: 'low' is not allowed; a number"
    ),
    "{claim: a, value: {optimizer: sgd}, figure: train_loss, published: 1, runs: 0}": (
        ".runs: 0 is not allowed; a whole number at least 1"
    ),
    "{claim: a, value: {optimizer: sgd}, figure: train_los, published: 1}": (
        ".figure: 'train_los' is not known; did you mean 'train_loss'? allowed: train_loss, "
        "train_accuracy, val_loss, val_accuracy, test_loss, test_accuracy, best_epoch, "
        "best_test_loss, best_test_accuracy, seconds, steps, epochs"
    ),
    "{claim: a, value: {optimizer: sgd}, figure: steps, published: 1}": (
        ".figure: steps until what? Add a target, as in {val_accuracy: 0.9}"
    ),
    f"{{claim: a, order: [{SGD_}, {{optimizer: sgd, lr: 0.01}}], figure: val_loss, "
    "target: {val_loss: 1}}": (
        ".figure: until a target is reached, steps, epochs, seconds are counted"
    ),
    f"{{claim: a, reaches: [{SGD_}], target: {{}}}}": ".target: is empty; give at least one",
    f"{{claim: a, reaches: [{SGD_}], target: {{train_los: 1}}}}": (
        ".target.train_los: unknown key; did you mean 'train_loss'? allowed: train_loss, "
        "train_accuracy, val_loss, val_accuracy"
    ),
    f"{{claim: a, reaches: [{SGD_}], target: {{train_loss: 1, val_loss: 1}}}}": (
        '.target: {"train_loss": 1, "val_loss": 1} are several figures; a target has one'
    ),
    f"{{claim: a, reaches: [{SGD_}], target: {{val_accuracy: 95}}}}": (
        ".target.val_accuracy: 95 is never reached, or always; above 0 up to 1"
    ),
    f"{{claim: a, reaches: [{SGD_}], target: {{val_loss: 0}}}}": (
        ".target.val_loss: 0 is never reached, or always; above 0"
    ),
    f"{{claim: a, equivalent: [{SGD_}, {{optimizer: sgd, lr: 0.01}}], figure: val_loss, "
    "within: 3 points}": ".within: '3 points' is not a margin; use a form like 0.01 or 1%",
    f"{{claim: a, equivalent: [{SGD_}, {{optimizer: sgd, lr: 0.01}}], figure: val_accuracy, "
    "within: 5}": ".within: 5 is 500 points of 100; write 5 points, or use at most 0.2",
    f"{{claim: a, equivalent: [{SGD_}, {{optimizer: sgd, lr: 0.01}}], figure: seconds, "
    "within: 3}": ".figure: only losses and metrics have a margin",
    # -- settings
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
    "{claim: a, order: [{optimizer: sgd}]}": (
        ".order: the list is too short; give at least 2 values"
    ),
    "{claim: a, ratio: [{optimizer: sgd}, {optimizer: sgd, lr: 1}, {optimizer: sgd, lr: 2}]}": (
        ".ratio: the list is too long; give at most 2 values"
    ),
    "{claim: a, diverges_from: {optimizer: sgd}}": (
        ".diverges_from: the key 'lr' is missing: the lowest learning rate that diverges"
    ),
    # -- epochs
    "{claim: a, value: {optimizer: sgd, epoch: 11}, figure: train_loss, published: 1}": (
        ".value.epoch: 11 is not an epoch; a whole number from 0 to 10"
    ),
    "{claim: a, value: {optimizer: sgd, epoch: 3}, figure: test_loss, published: 1}": (
        ".value.epoch: test_loss is known at the end only; use train_loss, train_accuracy, "
        "val_loss, val_accuracy, seconds"
    ),
    "{claim: a, value: {optimizer: sgd, epoch: 3}, target: {val_loss: 1}, published: 1}": (
        ".value.epoch: a target says when; leave one of the two"
    ),
    "{claim: a, best: {optimizer: sgd, lr: 0.01, epoch: 3}}": (
        ".best.epoch: only claims with the key value or order or ratio or equivalent have it"
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


def test_epoch_at_which_nothing_is_measured():
    claim = {"value": {**SGD, "epoch": 3}, "figure": "val_loss", "published": 1}
    exercise = {**SWEEP, "epochs": [7], "evaluate_every": 2}
    with pytest.raises(UserError, match="nothing is measured after epoch 3; see evaluate_every: 2"):
        claimed(claim, exercise)
    for epoch in (0, 4, 7):
        claimed({**claim, "value": {**SGD, "epoch": epoch}}, exercise)


GPUS = {**SCALING, "gpus": [1, 2, 4], "batch_sizes": [64, 128], "epochs": [2]}
TWO = {"gpus": 2, "scaling": "strong", "batch_size": 64}
SEARCH = {
    "kind": "search",
    "datasets": ["digits"],
    "space": {
        "n_layers": {"type": "int", "low": 1, "high": 3},
        "n_units": {"type": "int", "low": 4, "high": 64, "per_layer": True},
        "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
        "lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    },
}
SPEEDUP = {"figure": "speedup", "published": 1.9}
PRUNED = {"figure": "pruned", "published": 35}
WRONG_OF_KINDS = [
    (GPUS, {"best": TWO}, ".best: unknown key; allowed: claim, value, order, "
     "figure, published, runs, unanswered"),
    (GPUS, {}, ": a claim has one of the keys value, order, unanswered"),
    (GPUS, {"value": TWO, "published": 2}, ": the key 'figure' is missing: a claim with the key "
     "value has figure and published"),
    (GPUS, {"order": [TWO, {**TWO, "gpus": 1}]}, ": the key 'figure' is missing: a claim with the "
     "key order has figure"),
    (GPUS, {"value": {**TWO, "gpu": 2}, **SPEEDUP}, ".value.gpu: unknown key; did you mean 'gpus'? "
     "allowed: dataset, model, scaling, batch_size, epochs, gpus"),
    (GPUS, {"value": {**TWO, "gpus": 3}, **SPEEDUP}, ".value.gpus: 3 is not in this exercise; "
     "allowed: 1, 2, 4"),
    (GPUS, {"value": {**TWO, "model": "cn"}, **SPEEDUP}, ".value.model: 'cn' is not in this "
     "exercise; did you mean 'cnn'? allowed: cnn"),
    (GPUS, {"value": {"gpus": 2}, **SPEEDUP}, '.value: {"gpus": 2} describes several rows; add '
     "scaling and batch_size"),
    ({**GPUS, "gpus": [1, 8], "batch_sizes": [4]}, {"value": {"gpus": 8, "scaling": "strong"},
     **SPEEDUP}, '.value: {"gpus": 8, "scaling": "strong"} is not in the exercise\'s table'),
    (GPUS, {"value": TWO, "figure": "speed", "published": 2}, ".figure: 'speed' is not known; did "
     "you mean 'speedup'? allowed: seconds, seconds_per_epoch, samples_per_second, speedup, "
     "efficiency, val_accuracy, test_accuracy, val_loss, test_loss, serial_share, "
     "communication_share, gain_from_evaluation"),
    (GPUS, {"order": [TWO, {**TWO, "gpus": 1}], "figure": "serial_share"}, ".figure: serial_share "
     "is no figure of a seed, so no order is tested by it"),
    (SEARCH, {"order": []}, ".order: unknown key; allowed: claim, value, best, figure, published, "
     "runs, unanswered"),
    (SEARCH, {"value": {}, "published": 2}, ": the key 'figure' is missing: a claim with the key "
     "value has figure and published"),
    (SEARCH, {"value": {"dataset": "digit"}, **PRUNED}, ".value.dataset: 'digit' is not in this "
     "exercise; did you mean 'digits'? allowed: digits"),
    ({**SEARCH, "datasets": ["digits", "mnist"]}, {"value": {}, **PRUNED}, ".value: there are "
     "several searches; add dataset, one of digits, mnist"),
    (SEARCH, {"best": {}}, ".best: names no parameter; add one, as in {optimizer: adam}"),
    (SEARCH, {"best": {"optimzer": "adam"}}, ".best.optimzer: is not a parameter of the search; "
     "did you mean 'optimizer'? allowed: n_layers, n_units, optimizer, lr"),
    (SEARCH, {"best": {"optimizer": "adamw"}}, ".best.optimizer: 'adamw' is not in the space of "
     "the search"),
    (SEARCH, {"best": {"n_units_l0": 65}}, ".best.n_units_l0: 65 is not in the space of the "
     "search"),
    (SEARCH, {"best": {"lr": 0.01}, **PRUNED}, ".figure: only claims with the key value have it"),
    (SEARCH, {"best": {"optimizer": "adam"}, "published": 1}, ".published: only claims with the "
     "key value have it"),
]  # fmt: skip


@pytest.mark.parametrize(("exercise", "claim", "message"), WRONG_OF_KINDS)
def test_mistake_in_a_claim_of_another_kind_is_one_line(exercise, claim, message):
    with pytest.raises(UserError) as caught:
        claimed(claim, exercise)
    assert str(caught.value).splitlines()[0] == f"exercises.fit.claims.0{message}"


def test_claims_of_the_other_kinds():
    for exercise, claim in (
        (GPUS, {"value": {**TWO, "scaling": "replayed"}, **SPEEDUP}),
        (GPUS, {"order": [TWO, {**TWO, "gpus": 1}], "figure": "seconds"}),
        (GPUS, {"unanswered": "no GPU"}),
        (SEARCH, {"value": {}, **PRUNED}),
        (SEARCH, {"best": {"optimizer": "adam", "n_units_l0": 64}}),
        (SEARCH, {"unanswered": "no time"}),
    ):
        claimed(claim, exercise)


def test_figures_are_those_of_the_tables():
    levels = schema.load("config")["$defs"]
    assert (*FIGURES, "steps", "epochs") == sweeps.FIGURES
    figures = levels["scaling_claim"]["properties"]["figure"]["enum"]
    assert set(figures) <= set(scaling.COLUMNS)


def test_table():
    made, runs = claimed({"value": ADAM, **TEST, "published": 0.9})
    made["exercises"]["fit"]["claims"] += [
        {"claim": "Two\n\tlines", "best": SGD},
        {"claim": "Three", "unanswered": "No run\nof ours"},
    ]
    for run in runs:
        values = [run.knobs["lr"]] * 3
        finish(run, values, val_loss=values, test_accuracy=[0.7, 0.8, 0.9])
    assert tables.main(["--study", str(save(made)), "--output-folder", "tables"]) == 0
    with Path("tables/claims.tsv").open(newline="") as stream:
        first, second, third = csv.DictReader(stream, delimiter="\t")
    assert first == {
        "exercise": "fit",
        "claim": "It is so",
        "figure": "test_accuracy",
        "published": "0.9",
        "measured": "0.8",
        "measured_low": "0.551586",
        "measured_high": "1",
        "predicted_low": "0.303172",
        "predicted_high": "1",
        "verdict": "agrees",
    }
    assert second["claim"] == "Two lines"
    assert (second["figure"], second["measured_low"]) == ("val_loss", "")
    assert third["verdict"] == "not answered: No run of ours"
    assert third["figure"] == third["published"] == third["measured"] == ""


def test_a_study_without_claims_has_an_empty_table():
    made = resolved({"fit": SWEEP})
    for run in table.runs(made):
        finish(run, [0.1] * 3)
    assert tables.main(["--study", str(save(made)), "--output-folder", "tables"]) == 0
    header = "exercise claim figure published measured measured_low measured_high"
    header += " predicted_low predicted_high verdict"
    assert Path("tables/claims.tsv").read_text() == header.replace(" ", "\t") + "\n"


def test_claims_are_no_part_of_what_is_trained_or_drawn():
    made, runs = claimed({"best": SGD})
    bare = resolved({"fit": SWEEP})
    assert runs == table.runs(bare)
    assert reading.part(made, "fit") == reading.part(bare, "fit")
    for exercise, claim, leave in (
        (GPUS, {"unanswered": "b"}, ("claims",)),
        (SEARCH, {"best": {"optimizer": "adam"}}, search.NOT_TRIALS),
        (SEARCH, {"best": {"optimizer": "adam"}}, search.NOT_RETRAINING),
    ):
        made, bare = claimed(claim, exercise)[0], resolved({"fit": exercise})
        assert reading.part(made, "fit", leave=leave) == reading.part(bare, "fit", leave=leave)
    assert search.searches(made, "fit") == search.searches(bare, "fit")


def test_the_shipped_studies_have_claims_of_every_kind():
    kinds = set()
    for name in ("config", "lab"):
        study = reading.load(Path(__file__).parents[1] / f"config/{name}.yaml")
        kinds |= {
            (exercise["kind"], claims.kind(claim))
            for exercise in study["exercises"].values()
            for claim in exercise["claims"]
        }
    assert {kind for exercise, kind in kinds if exercise == "sweep"} == set(claims.KINDS)
    assert {
        ("scaling", "value"),
        ("scaling", "order"),
        ("search", "value"),
        ("search", "best"),
    } <= (kinds)
