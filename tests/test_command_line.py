"""Training by hand and plotting by hand: defaults, spellings, lists, and mistakes in one line."""

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from handmade import CLASSES, describe, fail, finish, resolved, save

import plot_curves
import train
from optlab import command_line, files
from optlab.catalogue import networks, optimizers, schedules
from optlab.catalogue.knobs import KNOBS
from optlab.errors import UserError
from optlab.figures import limits, side_by_side
from optlab.figures.reader import Reader
from optlab.runs import metrics
from optlab.study import reading, schema, table
from optlab.training.checkpoints import Checkpoints


@pytest.fixture
def prepared(monkeypatch, here):
    """No data set is prepared: only what the command line means is looked at."""
    monkeypatch.setattr(command_line, "_prepared", lambda name: f"results/data/{name}.json")
    return here


def run(*words):
    return command_line.to_run(command_line.train_parser("").parse_args(words))


def test_everything_has_a_default(prepared):
    found = run()
    assert (found.dataset, found.model, found.optimizer) == ("digits", "mlp", "sgd")
    assert (found.batch_size, found.epochs, found.seeds, found.schedule) == (64, 50, 1, "constant")
    assert found.knobs == {"lr": 0.1, "weight_decay": 0.0}


@pytest.mark.parametrize("size", ["--batch-size", "--batch_size"])
@pytest.mark.parametrize("rate", ["--learning-rate", "--learning_rate", "--lr"])
def test_the_promised_command_line(prepared, size, rate):
    found = run("--optimizer", "adam", "--epochs", "50", size, "64", rate, "0.001")
    assert (found.optimizer, found.epochs, found.batch_size) == ("adam", 50, 64)
    assert found.knobs["lr"] == 0.001


def test_the_options_of_a_run_describe_that_run_again(prepared, write):
    old = "epochs: [10]"
    text = f"{old}\n    schedules: [{{name: cosine, final: 0.1}}]"
    (planned,) = table.runs(reading.load(write({old: text})))
    files.write(Path(planned.data), '{"name": "line"}')
    again = run(*planned.options())
    assert (again.path, again.schedule) == (planned.path, "cosine,final=0.1")
    assert replace(again, study=planned.study) == planned
    assert run("--settings", planned.text()) == planned
    drawn = {"vary": ["order", "split", "subset"], "subset": 9, "subset_validation": 3}
    more = ({"vary": ["split"]}, drawn, {"gpus": 2, "sync_batch_norm": True})
    for changes in ({"first_seed": 1_000_000}, *more):
        other = replace(planned, **changes)
        assert replace(run(*other.options()), study=planned.study) == other
        assert run("--settings", other.text()) == other
    with pytest.raises(UserError, match=r"^--settings: not a run of this version: "):
        run("--settings", '{"speed": 3}')


@pytest.mark.parametrize(
    ("words", "optimizer", "knobs"),
    [
        ("--optimizer Momentum --momentum .5", "momentum", {"momentum": 0.5}),
        ("--optimizer adam --betas 0.8,0.99", "adam", {"betas": [0.8, 0.99]}),
        ("--optimizer adam --betas [.8,0.99]", "adam", {"betas": [0.8, 0.99]}),
        ("--optimizer adam --betas [0,0.9] --eps 1e-6", "adam", {"betas": [0, 0.9], "eps": 1e-6}),
        ("--optimizer adam --amsgrad True", "adam", {"amsgrad": True}),
        ("--optimizer AdamW --weight-decay 1e-4", "adamw", {"weight_decay": 1e-4}),
        ("--optimizer torch.optim.SGD --weight_decay 1", "sgd", {"weight_decay": 1}),
        ("--optimizer muon --nesterov false", "muon", {"nesterov": False}),
        ("--optimizer adafactor --beta2-decay -0.5", "adafactor", {"beta2_decay": -0.5}),
        ("--optimizer adafactor --d 2", "adafactor", {"d": 2}),
        ("--optimizer rmsprop --knob momentum=0.5", "rmsprop", {"momentum": 0.5}),
        ("--optimizer a.b:Own --rho 0.5 --knob x=[1]", "a.b:Own", {"rho": 0.5, "x": [1]}),
    ],
)
def test_every_knob_has_an_option(prepared, words, optimizer, knobs):
    found = run(*words.split(), "--lr", "0.3", "--model", "MLP", "--dataset", "Digits")
    assert found.optimizer == optimizer
    assert found.knobs == optimizers.complete(optimizer, {**knobs, "lr": 0.3})
    assert (found.model, found.network, found.dataset) == ("mlp", "mlp", "digits")


