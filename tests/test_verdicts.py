"""Claims of a study: what is said of those that are judged."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from handmade import (
    ADAM,
    CLASSES,
    LINE,
    SCALING,
    SGD,
    SWEEP,
    TEST,
    claimed,
    descend,
    finish,
    resolved,
    row,
    timed,
    write,
)

from optlab import files
from optlab.results import anytime, verdicts
from optlab.results.verdicts import differences, published, scalings, searches
from optlab.results.verdicts.samples import Sample
from optlab.runs import metrics
from optlab.study import table
from optlab.study.confirmation import Confirmed
from optlab.study.kinds import search

pytestmark = pytest.mark.usefixtures("here")


def judged(claim, losses, exercise=SWEEP, **more):
    """The verdict where the seeds of each run end at these losses; None diverges."""
    made, runs = claimed(claim, exercise, seeds=len(losses[0]))
    for number, (run, values) in enumerate(zip(runs, losses, strict=True)):
        figures = {name: values[number] for name, values in more.items()}
        finish(run, values, val_loss=values, **figures)
    return judgement(made)


def judgement(made):
    """The row of the study's only claim."""
    (row,) = verdicts.frame(made).to_dict("records")
    return row


NOISE = np.random.default_rng(1).normal(0, 0.1, (4, 10))
FAR = [list(level + noise) for level, noise in zip((3.0, 1.1, 2.1, 0.6), NOISE, strict=True)]
NEAR = [list(level + noise) for level, noise in zip((3.0, 1.1, 1.1, 1.1), NOISE, strict=True)]
OPEN = "open: not shown with "


ONE_SEED = published.ONE_SEED


@pytest.mark.parametrize(
    ("figure", "accuracies", "verdict"),
    [
        (0.992, [0.9921], "agrees"),  # rounds to it, as any interval around it would contain it
        (0.992, [0.9926], ONE_SEED),
        (0.99, [0.9926], "agrees"),  # fewer digits were published
        ("0.990", [0.9926], ONE_SEED),
        (0.992, [0.9921, 0.9919, 0.9923], "agrees"),
        # s = 0.001 and t = 4.303 with 2 degrees of freedom: a fourth run is expected within
        # 4.303 x 0.001 x sqrt(1 + 1/3) = 0.00497 of 0.9953.
        ("0.9902", [0.9953, 0.9943, 0.9963], "differs"),
        ("0.9904", [0.9953, 0.9943, 0.9963], "agrees"),
        ("0.99", [0.9953, 0.9943, 0.9963], "agrees"),
        (1, [0.9953, 0.9943, 0.9963], "agrees"),
    ],
)
def test_published_figure_agrees_where_a_further_run_may_lie(figure, accuracies, verdict):
    losses = [[0.1] * len(accuracies)] * 4
    claim = {"value": SGD, **TEST, "published": figure}
    found = judged(claim, losses, test_accuracy=[accuracies] * 4)
    assert found["verdict"] == verdict
    assert found["published"] == str(figure)
    assert float(found["measured"]) == pytest.approx(sum(accuracies) / len(accuracies), rel=1e-5)


def test_published_mean_is_expected_closer_than_a_published_run():
    claim = {"value": SGD, **TEST, "published": "0.9904"}
    accuracies = [0.7953, 0.7943, 0.7963]  # the same, but far from the end of what is possible
    one, nine = (
        judged({**claim, **runs}, [[0.1] * 3] * 4, test_accuracy=[accuracies] * 4)
        for runs in ({}, {"runs": 9})
    )
    for found, runs in ((one, 1), (nine, 9)):
        half = 4.302653 * 0.001 * (1 / runs + 1 / 3) ** 0.5
        ends = found["predicted_low"], found["predicted_high"]
        assert ends == pytest.approx((0.7953 - half, 0.7953 + half))
        half = 4.302653 * 0.001 / 3**0.5
        ends = found["measured_low"], found["measured_high"]
        assert ends == pytest.approx((0.7953 - half, 0.7953 + half))


