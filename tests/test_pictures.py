"""Pictures show their subject: with far points, many optimizers, any text and any number."""

import math
import random
import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from handmade import (
    CLASSES,
    LINE,
    SCALING,
    descend,
    finish,
    resolved,
    row,
    step_parts,
    timed,
    write,
)
from matplotlib.figure import Figure

from optlab.figures import draw, lettering, limits, looks, plan, ranked, scaling_axes, trials, words
from optlab.figures.reader import Reader
from optlab.results.tables import tables
from optlab.study import table
from optlab.study.kinds import search

pytestmark = pytest.mark.usefixtures("here")

NASTY = (
    'Loss $x_1$ of $\\frac{a}{b}$ <b>&amp; "x" --]]>\n\\n\x1b[31m \U0001f680 مرحبا \u202eend {y}'
)


def pictures(study, source=None):
    """Each picture with its figure and its SVG; a warning is an error."""
    (exercise,) = study["exercises"]
    source = Reader(study, table.runs(study)) if source is None else source
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Nine pictures of the rates of an optimizer show no more than two.
        rates = [picture for picture in plan.pictures(study, exercise) if picture.kind == "loss"]
        for picture in plan.pictures(study, exercise):
            if picture in rates[2:]:
                continue
            figure = draw.DRAWN[picture.kind](picture, source)
            yield picture, figure, looks.svg(figure)


def of_kind(study, kind):
    """The only picture of a kind: Matplotlib's figure."""
    (exercise,) = study["exercises"]
    reader = Reader(study, table.runs(study))
    (picture,) = (p for p in plan.pictures(study, exercise) if p.kind == kind)
    return draw.DRAWN[kind](picture, reader)


def own(number, name="Own"):
    """Optimizers of the user's own, of one name in several files."""
    for file in range(number):
        Path(f"o{file}.py").write_text("")
    return [f"o{file}.py:{name}" for file in range(number)]


def swept(names, rates=(0.01, 0.1), losses=None, **more):
    """A finished sweep of these optimizers; ``losses`` are those of some runs, by number."""
    exercise = {**CLASSES, "optimizers": {name: {"lr": list(rates)} for name in names}, **more}
    study = resolved({"fit": exercise})
    for number, run in enumerate(table.runs(study)):
        loss = (losses or {}).get(number, 0.3 + 0.01 * (number % 7))
        figures = [loss, loss * 1.01, loss * 1.02]
        accuracy = [max(0.0, 1 - value / 4) for value in figures]
        parts = {"val": figures, "test": figures}
        finish(run, figures, **{f"{part}_loss": values for part, values in parts.items()},
               **{f"{part}_accuracy": accuracy for part in ("train", *parts)})  # fmt: skip
    return study


# -- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "log", "ends"),
    [
        ([*np.linspace(0.1, 1, 20), 1e6], True, (0.1, 1)),  # collapsed
        ([*np.linspace(0.1, 1, 20), 1e-9], True, (0.1, 1)),
        ([*np.linspace(0.8, 0.9, 20), -1], False, (0.8, 0.9)),
        ([*np.linspace(0.1, 1, 20), math.inf, math.nan], False, (0.1, 1)),
        (np.geomspace(1e-12, 20, 20), True, (1e-12, 20)),  # nothing is far
        ([*np.linspace(0.1, 1, 8), *np.linspace(100, 900, 4)], True, (0.1, 900)),  # not few
        ([0.1, 1e6], True, (0.1, 1e6)),
        ([0.5] * 9, True, (0.5, 0.5)),
    ],
)
def test_an_axis_holds_all_but_few_far_values(values, log, ends):
    found = limits.held(values, log)
    assert (found.min(), found.max()) == pytest.approx(ends)


@pytest.mark.parametrize("late", [(0.03, 1.008), (0.04, 1.02)])
@pytest.mark.parametrize("early", [{0.1: 1.3}, {0.1: 1.3, 0.5: 15, 1: 3}])
def test_a_run_that_diverges_late_does_not_hide_those_that_do_early(late, early):
    rates = {0.01: 0.99, **dict([late]), **early}
    grid = {"sgd": {"lr": list(rates)}}
    study = resolved({"fit": {**LINE, "epochs": [1000], "optimizers": grid}}, seeds=1)
    for run in table.runs(study):
        descend(run, rates[run.knobs["lr"]])
    start, whole = of_kind(study, "loss").axes
    assert 27 < start.get_xlim()[1] < 100 and whole.get_xlim()[1] > 900
    for line in start.get_lines():
        if line.get_label().startswith(tuple(map(str, early))):
            assert max(line.get_ydata()) > start.get_ylim()[1]  # it leaves through the top


@pytest.mark.parametrize("kind", ["final-loss", "accuracy", "comparison-best", "budget"])
def test_a_collapsed_point_is_at_the_edge_and_squeezes_nothing(kind):
    names = [
        "sgd",
        "momentum",
        "nesterov",
        "adagrad",
        "adadelta",
        "rmsprop",
        "adam",
        "adamw",
        "nadam",
    ]
    axes = of_kind(swept(names, losses={3: 4e4}), kind).axes[1]
    low, high = sorted(axes.get_ylim())
    assert high / low < 100
    if kind in ("final-loss", "accuracy"):
        marks = [line for line in axes.get_lines() if line.get_marker() in ("^", "v")]
        assert [list(mark.get_xdata()) for mark in marks] == [[0.1]]