def test_the_help_names_every_knob(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    told = capsys.readouterr().out
    options = told.partition("knobs of the optimizer:")[2].partition("Each takes")[0].split()
    assert options == [f"--{name.replace('_', '-')}" for name in KNOBS if name != "lr"]
    assert "--weight_decay" not in told


def test_a_name_beside_a_network_is_as_it_is_written(prepared):
    found = run("--model", "CNN", "--network", "Mlp")
    assert (found.model, found.network) == ("CNN", "mlp")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--epochs 0", "--epochs: '0' is not allowed; a whole number from 1 up"),
        ("--seeds -1", "--seeds: '-1' is not allowed; a whole number from 1 to 100000"),
        ("--first-seed -1", "--first-seed: '-1' is not allowed; a whole number from 0 to 1000000"),
        ("--vary order,wheights", "--vary: 'wheights' is not known; did you mean 'weights'? all"),
        ("--vary=", "--vary: '' is not known; allowed: weights, order, split, subset"),
        ("--vary subset", "--subset is the size of what --vary subset draws: give both or neither"),
        ("--subset 9", "--subset is the size of what --vary subset draws: give both or neither"),
        ("--threads 9999", "--threads: '9999' is not allowed; a whole number from 1 to 1024"),
        ("--gpus 1.5", "--gpus: '1.5' is not allowed; a whole number from 1 to 4096"),
        ("--exercise a/b", "--exercise: 'a/b' is not allowed; up to 100 letters, digits"),
        ("--state=", "--state: '' is not allowed; name a file, not a folder"),
        ("--state .", "--state: '.' is not allowed; name a file, not a folder"),
        ("--output=", "--output: '' is not allowed; name a folder"),
        ("--batch-size x", "--batch-size/--batch_size: 'x' is not allowed; a whole number from 1"),
        ("--batch-size 0", "--batch-size/--batch_size: '0' is not allowed; a whole number from 1"),
        ("--lr nan", "--learning-rate/--learning_rate/--lr: 'nan' is not allowed; a finite"),
        ("--lr inf", "--learning-rate/--learning_rate/--lr: 'inf' is not allowed; a finite"),
        (
            "--optimizer adm",
            "--optimizer adm: unknown optimizer; did you mean 'adam'? allow",
        ),
        ("--model mpl", "--model: unknown network 'mpl'; did you mean 'mlp'? allowed: "),
        (
            "--model-option hiden=[3]",
            "--model-option: hiden: the network mlp has no such option; did you mean",
        ),
        ("--model-option hidden=3", "--model-option: hidden: 3 is not allowed; a list of whole"),
        ("--model-option hidden", "--model-option: 'hidden' is not NAME=VALUE"),
        (
            "--schedule cosin",
            "--schedule: unknown schedule 'cosin'; did you mean 'cosine'? allowed: ",
        ),
        (
            "--optimizer adam --knob momentum=0.9",
            "--optimizer adam: momentum: the optimizer adam has no knob 'momentum'; momentum, nes",
        ),
        (
            "--optimizer adam --momentum 0.9",
            "--optimizer adam: momentum: the optimizer adam has no knob 'momentum'; momentum, nes",
        ),
        (
            "--optimizer adam --betas 0.9",
            "--optimizer adam: betas: 0.9 is not allowed; two numbers of at least 0 and below 1",
        ),
        ("--weight-decay x", "--optimizer sgd: weight_decay: 'x' is not allowed; a finite number"),
        ("--eps=", "--optimizer sgd: eps: the optimizer sgd has no knob 'eps'; adagrad, adadelt"),
        ("--weight-decay", "--weight-decay/--weight_decay: expected one argument"),
        ("--lr 1 --knob lr=2", "--knob lr: is given by --lr, too"),
        ("--optimizer adam --eps 1 --knob eps=2", "--knob eps: is given by --eps, too"),
        ("--optimizer ADMA", "--optimizer ADMA: unknown optimizer; did you mean 'adam'? allowed"),
        ("--model Mpl", "--model: unknown network 'Mpl'; did you mean 'mlp'? allowed: "),
        ("--optimizer lbfgs", "L-BFGS compares gradients of one and the same loss: it needs batch"),
        ("--optimizer muon --model softmax", "the network softmax has no hidden matrix"),
        ("--data gone.json", "gone.json: not a prepared data set"),
        ("--speed 3", "unrecognized arguments: --speed 3"),
    ],
)
def test_a_mistake_is_one_line(prepared, capsys, words, message):
    try:
        code = train.main(words.split())
    except SystemExit as end:
        code = end.code
    (line,) = capsys.readouterr().err.splitlines()
    assert code in (1, 2) and line.startswith(f"error: {message}")