@pytest.mark.parametrize("seeds", [3, 10])
def test_published_run_of_the_same_distribution_agrees_in_95_percent(seeds):
    drawn = np.random.default_rng(0).normal(0.9, 0.01, (4000, seeds + 1))
    agree = 0
    for *ours, theirs in drawn:
        sample = Sample(words="", figure="loss", values=dict(enumerate(ours)))
        found = published.judge({"published": f"{theirs:.12f}"}, sample)
        agree += found["verdict"] == "agrees"
    assert agree / len(drawn) == pytest.approx(0.95, abs=0.01)  # three standard errors


def test_equal_accuracies_are_not_certain_beyond_their_grain():
    same = {"words": "", "figure": "test_accuracy", "values": dict.fromkeys(range(3), 0.975)}
    claim = {"published": "0.97"}  # reaches to 0.975
    assert published.judge({"published": "0.9722"}, Sample(**same))["verdict"] == "differs"
    grain = Sample(**same, grain=1 / 360)  # one image more or less is 0.0028
    assert published.judge({"published": "0.9722"}, grain)["verdict"] == "agrees"
    assert published.judge({"published": "0.9650"}, grain)["verdict"] == "differs"
    assert published.judge(claim, grain)["verdict"] == "agrees"


def test_where_nothing_is_random_a_figure_agrees_as_it_rounds():
    fixed = Sample(
        words="", figure="test_accuracy", values={0: 0.9, 1: 0.9}, fixed=True, grain=1 / 360
    )
    said = {text: published.judge({"published": text}, fixed)["verdict"]
            for text in ("0.900", "0.9", "0.902", "0.897")}  # fmt: skip
    assert list(said.values()) == ["agrees", "agrees", "differs", "differs"]


def test_logarithms_of_wide_and_of_zero_values_end_no_table():
    wide = Sample(words="", figure="seconds", values={0: 1e-300, 1: 1e300}, logarithmic=True)
    assert wide.predicted(1).high == wide.mean.high == math.inf
    zero = Sample(words="", figure="seconds", values={0: 0.0, 1: 5.0}, logarithmic=True)
    assert math.isnan(zero.predicted(1).low)


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("0.150", (0.1495, 0.1505)),
        ("0.80", (0.795, 0.805)),
        ("1.0", (0.95, 1.05)),
        ("46", (45.5, 46.5)),
        ("5.69997e-11", (5.699965e-11, 5.699975e-11)),
        ("-0.30", (-0.305, -0.295)),
    ],
)
def test_digits_are_those_that_were_written(text, reach):
    assert published.reach(text) == pytest.approx(reach, rel=1e-12)


def test_settings_of_several_runs_mean_the_best_on_validation_data():
    accuracies = [[0.1] * 10, [0.71] * 10, [0.9] * 10, [0.8] * 10]
    claim = {"value": {"optimizer": "sgd"}, **TEST, "published": 0.71}
    found = judged(claim, FAR, test_accuracy=accuracies)
    assert (found["measured"], found["verdict"]) == ("0.71", "agrees")


def test_value_of_a_run_that_diverges_differs():
    claim = {"value": SGD, "figure": "train_loss", "published": 0.1}
    losses = [[0.1] * 3, [0.1, None, 0.1], [0.1] * 3, [0.1] * 3]
    found = judged(claim, losses)
    assert (found["measured"], found["verdict"]) == ("0.1, diverged in 1 of 3", "differs")
    found = judged(claim, [[0.1] * 3, [None] * 3, [0.1] * 3, [0.1] * 3])
    assert (found["measured"], found["verdict"]) == ("diverged", "differs")


def test_value_of_a_figure_that_is_not_measured_is_open():
    claim = {"value": SGD, "figure": "train_accuracy", "published": 0.1}
    assert judged(claim, [[0.1] * 3] * 4)["verdict"] == published.UNKNOWN