def test_accuracies_of_zero_and_one_keep_the_axis_in_their_range():
    for loss in (0.0, 4.0):
        names = ["sgd", "adam"]
        study = swept(names, losses=dict.fromkeys(range(4), loss))
        for kind in ("accuracy", "budget"):
            figure = of_kind(study, kind)
            figure.draw_without_rendering()
            for axes in figure.axes:
                ticks = [tick for tick in axes.get_yticks() if tick <= max(axes.get_ylim())]
                shown = [axes.yaxis.get_major_formatter()(tick, 0) for tick in ticks]
                assert all(0 <= float(text) <= 1 for text in shown)


# -- names ------------------------------------------------------------------------------------


def labels(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_no_two_entries_of_a_legend_are_the_same():
    names = own(3)
    compare = [
        {"optimizer": names[0]},
        {"optimizer": names[0], "lr": 0.01},
        {"optimizer": names[1]},
    ]
    study = swept(names, compare=compare)
    for kind in ("comparison-lab", "comparison-best", "final-loss", "budget"):
        found = labels(of_kind(study, kind))
        assert len(set(found)) == len(found), found
    assert [text for text in labels(of_kind(study, "comparison-lab")) if "Own" in text] == [
        "Own, lr 0.01 (o0.py)",
        "Own, lr 0.01 (o1.py)",
    ]
    assert words.names(["rmsprop", "m:RMSprop"]) == ["RMSProp", "RMSprop (m)"]
    assert words.numbered(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


def test_optimizers_of_ones_own_have_looks_of_their_own():
    found = looks.looks([f"o{number}.py:Own" for number in range(200)])
    assert len(set(found)) == 200
    assert len({look.color for look in found[:8]}) == 8


@pytest.mark.parametrize("text", ["word " * 60, "W" * 300, "漢" * 200, NASTY * 3])
def test_titles_are_wrapped_and_names_cut_to_their_room(text):
    text = words.plain(text)
    lines = lettering.wrapped(text, 6, 10).split("\n")
    assert 2 <= len(lines) <= 3 and max(lettering.width(line, 10) for line in lines) <= 6
    assert lettering.width(lettering.cut(text, 1.5, 8, "bold"), 8, "bold") <= 1.5
    assert lettering.wrapped("short\nsecond", 6, 10) == "short\nsecond"


def test_any_text_is_in_a_picture_as_it_is():
    Path("o$_$.py").write_text("")
    names = [
        "sgd",
        "o$_$.py:_A_ñ_very_long_name_of_a_class_that_says_all_that_it_does",
        *own(7, "B"),
    ]
    grid = {"title": NASTY, "compare": [{"optimizer": "sgd"}]}
    for picture, figure, svg in pictures(swept(names, **grid)):
        root = ElementTree.fromstring(svg)
        shown = " ".join("".join(root.itertext()).split())
        assert 'Loss $x_1$ of $\\frac{a}{b}$ <b>&amp; "x" --]]> \\n [31m' in shown, picture.name
        assert not re.search("[\x00-\x08\x1b\u202e]", svg)
        if picture.kind == "comparison-best":
            assert "_A_" in shown
        wide = figure.get_figwidth() * figure.dpi
        with lettering.any_script():
            figure.draw_without_rendering()
            ends = [text.get_window_extent() for text in free(figure)]
        assert min(end.x0 for end in ends) >= -1 and max(end.x1 for end in ends) <= wide + 1


def free(figure):
    """The texts with something of the user's: headings of the figure and of panels, legends."""
    titles = [axes.title for axes in figure.axes] + [axes._left_title for axes in figure.axes]
    return [figure._suptitle, *titles, *(t for legend in figure.legends for t in legend.texts)]


# -- many -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "kinds"),
    [
        ({"rates": [0.01, 0.1]}, {"final-loss", "comparison-best"}),
        ({"rates": [0.01], "batch_sizes": ["full", 100]}, {"budget", "batches"}),
    ],
)
def test_a_hundred_optimizers_are_a_ranking(grid, kinds):
    names = [f"{name}{number}" for number, name in enumerate(own(100))]
    study = swept(names, losses={41: 1e5}, **grid)
    found = {}
    reader = Reader(study, table.runs(study))
    for picture in plan.pictures(study, "fit"):
        if picture.kind in kinds - found.keys():
            figure = draw.DRAWN[picture.kind](picture, reader)
            found[picture.kind] = figure
            assert len(figure.axes) == 1
            assert len(looks.svg(figure)) < 500_000
    assert found.keys() == kinds
    for figure in found.values():
        rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert len(rows) == 100 and rows[0].startswith("1  Own0")
    if "final-loss" in kinds:
        assert "outside of the axis" in labels(found["final-loss"])


def test_a_ranking_says_what_it_leaves_out():
    one = ranked.Series("score", ranked.DOT, [[n] for n in range(500)])
    figure = ranked.draw("Title", "score", [str(n) for n in range(500)], [one], [True] * 500)
    assert figure.get_suptitle() == "Title: the first 160 of 500"
    assert len(figure.axes[0].get_yticks()) == 160


def test_no_picture_is_larger_than_a_megabyte():
    figure = Figure()
    axes = figure.subplots()
    for seed in range(3):
        axes.plot(*np.random.default_rng(seed).random((2, 9_000)), "o")
    axes.set_title("words")
    svg = looks.svg(figure)
    assert len(svg) < 1_000_000 and "<image" in svg and ">words</text>" in svg


# -- any number -------------------------------------------------------------------------------

WILD = (math.inf, -math.inf, math.nan, 0.0, 1e300, -1.0, 1e-320, "")


def wild_sweep(seed):
    """A sweep whose figures are anything; a run may end at any evaluation."""
    draws = random.Random(seed)
    several = ["sgd", "adam", *(own(7) if seed == 1 else [])]
    exercise = {**(CLASSES if seed % 3 else LINE), "epochs": [3],
                "optimizers": {name: {"lr": [0, 0.1]} for name in several},
                "compare": [{"optimizer": "sgd"}]}  # fmt: skip
    study = resolved({"fit": exercise}, seeds=2)
    for run in table.runs(study):
        wild = draws.choice([0.0, 0.3, 1.0])

        def value(high=10.0, wild=wild):
            return draws.choice(WILD) if draws.random() < wild else draws.random() * high

        for_seeds = []
        for number in range(2):
            last = draws.randint(0, 3)
            for epoch in range(last + 1):
                figures = {f"{part}_loss": value() for part in ("val", "test")}
                figures |= {f"{part}_accuracy": draws.choice([0, 1, draws.random()])
                            for part in ("train", "val", "test")}  # fmt: skip
                status = draws.choice(["ok", "diverged"]) if epoch == last else "ok"
                more = {**figures, "step": 20 * epoch, "status": status}
                for_seeds.append(row(run, number, epoch, value(), **more))
        write(run, for_seeds)
    return study


@pytest.mark.parametrize("seed", range(6))
def test_pictures_and_tables_of_sweeps_live_with_any_number(seed):
    study = wild_sweep(seed)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert tables(study)["runs"].shape[0]
    for _, _, svg in pictures(study):
        ElementTree.fromstring(svg)


@pytest.mark.parametrize("seed", range(3))
def test_pictures_of_scaling_live_with_any_number(seed):
    draws = random.Random(seed)
    axes = {"batch_sizes": [50, 100], "gpus": [1, 2, 4], "epochs": [1, 2], "target_accuracy": 0.5}
    study = resolved({"fit": {**SCALING, "scaling": ["strong", "weak"], **axes}})
    for run in table.runs(study):
        seconds = [draws.choice([None, 1.0, 1e9, 1e-9, 0.0]) for _ in range(3)]
        steps = draws.choice([None, step_parts(), step_parts(0, 0, 0, 0, 0)])
        accuracies = [draws.choice([0.1, 0.9, math.nan]) for _ in range(3)]
        timed(run, seconds, accuracies, steps=steps, evaluation=draws.choice([0.0, 1.0, 1e9]))
    for _, _, svg in pictures(study, scaling_axes.source(study, "fit")):
        ElementTree.fromstring(svg)


def wild_trials(seed, number=12):
    """The content of a trials.json whose values are anything."""
    draws = random.Random(seed)
    some = [None if value == "" else value for value in WILD]
    found = []
    for trial in range(number):
        epochs = draws.randint(0, 3)
        steps = [[n + 1, draws.choice([draws.random(), draws.choice(some)])] for n in range(epochs)]
        state = draws.choice(["complete", "pruned", "failed"]) if epochs else "pruned"
        settings = {
            "optimizer": draws.choice(["adam", "$x$\nlong " * 9]),
            "lr": 0.1 ** draws.randint(1, 4),
        }
        found.append({"number": trial, "state": state, "value": steps[-1][1] if steps else None,
                      "intermediate": steps, "parameters": settings})  # fmt: skip
    stopped = [one for one in found if one["state"] == "pruned" and one["intermediate"]][:2]
    again = [
        {**one, "intermediate": [*one["intermediate"], [4, draws.choice(some)]]} for one in stopped
    ]
    complete = [one["number"] for one in found if one["state"] == "complete"]
    best = draws.choice(complete) if complete else None
    return {"trials": found, "best": best, "retrained_pruned": again}


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize("seed", range(4))
def test_pictures_of_searches_live_with_any_number(metric, seed):
    space = {"optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
             "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": True}}  # fmt: skip
    exercise = {"kind": "search", "datasets": ["digits"], "metric": metric, "space": space}
    study = resolved({"fit": {**exercise, "title": NASTY}})
    (one,) = search.searches(study, "fit")
    one.space["optimizer"]["choices"].append("$x$\nlong " * 9)
    for _, _, svg in pictures(study, trials.Trials(one, wild_trials(seed))):
        ElementTree.fromstring(svg)