def test_limits_are_those_of_a_study():
    top = schema.load("config")
    rules, gpus = top["properties"], top["$defs"]["gpus"]["items"]
    most = {name: rules[name]["maximum"] for name in ("seeds", "threads")}
    for name, limit in {**most, "gpus": gpus["maximum"]}.items():
        assert getattr(run(f"--{name}", str(limit), "--batch-size", str(limit)), name) == limit
        with pytest.raises(SystemExit):
            run(f"--{name}", str(limit + 1))
    assert (
        rules["exercises"]["propertyNames"]["pattern"]
        == f"^{command_line.values.NAME.pattern}$(?!\n)"
    )


def test_a_word_that_is_no_text_is_one_line():
    done = subprocess.run(
        [sys.executable, train.__file__, b"--exercise=\xff"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert done.stderr.startswith(b"error: --exercise: '")


def test_words_that_no_test_can_be_named_by_are_one_line(prepared, capsys):
    words = {
        f"--knob=weight_decay=1{'0' * 400}": "--optimizer sgd: weight_decay: 1000",
        f"--knob=x={'[' * 100_000}": "--optimizer sgd: x: the optimizer sgd has no knob 'x'",
    }
    for word, message in words.items():
        test_a_mistake_is_one_line(prepared, capsys, word, message)


def test_an_unknown_data_set_is_one_line(here, capsys):
    assert train.main(["--dataset", "mnits"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: --dataset: unknown data set 'mnits'; did you mean 'mnist'? allowed: line, "
    )


def test_list_names_everything_there_is(capsys):
    assert train.main(["--list"]) == 0
    words = capsys.readouterr().out.replace(",", " ").replace(":", " ").split()
    assert {*optimizers.OPTIMIZERS, *schedules.SCHEDULES, *networks.NETWORKS} <= set(words)
    assert {"digits", "mnist", "cifar10"} <= set(words)


def test_a_run_by_hand_is_trained_says_where_its_results_are_and_is_drawn(here, capsys):
    words = "--dataset line --model linear --batch-size full --epochs 4 --lr 0.01 --schedule cosine"
    assert train.main(words.split()) == 0
    folder = Path(capsys.readouterr().out.splitlines()[-1].removeprefix("results: "))
    rows = metrics.read(folder / "metrics.tsv")
    assert len(rows) == 5 and {row["schedule"] for row in rows} == {"cosine"}
    assert plot_curves.main(["--output", "a.png"]) == 0
    assert capsys.readouterr().err == f"drawn: {folder}\n"


def test_seeds_that_begin_later_are_those_trained_one_at_a_time(here, capsys):
    words = "--dataset digits --model softmax --epochs 2 --device cpu --output"

    def trained(folder, first, seeds):
        assert train.main([*words.split(), folder, "--first-seed", first, "--seeds", seeds]) == 0
        told = capsys.readouterr().out
        return told, [{**row, "seconds": None} for row in metrics.read(Path(folder, "metrics.tsv"))]

    alone = [row for seed in range(3) for row in trained(f"{seed}", f"{100_000 + seed}", "1")[1]]
    _, two = trained("all", "100000", "2")
    told, all_of_them = trained("all", "100000", "3")
    assert [row["seed"] for row in alone[::3]] == ["100000", "100001", "100002"]
    assert all_of_them == alone and two == alone[:6]
    assert "seed 3/3" in told and not {"seed 1/3", "seed 2/3"} & {
        line[:8] for line in told.split("\n")
    }
    told, fewer = trained("all", "100001", "2")
    assert fewer == alone and "seed" not in told  # more are kept than are asked for
    before = Path("all/metrics.tsv").read_bytes()
    assert "seed" not in trained("all", "100000", "3")[0]
    assert Path("all/metrics.tsv").read_bytes() == before


def test_seeds_that_a_checkpoint_has_and_nobody_asks_for_now_are_kept(here, capsys):
    words = "--dataset digits --model softmax --epochs 2 --device cpu --state state.json"
    assert train.main([*words.split(), "--output", "a", "--seeds", "2"]) == 0
    record, rows = json.loads(Path("a/run.json").read_text()), metrics.read(Path("a/metrics.tsv"))
    rows = [{**row, "seed": int(row["seed"])} for row in rows]
    interrupted = Checkpoints(Path("state.json.pt"), record["fingerprint"])
    interrupted.finish(rows, record["seeds"], last=True)
    interrupted._write()
    for seeds in ("1", "2"):
        capsys.readouterr()
        assert train.main([*words.split(), "--output", "b", "--seeds", seeds]) == 0
        assert "epoch" not in capsys.readouterr().out
        assert Path("b/metrics.tsv").read_bytes() == Path("a/metrics.tsv").read_bytes()


def test_seeds_that_draw_subsets_are_trained_and_the_record_has_their_size(here):
    words = "--model softmax --epochs 1 --device cpu --seeds 2 --output out --vary order,subset"
    more = "--batch-size 100 --subset 300 --subset-validation 60"
    assert train.main([*words.split(), *more.split()]) == 0
    record = json.loads(Path("out/run.json").read_text())
    assert record["sizes"] == {"train": 240, "validation": 60, "test": 360}
    assert record["settings"]["vary"] == ["order", "subset"]
    first, second = (row for row in metrics.read(Path("out/metrics.tsv")) if row["epoch"] == "1")
    assert first["step"] == "3" and first["val_loss"] != second["val_loss"]


def test_a_network_that_is_too_large_is_told_in_one_line(here, capsys):
    assert train.main(["--model-option", "hidden=[1000000000000]", "--device", "cpu"]) == 1
    assert "has about 7e+13 weights; at most 1e+10" in capsys.readouterr().err.splitlines()[-1]
    Path("big.py").write_text(
        "from torch import nn\n\ndef Big(shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10**13), nn.Linear(10**13, 1))\n"
    )
    assert train.main(["--model", "big.py:Big", "--device", "cpu"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: not enough memory: ")


# -- plotting ----------------------------------------------------------------------------------


@pytest.fixture
def finished(here):
    """A study with two optimizers; of one the runs are finished, of the other not."""
    exercise = {**CLASSES, "optimizers": {"adam": {"lr": [0.01, 0.1]}, "sgd": {"lr": [1]}}}
    study = resolved({"one": exercise, "two": {**exercise, "models": ["mlp"]}})
    for each in table.runs(study):
        if each.optimizer == "adam":
            loss = 0.2 if each.knobs["lr"] == 0.1 else 0.4
            finish(each, [loss] * 3, val_loss=[loss] * 3, train_accuracy=[0.9] * 3)
    return str(save(study))


def plot(study, *words):
    return plot_curves.main(["--study", study, *words])


def test_a_picture_is_replaced_whole_or_not_at_all(finished, capsys, monkeypatch):
    Path("a.svg").write_text("an earlier one")
    monkeypatch.setattr(os, "fsync", no_room)
    assert plot(finished, "--optimizer", "adam", "--output", "a.svg") == 1
    assert capsys.readouterr().err.endswith("error: a.svg: No space left on device\n")
    assert Path("a.svg").read_text() == "an earlier one"
    assert not list(Path().glob(".a.svg*"))


def no_room(file):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_run_whose_metrics_are_damaged_is_named(finished, capsys):
    first = next(run for run in table.runs(reading.load(finished)) if run.optimizer == "adam")
    Path(first.folder, "metrics.tsv").write_text("")
    assert plot(finished, "--optimizer", "adam", "--exercise", "one", "--output", "a.svg") == 0
    line, drawn = capsys.readouterr().err.splitlines()
    assert line.startswith(f"not drawn: {first.folder}/metrics.tsv: not a metrics file")
    assert drawn.startswith("drawn: results/hand/runs/one/adam/digits+softmax/lr=0.1/")


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_curves_go_to_a_file(finished, capsys, ending):
    assert plot(finished, "--optimizer", "adam", "--output", f"out/a.{ending}") == 0
    assert Path(f"out/a.{ending}").stat().st_size > 5000
    told = capsys.readouterr()
    assert told.out == f"out/a.{ending}\n" and "two, digits, mlp" in told.err


def test_the_best_run_is_drawn_unless_a_rate_is_named(finished):
    for words, rate in (([], "0.1"), (["--learning_rate", "0.01"], "0.01")):
        assert plot(finished, "--optimizer", "adam", *words, "--output", "a.svg") == 0
        assert f"Adam, lr {rate}<" in Path("a.svg").read_text()


def test_only_runs_of_the_study_are_drawn(finished):
    """Another run of the optimizer, better than all, lies beside those of the study."""
    other = {**CLASSES, "optimizers": {"adam": {"lr": [0.5]}}}
    (stranger,) = table.runs(resolved({"one": other}))
    finish(stranger, [0.01] * 3, val_loss=[0.01] * 3)
    assert plot(finished, "--optimizer", "adam", "--output", "a.svg") == 0
    assert "Adam, lr 0.1<" in Path("a.svg").read_text()


def test_what_is_finished_is_listed(finished, capsys):
    assert plot(finished, "--list") == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "one, digits, softmax, batch size 100, adam: 2 of 2 runs",
        "one, digits, softmax, batch size 100, sgd: 0 of 1 runs",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--optimizer is missing; --list says which there are"),
        (
            "--optimizer adan",
            "--optimizer: adan is not in STUDY; did you mean 'adam'? allowed: adam",
        ),
        ("--optimizer adam --lr 3", "--learning-rate: 3 is not in STUDY for adam; 0.01, 0.1"),
        ("--optimizer adam --exercise tow", "--exercise: tow is not in STUDY for adam; did you"),
        ("--optimizer sgd", "none of the 2 runs of sgd is finished; run the study first"),
        ("--optimizer adam sgd", "none of the 2 runs of sgd is finished; run the study first"),
        ("--optimizer Adam --dataset mnist", "--dataset: mnist is not in STUDY for adam; allowed"),
        ("--optimizer adam --output a.jpg", "--output: a.jpg ends in none of .svg, .png, .pdf"),
        ("--optimizer adam", "no window can be opened here; name a file with --output"),
    ],
)
def test_a_mistake_in_plotting_is_one_line(finished, capsys, monkeypatch, words, message):
    monkeypatch.setenv("MPLBACKEND", "agg")
    try:
        code = plot(finished, *words.split())
    except SystemExit as end:
        code = end.code
    told = [line for line in capsys.readouterr().err.splitlines() if "not drawn" not in line]
    assert code in (1, 2) and len(told) == 1
    assert told[0].startswith(f"error: {message.replace('STUDY', finished)}")


def by_hand(optimizer, loss, age, *words):
    """Write a result of train.py that is ``age`` seconds old."""
    one = run("--optimizer", optimizer, "--model", "softmax", *words)
    accuracy = {"val_loss": [loss], "train_accuracy": [1 - loss], "val_accuracy": [1 - loss]}
    finish(one, [loss], **accuracy)
    settings = asdict(one)
    del settings["study"]
    describe(one, {"settings": settings, "seeds": []})
    then = time.time() - age
    os.utime(Path(one.folder, "run.json"), (then, then))
    return one


@pytest.fixture
def trained(prepared):
    """Results by hand, the newest first; on the newest problem there is no momentum."""
    return {
        "new": by_hand("adam", 0.4, 1, "--lr", "0.5"),
        "sgd": by_hand("sgd", 0.3, 2),
        "best": by_hand("adam", 0.2, 3, "--lr", "0.1"),
        "other": by_hand("adam", 0.1, 4, "--epochs", "9"),
        "momentum": by_hand("momentum", 0.1, 5, "--epochs", "9"),
    }


@pytest.mark.parametrize(
    ("words", "drawn"),
    [
        ("", ["new"]),
        ("--dataset Digits --batch-size 64", ["new"]),
        ("--lr 0.1", ["sgd"]),
        ("--optimizer Adam", ["best"]),
        ("--optimizer adam --lr 0.5", ["new"]),
        ("--optimizer sgd torch.optim.Adam sgd", ["sgd", "best"]),
        ("--optimizer momentum", ["momentum"]),
        ("--optimizer adam momentum", ["other", "momentum"]),
    ],
)
def test_what_was_trained_by_hand_is_drawn(trained, capsys, words, drawn):
    assert plot_curves.main([*words.split(), "--output", "a.svg"]) == 0
    folders = ", ".join(trained[name].folder for name in drawn)
    assert capsys.readouterr().err == f"drawn: {folders}\n"
    for name in drawn:
        label = optimizers.of(trained[name].optimizer).label
        assert f"{label}, lr {trained[name].knobs['lr']}" in Path("a.svg").read_text()


def test_a_study_is_drawn_where_it_is_named_or_nothing_by_hand_fits(finished, trained, capsys):
    os.renames(finished, command_line.STUDY)
    for words in (["--optimizer", "adam", "--study", command_line.STUDY],
                  ["--optimizer", "adam", "--exercise", "one"]):  # fmt: skip
        assert plot_curves.main([*words, "--output", "a.svg"]) == 0
        assert "\ndrawn: results/hand/runs/one/adam/" in "\n" + capsys.readouterr().err
    assert plot_curves.main(["--list"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "by hand: hand, digits, softmax, batch size 64, adam: 3 of 3 runs"
    assert "one, digits, softmax, batch size 100, adam: 2 of 2 runs" in told
    assert plot_curves.main(["--optimizer", "adan"]) == 1
    places = f"{command_line.STUDY} or results/by-hand"
    told = capsys.readouterr().err
    assert told.startswith(f"error: --optimizer: adan is not in {places}; did you mean 'adam'?")


def test_without_a_study_the_message_is_of_what_was_trained_by_hand(trained, capsys):
    assert plot_curves.main(["--list"]) == 0 and len(capsys.readouterr().out.splitlines()) == 3
    for words, message in {
        "--optimizer muon": "--optimizer: muon is not in results/by-hand; allowed: adam, sgd, mome",
        "--optimizer sgd momentum": "no problem has finished runs of all of sgd, momentum",
    }.items():
        assert plot_curves.main(words.split()) == 1
        assert capsys.readouterr().err.startswith(f"error: {message}")


def test_failed_moved_and_damaged_results_by_hand_are_not_drawn(trained, capsys):
    fail(trained["new"], "it refused")
    moved = Path(trained["sgd"].folder)
    moved.rename("results/by-hand/elsewhere")
    Path(trained["best"].folder, "metrics.tsv").write_text("")
    (Path(trained["momentum"].folder) / "run.json").write_text("{")
    assert plot_curves.main(["--output", "a.svg"]) == 0
    line, drawn = capsys.readouterr().err.splitlines()
    assert line.startswith(f"not drawn: {trained['best'].folder}")
    assert drawn == f"drawn: {trained['other'].folder}"


def test_several_optimizers_have_a_panel_for_each_figure_and_part(trained):
    reader = Reader({"exercises": {"hand": {"metric": "auto"}}}, list(trained.values()))
    figure = side_by_side.curves("Both", [trained["best"], trained["sgd"]], reader)
    labels = [(axes.get_ylabel(), axes.get_title(loc="left")) for axes in figure.axes]
    assert labels == [
        ("loss (cross entropy, nats)", "training data"),
        ("", "validation data"),
        ("accuracy (fraction correct)", ""),
        ("", ""),
    ]
    for axes in figure.axes:
        lines = [line for line in axes.get_lines() if line.get_label() != limits.OUTSIDE]
        assert [line.get_color() for line in lines] == ["#D55E00", "#000000"]
    (legend,) = figure.legends
    assert [words.get_text() for words in legend.get_texts()] == ["Adam, lr 0.1", "SGD, lr 0.1"]


@pytest.mark.parametrize(
    ("words", "optimizer", "knobs"),
    [
        ("--momentum 0.8 --weight-decay 1e-4", "momentum", {"momentum": 0.8, "weight_decay": 1e-4}),
        ("--optimizer torch.optim.SGD --momentum 0.8", "momentum", {"momentum": 0.8}),
        ("--optimizer SGD --momentum 0.8 --nesterov true", "nesterov", {"momentum": 0.8}),
        ("--optimizer sgd", "sgd", {}),
        (
            "--optimizer a.b:C --lr 1 --knob base={optimizer: adam, lr: 1e-2}",
            *("a.b:C", {"base": {"optimizer": "adam", "lr": 0.01}}),
        ),
    ],
)
def test_sgd_with_momentum_and_a_base_as_a_study_writes_it(words, optimizer, knobs, here):
    text = words.replace("--knob base={", "--knob=base={")
    head, _, base = text.partition("--knob=")
    given = [*head.split(), *([f"--knob={base}"] if base else [])]
    arguments = command_line.train_parser("").parse_args(["--data", "x.json", *given])
    Path("x.json").write_text('{"name": "x"}')
    run = command_line.to_run(arguments)
    assert run.optimizer == optimizer and knobs.items() <= run.knobs.items()