HALF = [[None] * 2, [1.0, 1.1], [None, 2.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("settings", "losses", "verdict"),
    [
        (SGD, FAR, "holds"),
        ({**SGD, "lr": 1}, FAR, "does not hold"),
        (SGD, NEAR, OPEN + "10 seeds"),
        ({**SGD, "lr": 1}, NEAR, OPEN + "10 seeds"),
        ({**SGD, "lr": 0.01}, NEAR, "does not hold"),
        (SGD, [values[:1] for values in FAR], OPEN + "1 seed (p 1)"),
        (SGD, [values[:2] for values in FAR], OPEN + "2 seeds"),
        # Divergence decides without a test, by one seed as by many.
        (SGD, HALF, "holds"),
        ({**SGD, "lr": 1}, HALF, "does not hold"),
        (SGD, [[None] * 3, [None] * 3, [None] * 3, [1.0] * 3], differences.NO_PAIRS),
    ],
)
def test_best_is_tested_against_every_other_setting_of_the_optimizer(settings, losses, verdict):
    found = judged({"best": settings}, losses)
    assert found["verdict"].startswith(verdict)
    assert found["published"] == f"sgd lr={settings['lr']}"


def test_best_names_the_setting_that_is():
    claim = {"best": {**SGD, "lr": 1}}
    best = f"sgd lr=0.1 ({np.mean(FAR[1]):.4g})"
    assert judged(claim, FAR)["measured"] == best
    # Not the one with the lowest loss if one of its seeds diverges.
    assert judged(claim, [[None, *[0.1] * 9], *FAR[1:]])["measured"] == best


def test_figure_decides_what_is_best_and_accuracies_are_better_high():
    accuracies = [list(np.array(losses) / 4) for losses in FAR]
    worst, best = {"best": SGD, **TEST}, {"best": {**SGD, "lr": 0.01}, **TEST}
    assert judged(worst, FAR, test_accuracy=accuracies)["verdict"] == "does not hold"
    assert judged(best, FAR, test_accuracy=accuracies)["verdict"] == "holds"


def just_shown(p):
    """Differences whose p is just below this one."""
    found = ([mean + 1, mean - 1] * 5 for mean in np.linspace(0, 9, 2000))
    return next(values for values in found if anytime.p_value(values) < p)


def test_holm_corrects_for_all_pairs_of_a_claim():
    pair = {"order": [SGD, {**SGD, "lr": 1}]}
    shown = just_shown(0.04)
    losses = [[99.0] * 10, [1.0] * 10, [1 + d for d in shown], [9.0] * 10]
    assert judged(pair, losses)["verdict"] == "holds"
    losses[0] = losses[2]
    found = judged({"best": SGD}, losses)["verdict"]
    p = 2 * anytime.p_value(shown)  # the smaller of two
    assert found == f"open: not shown with 10 seeds (p {p:.2g})"
    losses[2] = [1 + d for d in just_shown(0.024)]
    losses[0] = [99.0] * 10
    assert judged({"best": SGD}, losses)["verdict"] == "holds"


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


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [({"loss": 1.6}, "holds (within the margin)"), ({"loss": 1.4}, "holds"),
     ({"loss": "80%"}, "holds"), ({"loss": "260%"}, "holds (within the margin)"),
     ({"accuracy": 0.1}, "holds")],
)  # fmt: skip
def test_order_says_if_a_difference_is_within_the_margin(margin, verdict):
    # The losses are 0.6 and 2.1, so that they differ by 1.5, 250 % of the better.
    claim = {"order": [ADAM, {**SGD, "lr": 1}]}
    assert judged(claim, FAR, {**SWEEP, "margin": margin})["verdict"] == verdict
    turned = {"order": claim["order"][::-1]}
    assert judged(turned, FAR, {**SWEEP, "margin": margin})["verdict"] == verdict.replace(
        "holds", "does not hold"
    )


@pytest.mark.parametrize(
    ("within", "verdict"),
    [(0.5, "holds"), ("80%", "holds"), (0.001, OPEN), ("0.01%", OPEN)],
)
def test_equivalent_settings_are_within_a_margin_of_each_other(within, verdict):
    claim = {"figure": "val_loss", "within": within}
    near = {**claim, "equivalent": [SGD, {**SGD, "lr": 1}, ADAM]}
    found = judged(near, NEAR)
    assert found["verdict"].startswith(verdict)
    assert found["published"] == f"sgd lr=0.1 = sgd lr=1 = adam within {within}"
    far = {**claim, "equivalent": [SGD, {**SGD, "lr": 0.01}]}
    assert judged(far, NEAR)["verdict"] == "does not hold"
    one = [NEAR[0], [None, *NEAR[1][1:]], *NEAR[2:]]
    assert judged(near, one)["verdict"] == "does not hold"


