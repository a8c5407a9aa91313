"""An interrupted run goes on where it was, to the last digit."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from optlab import optimizers, sources, training
from optlab.checkpoints import Checkpoints
from optlab.datasets import load

TRAIN = Path(__file__).parents[1] / "workflow/scripts/train.py"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.json"
    sources.prepare("digits", {"source": "digits"}, path, None)
    return path


class Cut(Checkpoints):
    """Ends the process, so to say, before a step."""

    def __init__(self, file, step, mark="mark"):
        super().__init__(file, mark)
        self.calls, self.step = 0, step

    def due(self):
        self.calls += 1
        return self.calls == self.step

    def save(self, state):
        super().save(state)
        raise KeyboardInterrupt


def figures(outcome):
    """Everything an outcome says but for its times, weights included, as exact values."""
    rows = [{**vars(row), "seconds": None} for row in outcome.evaluations]
    weights = {key: value.tolist() for key, value in outcome.model.state_dict().items()}
    return json.dumps([rows, weights])


SETTINGS = {
    **{
        name: training.Settings(
            "mlp",
            name,
            {"lr": entry.grid[0], **entry.knobs},
            "full" if name == "lbfgs" else 200,
            4,
            network_options={"hidden": [16], **({} if name == "lbfgs" else {"dropout": 0.3})},
        )
        for name, entry in optimizers.OPTIMIZERS.items()
    },
    **{
        schedule: training.Settings(
            "softmax", "momentum", {"lr": 0.1, "momentum": 0.9}, 200, 4, schedule=schedule
        )
        for schedule in ("cosine", "warmup", "warmup_cosine", "step", "one_cycle")
    },
    "cnn": training.Settings("cnn", "adam", {"lr": 0.001}, 400, 2),
    "rare evaluation": training.Settings("softmax", "adam", {"lr": 0.1}, 200, 6, evaluate_every=4),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_taken_up_again_gives_every_digit_of_one_that_was_never_interrupted(
    name, digits, here
):
    settings, data = SETTINGS[name], load(digits)
    torch.set_num_threads(1)
    whole = training.train(settings, data, 1)
    per_epoch = training.Trainer(settings, data, 1).batches.per_epoch
    for step in (2, per_epoch + 1):  # in the middle of an epoch, and at the start of one
        with pytest.raises(KeyboardInterrupt):
            training.train(settings, data, 1, checkpoints=Cut(Path("run.pt"), step))
        torch.manual_seed(0)  # another process, whose random numbers are elsewhere
        rest = Checkpoints(Path("run.pt"), "mark")
        rest.load()
        state = rest.resume(1)
        assert state["step"] == step - 1 and rest.resume(0) is None
        assert figures(training.train(settings, data, 1, checkpoints=rest)) == figures(whole)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-200]), "damaged"),
        (lambda file: file.write_bytes(b"no checkpoint at all"), "damaged"),
        (lambda file: file.write_bytes(b""), "damaged"),
        (lambda file: torch.save({"mark": "another"}, file), "other settings or code"),
        (lambda file: torch.save([1, 2], file), "damaged"),
    ],
)
def test_a_file_that_is_not_this_runs_is_ignored_with_a_warning(spoil, words, digits, here, capsys):
    settings, data = SETTINGS["sgd"], load(digits)
    file = Path("run.pt")
    with pytest.raises(KeyboardInterrupt):
        training.train(settings, data, 0, checkpoints=Cut(file, 3))
    spoil(file)
    checkpoints = Checkpoints(file, "mark")
    checkpoints.load()
    assert checkpoints.resume(0) is None and checkpoints.finished == {"rows": [], "seeds": []}
    assert words in capsys.readouterr().out


# -- as a process ----------------------------------------------------------------------------


def command(digits, folder, *more):
    words = ["--data", str(digits), "--model", "mlp", "--optimizer", "adam", "--device", "cpu"]
    words += ["--epochs", "60", "--seeds", "2", "--model-option", "dropout=0.2"]
    words += ["--batch-size", "20", "--output", str(folder), "--state", f"{folder}.json"]
    return [sys.executable, str(TRAIN), *words, *more]


def rows(folder):
    with (folder / "metrics.tsv").open() as stream:
        table = list(csv.DictReader(stream, delimiter="\t"))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in table]


def interrupted(command, log, numbers):
    """Start a run, and send it these signals once it is well under way; its exit status."""
    with open(log, "w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    end = time.monotonic() + 60
    while "seed 2/2" not in Path(log).read_text():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    for number in numbers:
        process.send_signal(number)
    return process.wait(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_process_saves_and_the_next_one_goes_on(number, digits, here):
    subprocess.run(command(digits, here / "whole"), check=True, stdout=subprocess.DEVNULL)
    assert interrupted(command(digits, here / "cut"), "log", [number]) == 1
    assert Path("log").read_text().splitlines()[-1] == "error: interrupted"
    saved = torch.load("cut.pt", weights_only=True)
    assert [entry["seed"] for entry in saved["finished"]["seeds"]] == [0]
    assert saved["current"]["seed"] == 1 and not Path("cut").exists()
    done = subprocess.run(command(digits, here / "cut"), check=True, capture_output=True, text=True)
    assert "seed 1/2" not in done.stdout and "epoch 0/" not in done.stdout
    assert rows(here / "cut") == rows(here / "whole")
    assert not list(here.glob("**/*.pt")) and not Path("cut.json").exists()


@pytest.mark.slow
def test_several_processes_go_on_too(digits, here):
    two = ("--gpus", "2", "--epochs", "20")
    subprocess.run(command(digits, here / "whole", *two), check=True, stdout=subprocess.DEVNULL)
    assert interrupted(command(digits, here / "cut", *two), "log", [signal.SIGTERM]) == 1
    assert "Traceback" not in Path("log").read_text()
    assert torch.load("cut.pt", weights_only=True)["current"]["seed"] == 1
    subprocess.run(command(digits, here / "cut", *two), check=True, stdout=subprocess.DEVNULL)
    assert rows(here / "cut") == rows(here / "whole")


def test_what_was_saved_before_a_process_was_killed_is_not_lost(digits, here, monkeypatch):
    """SIGKILL leaves no time to save: the last of the regular checkpoints is taken up."""
    hook = here / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        f"import sys; sys.path.insert(0, {str(TRAIN.parent)!r})\n"
        "from optlab import checkpoints; checkpoints.EVERY = 0.2\n"
    )
    subprocess.run(command(digits, here / "whole"), check=True, stdout=subprocess.DEVNULL)
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(hook))
        status = interrupted(command(digits, here / "cut"), "log", [signal.SIGKILL])
    assert status == -signal.SIGKILL and Path("cut.pt").exists()
    done = subprocess.run(command(digits, here / "cut"), check=True, capture_output=True, text=True)
    assert rows(here / "cut") == rows(here / "whole")
    assert done.stdout.count("epoch 0/") < 2
    assert os.listdir(here / "cut") == ["run.json", "metrics.tsv"] or len(os.listdir("cut")) == 2
