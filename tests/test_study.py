"""A study is read with every default filled in; every mistake in it is reported in one line."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from handmade import SCALING, resolved

from optlab.catalogue import datasets, optimizers
from optlab.errors import UserError
from optlab.study import reading, schema, table

ROOT = Path(__file__).resolve().parents[1]
OPTIMIZERS = (
    "sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamw, nadam, radam, adamax, "
    "adafactor, muon, rprop, lbfgs, or your own as path/to/file.py:Class or package.module:Class"
)
DATASETS = ", ".join(datasets.BUILT_IN)
NETWORKS = "linear, softmax, mlp, cnn, resnet, lstm, gpt, or your own as path/to/file.py:name"
SCHEMA = schema.load("config")
READERS = ", ".join(name for name, one in datasets.SOURCES.items() if "file" in one.needs)
DATASET_KEYS = ", ".join(SCHEMA["$defs"]["dataset"]["properties"])
STUDY_KEYS = ", ".join(SCHEMA["properties"])
EXERCISE_KEYS = ", ".join(SCHEMA["$defs"]["sweep"]["properties"])
SGD = "sgd:\n        lr: [0.01]"
OPTIMIZER = "exercises.fit.optimizers"
RATE = "a finite number of at least 0"
PAIR = "two numbers of at least 0 and below 1, as [0.9, 0.999]"
SIZE = "a whole number from 1 up, or full"
NAME = "up to 100 letters, digits, '-', '_' and '.', beginning with a letter or a digit"

# Text of the smallest study, its replacement, and the line that reports the mistake.
BROKEN = {
    "optimizer with a typing error": (
        *("sgd:", "sgdd:"),
        f"10: {OPTIMIZER}.sgdd: unknown optimizer; did you mean 'sgd'? allowed: {OPTIMIZERS}",
    ),
    "misprinted optimizer in capitals": (
        *("sgd:", "ADMA:"),
        f"10: {OPTIMIZER}.ADMA: unknown optimizer; did you mean 'adam'? allowed: {OPTIMIZERS}",
    ),
    "misprinted network in capitals": (
        *("[linear]", "[Soft-Mxa]"),
        "6: exercises.fit.models.0: unknown network 'Soft-Mxa'; did you mean 'softmax'? allowed: "
        "linear, softmax, mlp, cnn, resnet, lstm, gpt, or your own as path/to/file.py:name",
    ),
    "knob below an optimizer in capitals": (
        *("sgd:\n        lr: [0.01]", "Adam:\n        betas: [[0.9, 2]]"),
        f"11: {OPTIMIZER}.Adam.betas.0: [0.9, 2] is not allowed; two numbers of at least 0 and "
        "below 1, as [0.9, 0.999]",
    ),
    "two spellings of an optimizer": (
        *("sgd:", "torch.optim.SGD: {lr: [1]}\n      sgd:"),
        f"11: {OPTIMIZER}.sgd: 'torch.optim.SGD' and 'sgd' are the same; keep one of the two",
    ),
    "own optimizer without its file": (
        *("sgd:", "gone.py:Sign:"),
        f"10: {OPTIMIZER}.gone.py:Sign: there is no file gone.py (seen from HERE)",
    ),
    "a base that is no optimizer": (
        *(SGD, "my.opt:SAM: {base: {rho: 0.1}}"),
        f"10: {OPTIMIZER}.my.opt:SAM.base.0: {{\"rho\": 0.1}} is not allowed; write "
        "{optimizer: adam}, with its knobs",
    ),
    "a misspelt base": (
        *(SGD, "my.opt:SAM: {base: [{optimizer: sgd}, {optimizer: adamx}]}"),
        f"10: {OPTIMIZER}.my.opt:SAM.base.1: unknown optimizer; did you mean 'adamax'? "
        "allowed: sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamw, nadam, radam, "
        "adamax, adafactor, muon, rprop, lbfgs, or your own as path/to/file.py:Class or "
        "package.module:Class",
    ),
    "weights that decay by a number": (
        *(SGD, "adamw: {no_weight_decay: [[bias], 1]}"),
        f"10: {OPTIMIZER}.adamw.no_weight_decay.1: 1 is not allowed; names, as [bias, norm]",
    ),
    "a rate of a foreign optimizer that is no number": (
        *(SGD, "my.opt:Own: {lr: [fast]}"),
        f"10: {OPTIMIZER}.my.opt:Own.lr.0: 'fast' is not allowed; a finite number",
    ),
    "unknown key of the study": (
        *("seeds: 2", "seedz: 2"),
        f"2: seedz: unknown key; did you mean 'seeds'? allowed: {STUDY_KEYS}",
    ),
    "unknown key of an exercise": (
        *("epochs: [10]", "epoch: [10]"),
        f"7: exercises.fit.epoch: unknown key; did you mean 'epochs'? allowed: {EXERCISE_KEYS}",
    ),
    "unknown knob": (
        *("lr: [0.01]", "lrr: [0.01]"),
        f"11: {OPTIMIZER}.sgd.lrr: the optimizer sgd has no knob 'lrr'; did you mean 'lr'? "
        "allowed: lr, weight_decay, no_weight_decay",
    ),
    "unknown key of a data set": (
        *("seeds: 2", "datasets: {a: {source: digits, sead: 1}}"),
        f"2: datasets.a.sead: unknown key; allowed: {DATASET_KEYS}",
    ),
    "unknown data set": (
        *("[line]", "[mnits]"),
        f"5: exercises.fit.datasets.0: unknown data set 'mnits'; did you mean 'mnist'? "
        f"allowed: {DATASETS}",
    ),
    "npz as a data set": (
        *("[line]", "[npz]"),
        f"5: exercises.fit.datasets.0: unknown data set 'npz'; allowed: {DATASETS}",
    ),
    "data set named by a number": (
        *("[line]", "[7]"),
        "5: exercises.fit.datasets.0: 7 is not a text; write '7'",
    ),
    "unknown source": (
        *("seeds: 2", "datasets: {a: {source: digit}}"),
        f"2: datasets.a.source: unknown source 'digit'; did you mean 'digits'? "
        f"allowed: {', '.join(datasets.SOURCES)}",
    ),
    "npz without a file": (
        *("seeds: 2", "datasets: {a: {source: npz}}"),
        "2: datasets.a.file: source npz needs the path of your .npz file",
    ),
    "npz whose file is missing": (
        *("seeds: 2", "datasets: {a: {source: npz, file: gone.npz}}"),
        "2: datasets.a.file: there is no file gone.npz (seen from HERE)",
    ),
    "file for a source that has its own": (
        *("seeds: 2", "datasets: {a: {source: digits, file: mine.npz}}"),
        f"2: datasets.a.file: only sources {READERS} read a file; source digits has its own",
    ),
    "validation of more than all": (
        *("seeds: 2", "datasets: {a: {source: digits, validation: 1.5}}"),
        "2: datasets.a.validation: 1.5 is neither a number of examples (0, 1, ...) nor a "
        "fraction below 1",
    ),
    "empty subset": (
        *("seeds: 2", "datasets: {a: {source: digits, subset: 0}}"),
        "2: datasets.a.subset: 0 is not allowed; a whole number at least 1",
    ),
    "data set whose name is no folder": (
        *("seeds: 2", "datasets: {a/b: {source: digits}}"),
        f"2: datasets.a/b: 'a/b' cannot be a name; use {NAME}",
    ),
    "unknown network": (
        *("[linear]", "[lineal]"),
        f"6: exercises.fit.models.0: unknown network 'lineal'; did you mean 'linear'? "
        f"allowed: {NETWORKS}",
    ),
    "own network without its file": (
        *("[linear]", "[my/net.py:Net]"),
        "6: exercises.fit.models.0: there is no file my/net.py (seen from HERE)",
    ),
    "unknown option of a network": (
        *("seeds: 2", "models: {small: {network: mlp, hiden: [3]}}"),
        "2: models.small.hiden: the network mlp has no such option; did you mean 'hidden'? "
        "allowed: hidden, dropout",
    ),
    "option of a network out of range": (
        *("seeds: 2", "models: {small: {network: mlp, dropout: 1}}"),
        "2: models.small.dropout: 1 is not allowed; a number of at least 0 and below 1",
    ),
    "model without a network": (
        *("seeds: 2", "models: {small: {hidden: [3]}}"),
        "2: models.small: the key 'network' is missing",
    ),
    "negative rate": (
        *("[0.01]", "[0.1, -0.01]"),
        f"11: {OPTIMIZER}.sgd.lr.1: -0.01 is not allowed; {RATE}",
    ),
    "rate nan": ("[0.01]", "[nan]", f"11: {OPTIMIZER}.sgd.lr.0: 'nan' is not allowed; {RATE}"),
    "rate .nan": ("[0.01]", "[.nan]", f"11: {OPTIMIZER}.sgd.lr.0: NaN is not allowed; {RATE}"),
    "rate .inf": ("[0.01]", "[.inf]", f"11: {OPTIMIZER}.sgd.lr.0: Infinity is not allowed; {RATE}"),
    "rate true": ("[0.01]", "[true]", f"11: {OPTIMIZER}.sgd.lr.0: true is not allowed; {RATE}"),
    "rate that is no number": (
        *("[0.01]", "[fast]"),
        f"11: {OPTIMIZER}.sgd.lr.0: 'fast' is not allowed; {RATE}",
    ),
    "empty list": (
        *("[0.01]", "[]"),
        f"11: {OPTIMIZER}.sgd.lr: the list is empty; give at least one value",
    ),
    "nothing for a list": (
        *("[0.01]", ""),
        f"11: {OPTIMIZER}.sgd.lr: nothing is given; it takes a list of values",
    ),
    "number for a list": (
        *("[0.01]", "0.01"),
        f"11: {OPTIMIZER}.sgd.lr: 0.01 is not a list; write [0.01]",
    ),
    "text for a list": (
        *("[full]", "full"),
        "8: exercises.fit.batch_sizes: 'full' is not a list; write ['full']",
    ),
    "one number twice": (
        *("[0.01]", "[0.1, 1e-1]"),
        f"11: {OPTIMIZER}.sgd.lr: 0.1 is in the list twice",
    ),
    "one data set twice": (
        *("[line]", "[line, line]"),
        "5: exercises.fit.datasets: 'line' is in the list twice",
    ),
    "one key twice": (
        *("lr: [0.01]", "lr: [0.01]\n        lr: [0.02]"),
        f"12: {OPTIMIZER}.sgd.lr: this key is given twice; the first would be lost",
    ),
    "momentum for Adam": (
        *(SGD, "adam: {momentum: [0.9]}"),
        f"10: {OPTIMIZER}.adam.momentum: the optimizer adam has no knob 'momentum'; "
        "momentum, nesterov, rmsprop, muon have it; "
        "allowed: lr, betas, eps, weight_decay, amsgrad, no_weight_decay",
    ),
    "momentum of 1": (
        *(SGD, "momentum: {momentum: [1]}"),
        f"10: {OPTIMIZER}.momentum.momentum.0: 1 is not allowed; a number of at least 0 and "
        "below 1",
    ),
    "one beta": (
        *(SGD, "adam: {betas: [[0.9]]}"),
        f"10: {OPTIMIZER}.adam.betas.0: [0.9] is not allowed; {PAIR}",
    ),
    "beta of 1": (
        *(SGD, "adam: {betas: [[0.9, 1]]}"),
        f"10: {OPTIMIZER}.adam.betas.0: [0.9, 1] is not allowed; {PAIR}",
    ),
    "betas not in a list of their own": (
        *(SGD, "adam: {betas: [0.9, 0.999]}"),
        f"10: {OPTIMIZER}.adam.betas: [0.9, 0.999] is one value; write [[0.9, 0.999]]",
    ),
    "number for a flag": (
        *(SGD, "adam: {amsgrad: [1]}"),
        f"10: {OPTIMIZER}.adam.amsgrad.0: 1 is not allowed; true or false",
    ),
    "no name": ("study: tiny\n", "", "1: the study: the key 'study' is missing"),
    "exercise without optimizers": (
        *(f"    optimizers:\n      {SGD}\n", ""),
        "4: exercises.fit: the key 'optimizers' is missing",
    ),
    "optimizers that are none": (
        *(f"\n      {SGD}", " {}"),
        "9: exercises.fit.optimizers: is empty; give at least one",
    ),
    "exercise that is nothing": (
        *("seeds: 2\nexercises:", "exercises:\n  empty:"),
        "3: exercises.empty: nothing is given; it takes keys with values",
    ),
    "no epochs": ("[10]", "[0]", "7: exercises.fit.epochs.0: 0 is not allowed; a whole number at "
                                 "least 1"),
    "one and a half epochs": (
        *("[10]", "[1.5]"),
        "7: exercises.fit.epochs.0: 1.5 is not allowed; a whole number at least 1",
    ),
    "batch of none": (
        *("[full]", "[0]"),
        f"8: exercises.fit.batch_sizes.0: 0 is not allowed; {SIZE}",
    ),
    "batch size with a typing error": (
        *("[full]", "[fulll]"),
        f"8: exercises.fit.batch_sizes.0: 'fulll' is not allowed; {SIZE}",
    ),
    "no seeds": ("seeds: 2", "seeds: 0", "2: seeds: 0 is not allowed; a whole number at least 1 "
        "and at most 100000"),
    "seeds that vary nothing": (
        *("seeds: 2", "vary: []"),
        "2: vary: the list is empty; give at least one value",
    ),
    "seeds that vary something unknown": (
        *("epochs: [10]", "vary: [wheights, order]"),
        "7: exercises.fit.vary.0: 'wheights' is not known; did you mean 'weights'? allowed: "
        "weights, order, split, subset",
    ),
    "seeds that vary what is no list": (
        *("seeds: 2", "vary: split"),
        "2: vary: 'split' is not a list; write ['split']",
    ),
    "seeds that vary one thing twice": (
        *("seeds: 2", "vary: [order, order]"),
        "2: vary: 'order' is in the list twice",
    ),
    "subset that is not there": (
        *("epochs: [10]", "vary: [weights, subset]"),
        "7: exercises.fit.vary.1: subset: the data set line has no subset to vary",
    ),
    "validation examples that are not there": (
        *("epochs: [10]", "vary: [split, weights]"),
        "7: exercises.fit.vary.0: split: the data set line has no validation examples to draw",
    ),
    "subset that is not there, of the study": (
        *("seeds: 2", "vary: [subset]"),
        "4: exercises.fit.vary.0: subset: the data set line has no subset to vary",
    ),
    "device gpu": (
        *("seeds: 2", "device: gpu"),
        "2: device: 'gpu' is not known; did you mean 'cpu'? allowed: auto, cpu, cuda",
    ),
    "unknown kind": (
        *("epochs: [10]", "kind: sweeep"),
        "7: exercises.fit.kind: 'sweeep' is not known; did you mean 'sweep'? "
        "allowed: sweep, search, scaling",
    ),
    "batch that is larger than the data": (
        *("batch_sizes: [full]", "batch_sizes: [full, 5]"),
        "8: exercises.fit.batch_sizes: a batch of 5 is more than the 4 training examples of line; "
        "use at most 4",
    ),
    "study whose name is two words": (
        *("tiny", "my study"),
        f"1: study: 'my study' cannot be a name; use {NAME}",
    ),
    "study that leaves its folder": (
        *("tiny", "../up"),
        f"1: study: '../up' cannot be a name; use {NAME}",
    ),
    "study whose name ends in a line": (
        *("study: tiny", "study: |\n  tiny"),
        f"1: study: 'tiny\\n' cannot be a name; use {NAME}",
    ),
    "study named by a number": ("tiny", "2024", "1: study: 2024 is not a text; write '2024'"),
    "study named as a folder of the program": (
        *("tiny", "data"),
        "1: study: 'data' is taken: results/data holds something else",
    ),
    "exercise named as a rule": (
        *("fit:", "train:"),
        "4: exercises.train: an exercise cannot be called 'train': a rule has this name",
    ),
    "exercise whose name is two words": (
        *("fit:", "my fit:"),
        "4: exercises.my fit: 'my fit' cannot be a name; use up to 100 letters, digits, '-' and "
        "'_', beginning with a letter",
    ),
    "exercise named by a number": (
        *("fit:", "1:"),
        "4: exercises.1: '1' cannot be a name; use up to 100 letters, digits, '-' and '_', "
        "beginning with a letter",
    ),
    "compared setting that is not in the grid": (
        *("epochs: [10]", "compare: [{optimizer: sgd, lr: 0.1}]"),
        '7: exercises.fit.compare.0: {"optimizer": "sgd", "lr": 0.1} is not in the exercise\'s '
        "grid",
    ),
    "compared optimizer that is not in the exercise": (
        *("epochs: [10]", "compare: [{optimizer: sdg}]"),
        "7: exercises.fit.compare.0.optimizer: 'sdg' is not in this exercise; did you mean 'sgd'? "
        "allowed: sgd",
    ),
    "compared setting without an optimizer": (
        *("epochs: [10]", "compare: [{lr: 0.01}]"),
        "7: exercises.fit.compare.0: the key 'optimizer' is missing",
    ),
    "more threads than any machine has": (
        *("seeds: 2", "threads: 100000"),
        "2: threads: 100000 is not allowed; a whole number at least 1 and at most 1024",
    ),
    "accuracy that is no number": (
        *("epochs: [10]", "target_accuracy: .nan"),
        "7: exercises.fit.target_accuracy: NaN is not allowed; a number at least 0 and at most 1",
    ),
    "accuracy that is no number, of an exercise named as a key": (
        *("fit:", "optimizers:\n    target_accuracy: .nan"),
        "5: exercises.optimizers.target_accuracy: NaN is not allowed; a number at least 0 and at "
        "most 1",
    ),
    "infinite published figure": (
        "epochs: [10]",
        "claims: [{claim: a, value: {optimizer: sgd}, figure: train_loss, published: .inf}]",
        "7: exercises.fit.claims.0.published: 'inf' is not allowed; a number",
    ),
    "network of one's own without a name": (
        *("models: [linear]", "models: [':']"),
        "6: exercises.fit.models.0: ':' is neither path/to/file.py:name nor package.module:name",
    ),
    "name that is no folder's": (
        *("study: tiny", f"study: {'t' * 101}"),
        f"1: study: '{'t' * 101}' cannot be a name; use {NAME}",
    ),
    "key that is a list": (
        *("seeds: 2", "? [a, b]\n: 2"),
        "2: ?: a key is a list or a mapping; it has to be a text",
    ),
    "list that does not end": (
        *("[line]", "[line"),
        "6: not valid YAML: did not find expected ',' or ']'",
    ),
    "tab": (
        *("seeds: 2", "\tseeds: 2"),
        "2: not valid YAML: found a tab character that violates indentation",
    ),
    "unknown tag": (
        *("seeds: 2", "seeds: !two 2"),
        "2: not valid YAML: could not determine a constructor for the tag '!two'",
    ),
}  # fmt: skip


def mistakes(file):
    """The lines that report the mistakes of a study."""
    with pytest.raises(UserError) as caught:
        reading.load(file)
    return str(caught.value).replace(str(Path.cwd()), "HERE").splitlines()


@pytest.mark.parametrize("name", BROKEN)
def test_mistake_is_reported_in_one_line(write, name):
    old, new, line = BROKEN[name]
    assert mistakes(write({old: new})) == [f"study.yaml:{line}"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "study.yaml: the study: nothing is given; it takes keys with values"),
        ("# nothing\n", "study.yaml: the study: nothing is given; it takes keys with values"),
        ("tiny", "study.yaml:1: the study: 'tiny' is not allowed; keys with values"),
        ("\n- tiny", 'study.yaml:2: the study: ["tiny"] is not allowed; keys with values'),
    ],
)
def test_file_without_keys_is_reported_in_one_line(write, text, line):
    assert mistakes(write(text=text)) == [line]


def test_file_that_holds_itself_or_too_much_is_reported_in_one_line(write):
    (line,) = mistakes(write({"datasets: [line]": "datasets: &own [*own]"}))
    assert line == "study.yaml: is nested too deeply, or within itself"
    nested = "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(9))
    (line,) = mistakes(write(text=f"a0: &a0 [1]\n{nested}"))
    assert line.startswith("study.yaml: not valid YAML: more than 200000 entries")
    (line,) = mistakes(write({"seeds: 2": f"seeds: {'2' * 5000}"}))
    assert line.startswith("study.yaml: not valid YAML: Exceeds the limit")


def test_file_name_that_no_file_can_have_is_reported_in_one_line(write):
    (line,) = mistakes(write({"seeds: 2": f"datasets: {{m: {{source: npz, file: {'x' * 5000}}}}}"}))
    assert "datasets.m.file: there is no file x" in line


def test_file_that_cannot_be_read_is_reported_in_one_line(here):
    assert mistakes("gone.yaml") == ["gone.yaml: cannot be read: No such file or directory"]
    (here / "latin.yaml").write_bytes(b"study: \xe9t\xe9\n")
    (line,) = mistakes("latin.yaml")
    assert line.startswith("latin.yaml: ") and "utf-8" in line


def test_all_mistakes_are_reported_at_once(write):
    file = write({"[line]": "[lime]", "[linear]": "[tree]", "[0.01]": "[-1, 0.1, -2]"})
    lines = mistakes(file)
    places = [(":".join(line.split(":")[:2]), line.split(": ")[1]) for line in lines]
    assert sorted(places) == [
        ("study.yaml:11", f"{OPTIMIZER}.sgd.lr.0"),
        ("study.yaml:11", f"{OPTIMIZER}.sgd.lr.2"),
        ("study.yaml:5", "exercises.fit.datasets.0"),
        ("study.yaml:6", "exercises.fit.models.0"),
    ]


# Studies that are right


def test_only_runs_of_several_processes_tell_that_batch_norm_is_synchronised(write):
    plain = runs(write({**DIGITS, "epochs: [10]": "gpus: [1, 2]"}))
    found = runs(write({**DIGITS, "epochs: [10]": "gpus: [1, 2]\n    sync_batch_norm: true"}))
    assert found == [plain[0], replace(plain[1], sync_batch_norm=True)]
    assert not any("sync" in run.text() for run in plain) and "sync" in found[1].text()
    scaling = resolved({"fit": SCALING}, sync_batch_norm=True)
    assert {run.gpus: run.sync_batch_norm for run in table.runs(scaling)} == {1: False, 2: True}


def runs(file):
    return table.runs(reading.load(file))


def paths_and_arguments(file):
    return [(run.path, run.text(), run.options()) for run in runs(file)]


def test_number_that_yaml_reads_as_a_text_is_a_number(write):
    assert yaml.safe_load("1e-5") == "1e-5"
    (run,) = runs(write({"[0.01]": "[1e-5]"}))
    assert run.knobs["lr"] == 1e-5 and isinstance(run.knobs["lr"], float)


@pytest.mark.parametrize("spelling", ["1e-3", "1.0E-3", "+1e-3", ".001", "1.0e-03", "'0.001'"])
def test_spellings_of_a_number_are_one_run(write, spelling):
    plain = paths_and_arguments(write({"[0.01]": "[0.001]"}))
    assert paths_and_arguments(write({"[0.01]": f"[{spelling}]"})) == plain
    assert "lr=0.001" in plain[0][0]


@pytest.mark.parametrize("spelling", ["1.0", "1e0", "'1'"])
def test_whole_numbers_are_one_run(write, spelling):
    assert paths_and_arguments(write({"[0.01]": f"[{spelling}]"})) == paths_and_arguments(
        write({"[0.01]": "[1]"})
    )


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_default_of_a_knob_spelled_out_is_the_same_run(write, name):
    knobs = optimizers.OPTIMIZERS[name].knobs
    spelled = yaml.safe_dump(
        {knob: [value] for knob, value in knobs.items()}, default_flow_style=True, width=1000
    ).strip()
    other = {"[linear]": "[mlp]"}  # some make no sense without a hidden matrix
    plain = paths_and_arguments(write({SGD: f"{name}:", **other}))
    assert paths_and_arguments(write({SGD: f"{name}: {spelled}", **other})) == plain
    assert len(plain) == len(optimizers.OPTIMIZERS[name].grid)


def test_whole_number_as_a_default_is_the_same_run(write):
    plain = paths_and_arguments(write({SGD: "adam: {lr: [0.1]}"}))
    spelled = "adam: {lr: [0.1], weight_decay: [0], betas: [[0.90, 999e-3]]}"
    assert paths_and_arguments(write({SGD: spelled})) == plain


def test_optimizer_without_momentum_has_none(write):
    for run in runs(write({SGD: "adam: {lr: [0.1]}\n      sgd: {lr: [0.1]}"})):
        assert "momentum" not in run.knobs and "momentum" not in run.path
        assert not any("momentum" in word for word in run.options())


def test_texts_stay_texts(write):
    file = write({"tiny": "'2024'", "epochs: [10]": "title: '3.10'"})
    read = reading.load(file)
    assert read["study"] == "2024" and read["exercises"]["fit"]["title"] == "3.10"


def test_exercise_inherits_from_the_study_and_goes_its_own_way(write):
    file = write({"seeds: 2": "seeds: 2\nthreads: 3", "epochs: [10]": "threads: 4"})
    exercise = reading.load(file)["exercises"]["fit"]
    assert (exercise["seeds"], exercise["threads"], exercise["device"]) == (2, 4, "auto")


DIGITS = {"[line]": "[digits]", "[linear]": "[softmax]"}


def test_sweeps_inherit_what_seeds_vary_and_their_runs_tell_it_where_it_is_not_usual(write):
    (plain,) = runs(write(DIGITS))
    assert "vary" not in plain.text() and "vary" not in " ".join(plain.options())
    for spelling in ("[weights, order]", "[order, weights]"):
        assert runs(write({**DIGITS, "seeds: 2": f"seeds: 2\nvary: {spelling}"})) == [plain]
    (run,) = runs(write({**DIGITS, "seeds: 2": "seeds: 2\nvary: [split, weights]"}))
    assert run == replace(plain, vary=["weights", "split"]) and run.path == plain.path
    (own,) = runs(write({**DIGITS, "epochs: [10]": "epochs: [10]\n    vary: [split, weights]"}))
    assert own == run
    search = {
        "kind": "search",
        "datasets": ["digits"],
        "space": {
            "optimizer": {"type": "categorical", "choices": ["sgd"]},
            "lr": {"type": "float", "low": 0.1, "high": 1},
        },
    }
    read = resolved({"scale": SCALING, "find": search}, vary=["split"])
    assert all("vary" not in exercise for exercise in read["exercises"].values())
    assert all(list(run.vary) == ["weights", "order"] for run in table.runs(read))


@pytest.mark.parametrize(
    ("keys", "held_out"),
    [("", 100), (", validation: 40", 40), (", validation: 0.1", 40), (", validation: 0", 0)],
)
def test_runs_whose_seeds_draw_subsets_take_the_whole_data_set(write, keys, held_out):
    study = f"seeds: 2\ndatasets: {{few: {{source: digits, subset: 400{keys}}}}}"
    usual = {**DIGITS, "[line]": "[few]", "seeds: 2": study}
    (fixed,) = runs(write(usual))
    assert fixed.subset is None
    (run,) = runs(write({**usual, "epochs: [10]": "vary: [subset]"}))
    assert (run.subset, run.subset_validation) == (400, held_out)
    (whole,) = runs(write({**usual, "seeds: 2": study.replace(", subset: 400", "")}))
    assert run.data == whole.data != fixed.data
    large = {**usual, "epochs: [10]": "vary: [subset]", "[full]": "[399]"}
    if held_out > 1:
        assert f"more than the {400 - held_out} training examples" in mistakes(write(large))[0]


def test_every_key_of_the_schema_is_described_and_optional_ones_have_a_default():
    top = schema.load("config")
    levels = [top, *(top["$defs"][name] for name in ("dataset", "sweep"))]
    for level in levels:
        for name, key in level["properties"].items():
            assert key.get("description"), name
            inherited = name in reading.INHERITED and level is not top
            own = level is top["$defs"]["dataset"] and name in datasets.FURTHER[1:]  # said in words
            if name not in level["required"] and not inherited and name != "title" and not own:
                assert "default" in key, name


def test_resolved_study_reads_back_as_it_was(write, here):
    file = write({"seeds: 2": "seeds: 2\nmodels: {deep: {network: mlp, hidden: [8, 8]}}"})
    read = reading.load(file)
    for _ in range(2):
        (here / "again.yaml").write_text(reading.dump(read), encoding="utf-8")
        assert reading.load("again.yaml") == read


def test_part_of_a_study_has_the_same_runs():
    whole = reading.load(ROOT / "config/config.yaml")
    for exercise in whole["exercises"]:
        part = reading.resolve(reading.part(whole, exercise))
        assert list(part["exercises"]) == [exercise]
        assert table.runs(part) == [r for r in table.runs(whole) if r.exercise == exercise]


def test_reading_does_not_change_its_argument(write):
    config = yaml.safe_load(Path(write()).read_text(encoding="utf-8"))
    before = yaml.safe_dump(config)
    reading.resolve(config)
    assert yaml.safe_dump(config) == before


def rates(read, exercise, optimizer):
    found = (r for r in table.runs(read) if (r.exercise, r.optimizer) == (exercise, optimizer))
    return {run.knobs["lr"] for run in found}


def test_shipped_studies_have_the_exercises_of_the_lab():
    for name, dataset in (("config", "digits"), ("lab", "mnist")):
        read = reading.load(ROOT / f"config/{name}.yaml")
        assert read["exercises"]["linear"]["datasets"] == ["line"]
        assert read["exercises"]["linear"]["epochs"] == [1000]
        assert read["exercises"]["softmax"]["datasets"] == [dataset]
        assert read["exercises"]["cnn"]["models"] == ["cnn"]
        momenta = {r.knobs["momentum"] for r in table.runs(read) if r.optimizer == "momentum"}
        assert momenta >= {0.2, 0.4, 0.6, 0.8}


def test_shipped_studies_have_the_seven_optimizers_of_the_sources_on_language():
    seven = {"sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw", "nadam"}
    for name in ("config", "lab"):
        read = reading.load(ROOT / f"config/{name}.yaml")
        for exercise, network in (("language", "gpt"), ("language_lstm", "lstm")):
            runs = [r for r in table.runs(read) if r.exercise == exercise]
            assert {r.network for r in runs} == {network}
            assert {r.optimizer for r in runs} == seven
            assert all(len(rates(read, exercise, one)) >= 3 for one in seven)
            for claim in read["exercises"][exercise]["claims"]:
                assert len(claim["order"]) == 2 and claim["figure"] == "val_loss"
        told = [one.get("unanswered", "") for one in read["exercises"]["optimizers"]["claims"]]
        titles = [read["exercises"][one]["title"] for one in ("language", "language_lstm")]
        assert sum("see exercise 7" in words for words in told) == 2
        assert all(title.startswith("7 Language") for title in titles)


def test_lab_has_the_grids_of_the_sources():
    read = reading.load(ROOT / "config/lab.yaml")
    assert rates(read, "softmax", "sgd") >= {0.01, 0.1, 0.5, 1}
    assert rates(read, "softmax", "momentum") >= {0.001, 0.01, 0.05, 0.1}
    assert rates(read, "softmax", "adam") >= {1e-5, 1e-4, 1e-3, 5e-3}
    # Rates on both sides of the limits of stability, and Adam up to 0.5.
    for optimizer in ("sgd", "momentum"):
        assert {0.01, 0.05} <= rates(read, "linear", optimizer)
    assert {0.05, 0.5} <= rates(read, "linear", "adam")
    compared = {
        "linear": [("sgd", 0.01, None), ("momentum", 0.01, 0.8), ("adam", 0.05, None)],
        "softmax": [("sgd", 0.5, None), ("momentum", 0.1, 0.8), ("adam", 0.001, None)],
    }
    for exercise, settings in compared.items():
        found = read["exercises"][exercise]["compare"]
        assert [(s["optimizer"], s["lr"], s.get("momentum")) for s in found] == settings
    softmax = [r for r in table.runs(read) if r.exercise == "softmax"]
    assert {(r.batch_size, r.epochs) for r in softmax} == {(100, 30)}
    assert {r.epochs for r in table.runs(read) if r.exercise == "softmax_long"} == {100}
    (cnn,) = (r for r in table.runs(read) if r.exercise == "cnn")
    assert (cnn.optimizer, cnn.knobs["lr"], cnn.batch_size, cnn.epochs) == ("adam", 1e-4, 50, 30)


# Through Snakemake itself


def snakemake(*words):
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--snakefile", ROOT / "Snakefile", *words],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "name",
    ["optimizer with a typing error", "negative rate", "no name", "exercise named as a rule"],
)
def test_mistake_ends_snakemake_in_one_line(write, name):
    old, new, line = BROKEN[name]
    done = snakemake("--configfile", write({old: new}))
    lines = [x for x in done.stderr.splitlines() if not x.startswith("Using workflow specific")]
    assert (done.returncode, lines) == (1, [f"error: study.yaml:{line}"])
    assert done.stdout == "" and not Path("results").exists()


def test_broken_yaml_ends_snakemake_without_a_traceback(write):
    # Snakemake reads the file before the workflow begins: it prints two lines without the place.
    done = snakemake("--configfile", write({"[line]": "[line"}))
    told = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in told
    assert re.search("^Config file is not valid JSON or YAML", told, re.MULTILINE)


def test_two_optimizers_cannot_share_the_folder_of_what_is_confirmed(write, here):
    for file in ("own/a.py", "own-a.py"):
        (here / file).parent.mkdir(exist_ok=True)
        (here / file).write_text("class S: pass")
    both = "own/a.py:S: {lr: [0.1]}\n      own-a.py:S: {lr: [0.2]}"
    (line,) = mistakes(write({SGD: both}))
    assert line.endswith("own/a.py:S and own-a.py:S would share a folder; rename one")


@pytest.mark.parametrize("section", ["datasets", "exercises"])
def test_mistakes_come_in_the_order_of_the_file(section, write):
    """Their order did not depend on the file but on the hashes of names, which vary by call."""
    names = [f"{letter}{number}" for number in (3, 1, 2) for letter in "xaqf"]
    lines = "".join(f"  {name}: {{wrong: 1}}\n" for name in names)
    text = f"study: tiny\n{section}:\n{lines}"
    text += "exercises: {fit: {}}\n" if section != "exercises" else ""
    with pytest.raises(UserError) as error:
        reading.load(write(text=text))
    places = [line.split(":")[1] for line in str(error.value).splitlines() if ".wrong:" in line]
    assert places == [str(number) for number in range(3, 15)]