def test_ratio_is_taken_seed_by_seed():
    claim = {"ratio": [{**SGD, "lr": 1}, ADAM], "figure": "val_loss", "published": "2.0"}
    double = [[9.0] * 4, [9.0] * 4, [2.0, 8.0, 21.0, 20.0], [1.0, 4.0, 10.0, 10.5]]
    found = judged(claim, double)
    ratios = np.log([2, 2, 2.1, 20 / 10.5])
    assert float(found["measured"]) == pytest.approx(np.exp(ratios.mean()), rel=1e-5)
    half = 3.182446 * ratios.std(ddof=1) * 1.25**0.5  # t with 3 degrees of freedom
    ends = np.exp([ratios.mean() - half, ratios.mean() + half])
    assert (found["predicted_low"], found["predicted_high"]) == pytest.approx(tuple(ends))
    assert found["verdict"] == "agrees"
    assert judged({**claim, "published": "2.50"}, double)["verdict"] == "differs"
    assert judged({**claim, "published": "2.50"}, [v[:1] for v in double])["verdict"] == ONE_SEED


def test_order_is_told_as_it_is_claimed_and_as_it_is_measured():
    found = judged({"order": [SGD, ADAM]}, FAR)
    assert found["published"] == "sgd lr=0.1 then adam"
    adam, sgd = np.mean(FAR[3]), np.mean(FAR[1])
    assert found["measured"] == f"adam ({adam:.4g}) then sgd lr=0.1 ({sgd:.4g})"
    assert found["figure"] == "val_loss"


def line(rates, steps, claim, optimizer="sgd"):
    """The verdict on exercise 1, where the loss is multiplied by one of ``steps`` an epoch."""
    exercise = {**LINE, "seeds": 1, "optimizers": {optimizer: {"lr": rates}}}
    made, runs = claimed(claim, exercise)
    for run, step in zip(runs, steps, strict=True):
        descend(run, step)
    return judgement(made)


@pytest.mark.parametrize(
    ("rates", "steps", "measured", "verdict"),
    [
        ([0.1, 0.01, 0.05], [2, 0.9, 2], "converges up to lr=0.01, diverges from lr=0.05",
         "open: the limit lies between 0.01 and 0.05"),
        # 0.05 is 0.045 to 0.055, so all of the bracket is rounded to it.
        ([0.046, 0.05], [0.9, 2], "converges up to lr=0.046, diverges from lr=0.05", "holds"),
        ([0.044, 0.05], [0.9, 2], "converges up to lr=0.044, diverges from lr=0.05",
         "open: the limit lies between 0.044 and 0.05"),
        ([0.01, 0.03, 0.05], [0.9, 2, 2], "converges up to lr=0.01, diverges from lr=0.03", None),
        ([0.01, 0.05, 0.1], [0.9, 0.9, 2], "converges up to lr=0.05, diverges from lr=0.1", None),
        ([0.01, 0.05, 0.1], [0.9, 2, 0.9], "converges up to lr=0.1, diverges from lr=0.05", None),
        ([0.01, 0.05], [0.9, 0.9], "converges up to lr=0.05, none diverges", None),
        ([0.05], [2], "diverges from lr=0.05",
         "open: the limit lies below 0.05, and no lower rate was tried"),
    ],
)  # fmt: skip
def test_lowest_rate_that_diverges_as_sharply_as_the_grid_allows(rates, steps, measured, verdict):
    claim = {"diverges_from": {"optimizer": "adagrad", "lr": 0.05}}
    found = line(rates, steps, claim, "adagrad")
    assert (found["measured"], found["verdict"]) == (measured, verdict or "does not hold")


@pytest.mark.parametrize(
    ("rates", "claimed", "verdict"),
    [
        # 2 / 66.802
        ([0.02, 0.05], 0.05, "does not hold: theory says 0.02994"),
        ([0.02, 0.03], 0.03, "holds: theory says 0.02994"),
        ([0.02, 0.04], 0.04, "does not hold: theory says 0.02994"),
        ([0.02, 0.0299], 0.0299, "holds: theory says 0.02994"),
        ([0.02, 0.02995], 0.02995, "does not hold: theory says 0.02994"),
    ],
)
def test_theory_decides_where_it_is_known(rates, claimed, verdict):
    claim = {"diverges_from": {"optimizer": "sgd", "lr": claimed}}
    assert line(rates, [0.9, 2], claim)["verdict"] == verdict


