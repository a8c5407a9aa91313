"""The run table: the product of what a study names, each point in a folder of its own."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.errors import UserError
from optlab.study import reading, schema, table
from optlab.study.run import CONFIRMATION
from optlab.values import canonical, text

SGD = "sgd:\n        lr: [0.01]"


def runs(file):
    return table.runs(reading.load(file))


def test_knobs_of_a_study_are_multiplied(write):
    found = runs(write({SGD: "momentum: {lr: [0.1, 0.2], momentum: [0.5, 0.8, 0.9]}"}))
    points = [(run.knobs["lr"], run.knobs["momentum"]) for run in found]
    assert points == [(a, b) for a in (0.1, 0.2) for b in (0.5, 0.8, 0.9)]


def test_axes_of_an_exercise_are_multiplied_and_all_in_the_path(write):
    file = write(
        {
            "[line]": "[line, digits]",
            "[linear]": "[linear, softmax]",
            "[10]": "[10, 20]",
            "[full]": "[full, 4]",
            SGD: "sgd: {lr: [0.1, 0.2], weight_decay: [0, 0.01]}\n      adam: {lr: [0.1]}",
        }
    )
    found = runs(file)
    assert len(found) == 2 * 2 * 2 * 2 * (2 * 2 + 1)
    assert len({run.path for run in found}) == len(found)
    for run in found:
        for part in (run.exercise, run.optimizer, run.dataset, run.model, f"lr={run.knobs['lr']}"):
            assert part in run.path
        assert f"batch_size={run.batch_size}+epochs={run.epochs}+gpus={run.gpus}" in run.path
        # A default needs no place in the path; another value does.
        assert ("weight_decay=0.01" in run.path) == (run.knobs["weight_decay"] == 0.01)


def test_every_axis_alone_changes_the_path(write):
    (run,) = runs(write())
    others = {
        "exercise": "b", "dataset": "b", "model": "b", "optimizer": "adam", "knobs": {"lr": 1},
        "batch_size": 7, "epochs": 7, "gpus": 7,
    }  # fmt: skip
    paths = {replace(run, **{axis: value}).path for axis, value in others.items()}
    assert len(paths | {run.path}) == len(others) + 1


def test_path_has_five_folders_whatever_the_names(write, here):
    (here / "my").mkdir()
    (here / "my/own.py").write_text("")
    file = write({"[linear]": "[linear, my/own.py:Net]", SGD: "my/own.py:Step: {lr: [1], k: [2]}"})
    plain, own = runs(file)
    assert plain.path == "fit/my-own.py-Step/line+linear/lr=1+k=2/batch_size=full+epochs=10+gpus=1"
    assert own.path.split("/")[2] == "line+my-own.py-Net"
    assert (plain.code, own.code) == (["my/own.py"], ["my/own.py"])
    assert all(len(run.path.split("/")) == 5 for run in (plain, own))


def test_paths_need_no_quotes_and_no_executor_splits_them(write, here):
    (here / "my, own $ideas").mkdir()
    (here / "my, own $ideas/steps.py").write_text("")
    own = '"my, own $ideas/steps.py:Step": {lr: [0.5, 1e-20], mode: [\'a, b\', "it\'s"]}'
    found = runs(write({SGD: own}))
    assert len({run.path for run in found}) == 4
    assert all(re.fullmatch(r"[\w.=+/-]+", run.path) for run in found)
    assert {run.path.split("/")[3] for run in found} == {
        *("lr=0.5+mode=a-b", "lr=0.5+mode=it-s", "lr=1e-20+mode=a-b", "lr=1e-20+mode=it-s")
    }


def test_runs_of_the_package_have_no_code_of_their_own(write):
    (run,) = runs(write())
    assert run.code == []


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_path_and_folders_are_safe_in_a_shell(write, name):
    knobs = OPTIMIZERS[name].knobs
    changed = {
        knob: not value if isinstance(value, bool) else value
        for knob, value in {**knobs, "lr": 1e-7}.items()
    }
    text = ", ".join(f"{k}: [{str(v).lower()}]" for k, v in changed.items())
    (run,) = runs(write({SGD: f"{name}: {{{text}}}", "[linear]": "[mlp]"}))
    for path in (run.folder, run.log, run.state):
        assert shlex.quote(path).strip("'") == path and not set(path) & set(" '\"$*?{}\\&;|<>()")
        assert not Path(path).is_absolute() and ".." not in path


def test_seeds_of_confirmation_lie_apart(write):
    (run,) = runs(write())
    assert run.folder == f"results/tiny/runs/{run.path}"
    assert replace(run, first_seed=CONFIRMATION - 1).folder == run.folder
    apart = replace(run, first_seed=CONFIRMATION)
    assert list(apart.seed_numbers) == [100_000, 100_001] and apart.path == run.path
    assert apart.folder == f"results/tiny/confirm/{run.path}"
    assert apart.state == f"results/tiny/state/confirm/{run.path}.json"
    assert apart.log == f"results/tiny/logs/confirm/{run.path}.log"
    assert schema.load("config")["properties"]["seeds"]["maximum"] == CONFIRMATION


def test_where_seeds_begin_changes_no_text_unless_it_is_said(write):
    (run,) = runs(write())
    assert run.text() == replace(run, first_seed=0).text() and "first_seed" not in run.text()
    assert "--first-seed" not in run.options()
    assert "first_seed" in replace(run, first_seed=1).text()


@pytest.mark.parametrize(
    ("network", "changes", "expected"),
    [
        ("linear", {}, True),
        ("linear", {"batch_size": 2}, False),
        ("linear", {"batch_size": 2, "vary": ["weights"]}, True),  # of which it has none at random
        ("linear", {"vary": ["weights", "split"]}, False),
        ("linear", {"vary": ["subset"]}, False),
        ("mlp", {}, False),
        ("mlp", {"vary": ["order"]}, True),
        ("mlp", {"vary": ["order"], "batch_size": 2}, False),
        ("mlp", {"vary": ["order"], "network_options": {"dropout": 0.1}}, False),
        ("my/nets.py:Net", {"vary": ["order"]}, False),  # it may draw what it likes
    ],
)
def test_nothing_random_is_a_matter_of_what_seeds_vary(write, network, changes, expected):
    (run,) = runs(write())
    usual = {"network": network, "constant": network == "linear"}
    assert replace(run, **usual, **changes).is_deterministic is expected


def test_two_values_of_one_folder_are_a_mistake_in_one_line(write, here):
    (here / "own.py").write_text("")
    with pytest.raises(UserError) as caught:
        reading.load(write({SGD: "own.py:S: {lr: [1], how: ['a b', 'a-b']}"}))
    assert len(str(caught.value).splitlines()) == 1
    assert "two runs would share the folder fit/own.py-S" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.001, "0.001"),
        (1e-5, "1e-05"),
        (1.0, "1"),
        (-0.0, "0"),
        (100000.0, "100000"),
        (1e20, "1e20"),
        (0.1 + 0.2, "0.30000000000000004"),
        (3, "3"),
        (True, "true"),
        (False, "false"),
        ([0.9, 0.999], "0.9_0.999"),
        ((1.0, 50), "1_50"),
    ],
)
def test_value_has_one_text_which_gives_the_value_back(value, expected):
    assert text(value) == expected
    assert text(canonical(value)) == expected
    if isinstance(value, float):
        assert float(expected) == value


def test_different_numbers_have_different_texts():
    values = [0.1, 0.1 + 2**-56, 0.30000000000000004, 0.3, 1, 10, 1e-5, 1e-50, 1e15, 1e16]
    assert len({text(value) for value in values}) == len(values)


def test_settings_match_the_runs_that_they_describe(write):
    found = runs(write({SGD: "momentum: {lr: [0.1, 0.2], momentum: [0.5, 0.8]}\n      sgd:"}))

    def matching(**settings):
        return [(r.optimizer, r.knobs["lr"]) for r in found if r.matches(settings)]

    assert matching(optimizer="momentum", lr=0.1, momentum=0.8) == [("momentum", 0.1)]
    assert matching(optimizer="momentum", lr=0.1) == [("momentum", 0.1)] * 2
    assert matching(optimizer="momentum", weight_decay=0, lr=0.2, momentum=0.5) != []
    assert matching(optimizer="sgd", momentum=0.8) == []
    assert matching(optimizer="adam") == []
    assert len(matching(lr=0.1)) == 3


def test_options_tell_all_of_a_run(write):
    file = write(
        {
            "seeds: 2": "seeds: 2\nmodels: {deep: {network: mlp, hidden: [8, 4]}}",
            "[linear]": "[deep]",
            SGD: "adam: {lr: [0.1], betas: [[0.8, 0.9]], amsgrad: [true]}",
        }
    )
    (run,) = runs(file)
    words = run.options()
    options = list(zip(words[::2], words[1::2], strict=True))
    assert ("--model", "deep") in options and ("--network", "mlp") in options
    assert ("--model-option", "hidden=[8, 4]") in options
    assert ("--knob", "betas=[0.8, 0.9]") in options and ("--knob", "amsgrad=true") in options
    assert all(isinstance(word, str) for word in words)


def test_five_thousand_runs_have_a_folder_each(write):
    rates = ", ".join(f"{n}e-5" for n in range(1, 251))
    file = write({SGD: f"nesterov: {{lr: [{rates}], momentum: [0.1, 0.2, 0.5, 0.9]}}",
                  "[line]": "[digits]", "[full]": "[full, 10, 20, 30, 40]"})  # fmt: skip
    found = runs(file)
    assert len(found) == len({run.path for run in found}) == 5000
    # Neither case nor the order of knobs may be all that tells two folders apart.
    assert len({run.path.lower() for run in found}) == 5000
