"""An output that cannot be written is told before training, in one line."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import CLASSES, finish, resolved, save

import confirm
import plot_curves
import prepare_data
import retrain
import search
import settle
import train
from optlab import files
from optlab.study import table
from optlab.training import loop

SEARCH = {
    "kind": "search",
    "datasets": ["digits"],
    "space": {
        "optimizer": {"type": "categorical", "choices": ["sgd"]},
        "lr": {"type": "float", "low": 0.1, "high": 1},
    },
}
SCRIPTS = Path(train.__file__).parent
TRAIN = ["--dataset", "digits", "--model", "softmax", "--device", "cpu"]
OF_SEARCH = ["--study", "study.yaml", "--exercise", "find", "--dataset", "digits"]
LONG = "x" * 250  # as a name it is allowed, but not with what is added while it is written


@pytest.fixture
def there(here, monkeypatch):
    """A study, its data, and a file where a folder is needed; training would be an error."""
    sweep = {**CLASSES, "optimizers": {"adam": {"lr": [0.1]}}}
    study = resolved({"fit": sweep, "find": SEARCH}, confirm=4)
    (run,) = table.runs(study)
    finish(run, [0.5] * 3, val_accuracy=[0.5] * 3)
    for one in {run.data, *(s.data for s in search_of(study))}:
        words = ["prepare_data.py", "--source", "digits", "--output", one]
        monkeypatch.setattr("sys.argv", words)
        assert prepare_data.main() == 0
    os.replace(save(study), "study.yaml")
    monkeypatch.setattr("sys.stdin", io.StringIO(table.units(study)[0].text()))
    Path("file").write_text("a file")
    Path("folder").mkdir()
    monkeypatch.setattr(loop, "train", lambda *words, **more: pytest.fail("it has been trained"))
    return here


def search_of(study):
    from optlab.study.kinds.search import every

    return every(study)


def prepare(words):
    import sys

    sys.argv = ["prepare_data.py", *words]
    return prepare_data.main()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    ["train.py --list", "plot_curves.py --list --study", "status.py --study", "check.py --study"],
)
def test_a_program_whose_output_nobody_reads_ends_quietly(words, unbuffered, write):
    """As behind ``| head -1``; the status is that of a program that SIGPIPE ends."""
    program, *options = words.split()
    options += [write()] if options[-1] == "--study" else []
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, str(SCRIPTS / program), *options],
            **{"stdout": writer, "stderr": subprocess.PIPE, "check": False},
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_output_that_has_no_room_is_one_line():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, str(SCRIPTS / "train.py"), "--list"],
            **{"stdout": full, "stderr": subprocess.PIPE, "check": False},
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )
    assert (done.returncode, done.stderr) == (1, b"error: results: No space left on device\n")


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (train.main, [*TRAIN, "--output", "file"], "file: File exists"),
        (train.main, [*TRAIN, "--output", "file/more"], "file/more: Not a directory"),
        (train.main, [*TRAIN, "--output", "/proc/here"], "/proc/here: No such file or directory"),
        (train.main, [*TRAIN, "--output", "o", "--state", "file/s"], "file: File exists"),
        (train.main, [*TRAIN, "--output", "o", "--state", LONG], f"{LONG}: File name too long"),
        (search.main, [*OF_SEARCH, "--output", "folder"], "folder: Is a directory"),
        (search.main, [*OF_SEARCH, "--output", "file/w.json"], "file: File exists"),
        (retrain.main, [*OF_SEARCH, "--output-folder", "file"], "file: File exists"),
        (confirm.main, ["--output", "folder"], "folder: Is a directory"),
        (confirm.main, ["--output", LONG], f"{LONG}: File name too long"),
        (prepare, ["--source", "digits", "--output", "d.pt"], "--output: d.pt does not end in"),
        (prepare, ["--source", "digits", "--output", "file/d.json"], "file: File exists"),
        (plot_curves.main, ["--list", "--output", "folder/a.xyz"], "--output: folder/a.xyz ends"),
        (
            plot_curves.main,
            ["--study", "study.yaml", "--optimizer", "adam", "--output", "file/a.svg"],
            "file: File exists",
        ),
    ],
)
def test_an_output_that_cannot_be_written_is_told_first(there, capsys, main, words, message):
    capsys.readouterr()
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}"), line


def test_settling_needs_its_folder_first(there, capsys, monkeypatch):
    os.rename("results", "earlier")
    Path("results").write_text("a file")
    monkeypatch.setattr(settle.Workflow, "run", lambda *words: pytest.fail("it has been trained"))
    assert settle.main(["--study", "study.yaml", "--minutes", "1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: results") and line.endswith(": Not a directory")


def test_the_check_leaves_nothing_but_folders(here):
    files.check(Path("a/b.json"), Path("c.json"))
    assert sorted(os.listdir()) == ["a"] and os.listdir("a") == []
    Path("c.json").write_text(json.dumps(1))
    files.check(Path("c.json"))
    assert Path("c.json").read_text() == "1"


@pytest.mark.parametrize(("raised", "told"), [("KeyboardInterrupt", 1), ("ValueError", 3)])
def test_an_interrupt_that_nothing_catches_is_one_line(raised, told):
    code = f"from optlab import errors\nerrors.say_interrupts()\nraise {raised}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode != 0 and len(lines) == told
    assert (lines == ["error: interrupted"]) == (raised == "KeyboardInterrupt")