FAST = {"best": {"optimizer": "sgd", "lr": 0.01}, "target": {"train_loss": 1e-6}}


def test_the_fastest_reaches_a_target_first():
    found = line([0.01, 0.02], [0.90, 0.91], FAST)
    assert (found["figure"], found["verdict"]) == ("steps to train_loss 1e-06", "holds")
    steps = math.ceil(math.log(1e-6 / 23.66) / math.log(0.9))
    assert found["measured"] == f"sgd lr=0.01 ({steps} steps)"
    assert line([0.01, 0.02], [0.91, 0.90], FAST)["verdict"] == "does not hold"
    assert line([0.01, 0.02], [0.9, 0.9], FAST)["verdict"] == differences.EQUAL
    # 0.99 does not reach it in 200 epochs.
    assert line([0.01, 0.02], [0.91, 0.99], FAST)["verdict"] == "holds"
    found = line([0.01, 0.02], [0.99, 0.91], FAST)
    assert found["verdict"] == "does not hold"
    assert line([0.01, 0.02], [0.99, 0.99], FAST)["verdict"] == differences.NO_PAIRS
    epochs = {**FAST, "figure": "epochs"}
    assert line([0.01, 0.02], [0.9, 0.91], epochs)["measured"] == f"sgd lr=0.01 ({steps} epochs)"
    seconds = {**FAST, "figure": "seconds"}  # half a second an epoch; times are random
    assert line([0.01, 0.02], [0.9, 0.91], seconds)["verdict"] == OPEN + "1 seed (p 1)"


def climb(run, epochs, goal=0.9):
    """Metrics of a run whose seeds reach an accuracy after these epochs; None never does."""
    rows = []
    for seed, reached in enumerate(epochs):
        for epoch in range(run.epochs + 1):
            accuracy = goal if reached is not None and epoch >= reached else 0.1
            figures = {"val_accuracy": accuracy, "val_loss": 1 - accuracy}
            rows.append(row(run, seed, epoch, 1.0, step=7 * epoch, **figures))
    write(run, rows)


SLOW = {**CLASSES, "epochs": [40], "optimizers": {"sgd": {"lr": [0.1]}, "adam": {"lr": [0.1]}}}
TO = {"target": {"val_accuracy": 0.9}}


def race(sgd, adam, **more):
    """The row of the claim that SGD is faster than Adam."""
    order = {"order": [{"optimizer": "sgd"}, {"optimizer": "adam"}], **TO, **more}
    made, runs = claimed(order, SLOW, seeds=len(sgd))
    for run, epochs in zip(runs, (sgd, adam), strict=True):
        climb(run, epochs)
    return judgement(made)


def test_random_runs_are_compared_by_logarithms_over_the_seeds_that_reach_it():
    fast, slow = [1, 1, 2, 3, 5, 8, 13, 20], [2, 2, 5, 6, 9, 17, 25, 40]  # about twice as many
    found = race(fast, slow)
    assert found["verdict"] == "holds"
    geometric = [7 * math.exp(np.log(epochs).mean()) for epochs in (fast, slow)]
    words = [f"({steps:.4g} steps)" for steps in geometric]
    assert found["measured"] == f"sgd {words[0]} then adam {words[1]}"
    assert race(slow, fast, figure="epochs")["verdict"] == "does not hold"
    # Their ratios are nearly equal, their differences are not: those would not be enough.
    gaps = [a - b for a, b in zip(fast, slow, strict=True)]
    assert anytime.p_value(gaps) > 0.05


def test_missing_the_target_with_a_seed_is_worse_than_never_missing_it():
    assert race([30, 30], [2, None])["verdict"] == "holds"
    assert race([2, None], [30, 30])["verdict"] == "does not hold"
    found = race([2, None], [30, 30])["measured"]
    assert found == "adam (210 steps) then sgd (14 steps, not reached in 1 of 2)"
    # Both miss it: the seeds with which both reach it decide.
    assert race([2, None, None], [30, 30, None])["verdict"] == OPEN + "1 seed (p 1)"
    assert race([2, None], [None, 2])["verdict"] == differences.NO_PAIRS


def test_reaching_a_target_is_a_claim():
    claim = {"reaches": [{"optimizer": "sgd"}, {"optimizer": "adam"}], **TO}
    for epochs, verdict in (([9, 3], "holds"), ([9, None], "does not hold")):
        made, runs = claimed(claim, SLOW, seeds=2)
        climb(runs[0], [2, 8])
        climb(runs[1], epochs)
        found = judgement(made)
        assert (found["published"], found["verdict"]) == ("sgd, adam", verdict)
    assert found["measured"] == "sgd (28 steps), adam (63 steps, not reached in 1 of 2)"


def test_figure_after_an_epoch():
    claim = {"value": {"optimizer": "sgd", "epoch": 3}, "figure": "train_loss"}
    after = 23.66 * 0.9**3
    assert line([0.01], [0.9], {**claim, "published": f"{after:.5g}"})["verdict"] == "agrees"
    assert line([0.01], [0.9], {**claim, "published": f"{after + 0.1:.5g}"})["verdict"] == "differs"
    sgd = {"optimizer": "sgd"}
    falls = {"order": [{**sgd, "epoch": 9}, {**sgd, "epoch": 3}, sgd], "figure": "train_loss"}
    assert line([0.01], [0.9], falls)["verdict"] == "does not hold"  # its end is lower still
    assert line([0.01], [1.01], falls)["verdict"] == "does not hold"
    rises = {"order": [{**sgd, "epoch": 3}, {**sgd, "epoch": 9}, sgd], "figure": "train_loss"}
    assert line([0.01], [1.01], rises)["verdict"] == "holds"
    # A run that has diverged by then has no figure; one that diverges later has.
    claim = {"order": [{**sgd, "epoch": 3}, {**sgd, "epoch": 19}], "figure": "train_loss"}
    assert line([0.01], [2.0], claim)["verdict"] == "holds"
    claim = {"value": {**sgd, "epoch": 10}, "figure": "train_loss", "published": "24228"}
    found = line([0.01], [2.0], claim)  # 23.66 x 2^10 is what made it diverge
    assert (found["measured"], found["verdict"]) == ("diverged", "differs")


def test_confirmation_seeds_decide_between_chosen_settings():
    claim = {"order": [{"optimizer": "sgd"}, {"optimizer": "adam"}]}
    for chosen, verdict in (("chosen", "holds"), ("other", "does not hold")):
        exercise = {**SWEEP, "confirm": 10}
        stated = claim if chosen == "chosen" else {"order": [{**SGD, "lr": 1}, ADAM]}
        made, runs = claimed(stated, exercise, seeds=10)
        for run, losses in zip(runs, FAR, strict=True):
            finish(run, losses, val_loss=losses)
        for unit in table.units(made):
            best = next(
                r for r in unit.runs if r.knobs["lr"] == (0.1 if len(unit.runs) > 1 else 0.01)
            )
            found = Confirmed(best, "", (), 10)
            files.write(Path(unit.file), found.text())
            level = 0.2 if unit.runs[0].optimizer == "sgd" else 0.4  # not as on the tuning seeds
            losses = list(level + NOISE[0] / 10 + NOISE[2] / 10 * (level == 0.4))
            finish(found.run, losses, val_loss=losses)
        row = judgement(made)
        assert row["verdict"] == verdict
        if chosen == "chosen":
            assert row["measured"].startswith("sgd (0.2") or row["measured"].startswith("sgd (0.1")
            value = {"value": SGD, "figure": "val_loss", "published": "0.20"}
            made["exercises"]["fit"]["claims"] = [{"claim": "a", **value}]
            assert judgement(made)["verdict"] == "agrees"


def test_one_seed_says_all_where_nothing_is_random():
    best = {"best": {"optimizer": "sgd", "lr": 0.01}}
    assert line([0.01, 0.02], [0.90, 0.91], best)["verdict"] == "holds"
    assert line([0.01, 0.02], [0.91, 0.90], best)["verdict"] == "does not hold"
    assert line([0.01, 0.02], [0.9, 0.9], best)["verdict"] == "does not hold: exactly equal"
    value = {"value": {"optimizer": "sgd"}, "figure": "train_loss", "published": 1}
    assert line([0.01], [0.999], value)["verdict"] == "differs"


# -- claims of scaling exercises ---------------------------------------------------------------

ROW = {"batch_size": 100, "gpus": 2}
STRONG, REPLAYED = ({**ROW, "scaling": scaling} for scaling in ("strong", "replayed"))


def scaled(claim, times, evaluation=0.01):
    """The row of a claim on runs of p processes that took ``times[p]``, a value a seed."""
    seeds = len(next(iter(times.values())))
    exercise = {**SCALING, "scaling": ["strong"], "gpus": list(times), "claims": []}
    made = resolved({"fit": {**exercise, "claims": [{"claim": "It is so", **claim}]}}, seeds)
    for run in table.runs(made):
        timed(run, times[run.gpus], evaluation=evaluation)
    return judgement(made)


def test_published_speedup_is_that_of_a_run():
    times = {1: [10.0, 12.0, 14.0], 2: [5.0, 6.3, 6.7]}
    found = scaled({"value": STRONG, "figure": "speedup", "published": "2.00"}, times)
    ratios = np.log(np.divide(times[1], times[2]))
    assert float(found["measured"]) == pytest.approx(np.exp(ratios.mean()), rel=1e-5)
    half = 4.302653 * ratios.std(ddof=1)  # t with 2 degrees of freedom
    for name, width in (("measured", 1 / 3), ("predicted", 1 + 1 / 3)):
        ends = [found[f"{name}_low"], found[f"{name}_high"]]
        expected = np.exp([ratios.mean() - half * width**0.5, ratios.mean() + half * width**0.5])
        assert ends == pytest.approx(list(expected))
    assert found["verdict"] == "agrees"
    assert found["published"] == "2.00"
    other = {"value": STRONG, "figure": "efficiency", "published": "0.50"}
    assert scaled(other, times)["verdict"] == "differs"
    one = {1: [10.0], 2: [6.0]}
    for text, verdict in (("1.67", "agrees"), ("1.7", "agrees"), ("1.75", ONE_SEED)):
        claim = {"value": STRONG, "figure": "speedup", "published": text}
        assert scaled(claim, one)["verdict"] == verdict


def test_published_times_are_held_against_the_replayed_arithmetic():
    # T + e ceil(E / p) with E = 2 epochs: 10 + 2 x 5 against 10 + 5.
    claim = {"value": REPLAYED, "figure": "speedup", "published": "1.333"}
    found = scaled(claim, {1: [10.0, 10.0, 10.0], 2: [9.0, 9.0, 9.0]}, evaluation=5.0)
    assert (found["measured"], found["verdict"]) == ("1.33333", "agrees")
    seconds = {**claim, "figure": "seconds", "published": "15.0"}
    found = scaled(seconds, {1: [10.0, 10.0, 10.0], 2: [9.0, 9.0, 9.0]}, evaluation=5.0)
    assert (found["measured"], found["verdict"]) == ("15", "agrees")
    per_second = {**claim, "figure": "samples_per_second"}  # of measured rows only
    assert scaled(per_second, {1: [10.0], 2: [9.0]})["verdict"] == published.UNKNOWN


def test_order_of_numbers_of_processes():
    times = {1: list(10 + NOISE[0]), 2: list(6 + NOISE[1])}
    one = {**STRONG, "gpus": 1}
    faster = {"order": [STRONG, one], "figure": "seconds"}
    found = scaled(faster, times)
    assert found["verdict"] == "holds"
    assert found["published"].startswith("batch_size=100 gpus=2 scaling=strong then ")
    assert scaled({**faster, "figure": "speedup"}, times)["verdict"] == "holds"  # higher is better
    assert scaled({**faster, "figure": "efficiency"}, times)["verdict"] == "does not hold"
    assert scaled({"order": [one, STRONG], "figure": "seconds"}, times)["verdict"] == (
        "does not hold"
    )
    few = {p: values[:1] for p, values in times.items()}
    assert scaled(faster, few)["verdict"] == OPEN + "1 seed (p 1)"
    lost = {**times, 2: [None, *times[2][1:]]}
    assert scaled(faster, lost)["verdict"] == "does not hold"
    accuracy = {"order": [STRONG, one], "figure": "val_accuracy"}  # 0.9 with each
    assert scaled(accuracy, times)["verdict"].startswith(OPEN + "10 seeds")


def test_a_figure_that_no_seed_gives_is_open_where_it_differs():
    times = {1: [10.0, 10.0], 2: [6.0, 6.0], 4: [4.0, 4.0]}  # Amdahl's law with s = 0.2
    claim = {"value": STRONG, "figure": "serial_share", "published": "0.20"}
    found = scaled(claim, times)
    assert (found["measured"], found["verdict"]) == ("0.2", "agrees")
    found = scaled({**claim, "published": "0.3"}, times)
    assert found["verdict"] == scalings.ONE_FIGURE


# -- claims of searches ------------------------------------------------------------------------

FLOAT = {"type": "float", "low": 1e-5, "high": 0.1}
SPACE = {"lr": FLOAT, "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]}}


def searched(claim, accuracies=(0.5, 0.52, 0.51)):
    """The row of a claim on a search of four trials, two of them pruned."""
    exercise = {"kind": "search", "datasets": ["digits"], "space": SPACE}
    made = resolved({"fit": {**exercise, "claims": [{"claim": "It is so", **claim}]}})
    (one,) = search.searches(made, "fit")
    states = ["complete", "pruned", "complete", "pruned"]
    trials = [
        {"number": n, "state": state, "status": "ok", "value": 0.5 + n / 100, "epochs": 3 + n,
         "seconds": 1.0, "parameters": {"optimizer": "adam", "lr": 0.01 * (n + 1)},
         **dict.fromkeys(("val_loss", "val_accuracy", "worker", "host")), "intermediate": []}
        for n, state in enumerate(states)
    ]  # fmt: skip
    facts = {"best": 2, "trials": trials, "retrained_pruned": []}
    files.write(Path(one.folder, "trials.json"), json.dumps(facts))
    rows = [
        {"seed": seed, "epoch": epoch, "status": "ok", "val_accuracy": value,
         "test_accuracy": value if epoch == 10 else "", "test_loss": 1.0}
        for seed, value in enumerate(accuracies)
        for epoch in (0, 10)
    ]  # fmt: skip
    files.write(Path(one.folder, "best/metrics.tsv"), metrics.text(rows))
    return judgement(made)


@pytest.mark.parametrize(
    ("figure", "figures", "verdict"),
    [
        ("pruned", "2", "agrees"),
        ("pruned", "3", searches.ONE_SEARCH),
        ("complete", "2", "agrees"),
        ("best_value", "0.52", "agrees"),
        ("best_value", "0.53359375", searches.ONE_SEARCH),
        ("finished", "4", "agrees"),
        ("finished", "46", "differs"),  # the study says how many
        # 0.51 +- 4.303 x 0.01 x sqrt(4 / 3)
        ("retrained_test_accuracy", "0.555", "agrees"),
        ("retrained_test_accuracy", "0.565", "differs"),
        ("retrained_val_accuracy", "0.555", "agrees"),
        ("retrained_val_loss", "0.555", published.UNKNOWN),
    ],
)
def test_published_figure_of_a_search(figure, figures, verdict):
    found = searched({"value": {}, "figure": figure, "published": figures})
    assert (found["figure"], found["verdict"]) == (figure, verdict)


def test_retrained_setting_with_one_seed_is_open():
    claim = {"value": {"dataset": "digits"}, "figure": "retrained_test_accuracy"}
    found = searched({**claim, "published": "0.55"}, accuracies=[0.5])
    assert found["verdict"] == ONE_SEED


def test_parameters_of_the_best_trial():
    found = searched({"best": {"optimizer": "adam", "lr": 0.03}})
    assert (found["verdict"], found["measured"]) == ("holds", "adam lr=0.03 (0.52)")
    assert found["published"] == "adam lr=0.03"
    assert searched({"best": {"optimizer": "sgd"}})["verdict"] == searches.ONE_SEARCH
