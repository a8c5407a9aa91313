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
from cutting import cut_before
from handmade import settings, train_one

from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.data import prepare
from optlab.training import loop
from optlab.training.checkpoints import Checkpoints
from optlab.training.datasets import load

TRAIN = Path(__file__).parents[1] / "workflow/scripts/train.py"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.json"
    prepare.prepare("digits", {"source": "digits"}, path, None)
    return path


def figures(outcome):
    """Everything an outcome says but for its times, weights included, as exact values."""
    rows = [{**vars(row), "seconds": None} for row in outcome.evaluations]
    weights = {key: value.tolist() for key, value in outcome.model.state_dict().items()}
    return json.dumps([rows, weights])


def run_of(network, optimizer, lr, batch_size=200, epochs=4, **more):
    return settings(network, optimizer, {"lr": lr}, batch_size=batch_size, epochs=epochs, **more)


def wet(name):
    """A run of an optimizer with dropout, which L-BFGS does not take."""
    if name == "lbfgs":
        return run_of("mlp", name, 0.1, "full", network_options={"hidden": [16]})
    options = {"hidden": [16], "dropout": 0.3}
    return run_of("mlp", name, OPTIMIZERS[name].grid[0], network_options=options)


SETTINGS = {
    **{name: wet(name) for name in OPTIMIZERS},
    **{
        schedule: run_of("softmax", "momentum", 0.1, schedule=schedule)
        for schedule in ("cosine", "warmup", "warmup_cosine", "step", "one_cycle")
    },
    "nadam float64": run_of("softmax", "nadam", 0.01, precision="float64"),
    "bfloat16": run_of("mlp", "adam", 0.01, epochs=3, precision="bfloat16"),
    "cnn": run_of("cnn", "adam", 0.001, 400, 2),
    "resnet": run_of("resnet", "momentum", 0.1, 400, 2, network_options={"depth": 8, "width": 4}),
    "seeds of other examples": run_of(
        *("mlp", "adam", 0.01, 50),
        **{"vary": ["order", "split", "subset"], "subset": 400, "subset_validation": 100},
        network_options={"hidden": [16], "dropout": 0.3},
    ),
    "rare evaluation": run_of("softmax", "adam", 0.1, epochs=6, evaluate_every=4),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_taken_up_again_gives_every_digit_of_one_that_was_never_interrupted(
    name, digits, here
):
    run, data = SETTINGS[name], load(digits)
    torch.set_num_threads(1)
    whole = train_one(run, data, 1)
    per_epoch = loop.Trainer(run, data, [1]).batches.per_epoch
    for step in (2, per_epoch + 1):  # in the middle of an epoch, and at the start of one
        with pytest.raises(KeyboardInterrupt):
            train_one(run, data, 1, checkpoints=cut_before(step)(Path("run.pt"), "mark"))
        torch.manual_seed(0)  # another process, whose random numbers are elsewhere
        rest = Checkpoints(Path("run.pt"), "mark")
        rest.load()
        state = rest.resume([1])
        assert state["step"] == step - 1 and rest.resume([0]) is None
        assert figures(train_one(run, data, 1, checkpoints=rest)) == figures(whole)


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
    file = Path("run.pt")
    with pytest.raises(KeyboardInterrupt):
        train_one(SETTINGS["sgd"], load(digits), 0, checkpoints=cut_before(3)(file, "mark"))
    spoil(file)
    checkpoints = Checkpoints(file, "mark")
    checkpoints.load()
    assert checkpoints.resume([0]) is None and not any(checkpoints.finished.values())
    assert words in capsys.readouterr().out


# -- as a process ----------------------------------------------------------------------------

# A network that waits in a step of its second replicate for as long as a file `hold` is there.
NET = """\
import os
import time
from pathlib import Path

import torch
from torch import nn

from optlab.training.batches import derived_seed

class Net(nn.Sequential):
    def __init__(self, shape, outputs):
        is_second = torch.initial_seed() == derived_seed("weights", 1)
        hidden = (nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2))
        super().__init__(nn.Flatten(), *hidden, nn.Linear(128, outputs))
        self.left = 100 if is_second else -1

    def forward(self, x):
        self.left -= self.training
        if self.left == 0 and Path("hold").exists():
            Path("held", os.environ.get("RANK", "0")).touch()
            while Path("hold").exists():
                time.sleep(0.01)
        return super().forward(x)
"""


def command(digits, folder, *more):
    Path("net.py").write_text(NET)
    words = ["--data", str(digits), "--model", "net.py:Net", "--optimizer", "adam"]
    words += ["--device", "cpu", "--epochs", "10", "--seeds", "2", "--batch-size", "20"]
    words += ["--output", str(folder), "--state", f"{folder}.json"]
    return [sys.executable, str(TRAIN), *words, *more]


def rows(folder):
    with (folder / "metrics.tsv").open() as stream:
        table = list(csv.DictReader(stream, delimiter="\t"))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in table]


def interrupted(command, log, numbers, processes=1):
    """Start a run, and send it these signals within a step of its second seed; its exit status."""
    Path("held").mkdir()
    Path("hold").touch()
    with open(log, "w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    end = time.monotonic() + 60
    while len(os.listdir("held")) < processes:
        assert process.poll() is None and time.monotonic() < end, Path(log).read_text()
        time.sleep(0.01)
    for number in numbers:
        process.send_signal(number)
    if processes > 1:
        time.sleep(1)  # until it has told the others
    Path("hold").unlink()
    return process.wait(timeout=30)


@pytest.mark.parametrize(
    ("numbers"),
    # SLURM tells everybody, who then tell others.
    [[signal.SIGTERM] * 5, pytest.param([signal.SIGINT], marks=pytest.mark.slow)],
)
def test_an_interrupted_process_saves_and_the_next_one_goes_on(numbers, digits, here):
    subprocess.run(command(digits, here / "whole"), check=True, stdout=subprocess.DEVNULL)
    status = interrupted(command(digits, here / "cut"), "log", numbers)
    assert status == 1, Path("log").read_text()
    assert Path("log").read_text().splitlines()[-1] == "error: interrupted"
    saved = torch.load("cut.json.pt", weights_only=True)
    assert [entry["seed"] for entry in saved["finished"]["seeds"]] == [0]
    assert saved["current"]["seeds"] == [1] and saved["current"]["step"] == 100
    assert not list(Path("cut").glob("*"))
    done = subprocess.run(command(digits, here / "cut"), check=True, capture_output=True, text=True)
    assert "seed 1/2" not in done.stdout and "epoch 0/" not in done.stdout
    assert rows(here / "cut") == rows(here / "whole")
    assert not list(here.glob("**/*.pt")) and not Path("cut.json").exists()


@pytest.mark.slow
def test_several_processes_go_on_too(digits, here):
    two = ("--gpus", "2", "--epochs", "20")
    subprocess.run(command(digits, here / "whole", *two), check=True, stdout=subprocess.DEVNULL)
    assert interrupted(command(digits, here / "cut", *two), "log", [signal.SIGTERM], 2) == 1
    assert "Traceback" not in Path("log").read_text()
    assert torch.load("cut.json.pt", weights_only=True)["current"]["seeds"] == [1]
    subprocess.run(command(digits, here / "cut", *two), check=True, stdout=subprocess.DEVNULL)
    assert rows(here / "cut") == rows(here / "whole")


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(digits, here, capsys):
    Path("blocked").write_text("no folder")

    class Once(Checkpoints):
        def due(self):
            return True

    checkpoints = Once(Path("blocked/run.pt"), "mark")
    outcome = train_one(SETTINGS["sgd"], load(digits), 0, checkpoints=checkpoints)
    assert outcome.evaluations[-1].status == "ok"
    assert "no checkpoint in blocked/run.pt: " in capsys.readouterr().out


def test_an_optimizer_whose_state_cannot_be_read_back_is_told_of(digits, here, capsys):
    (here / "own.py").write_text(
        "import fractions, torch\n"
        "class Own(torch.optim.SGD):\n"
        "    def step(self, closure=None):\n"
        "        super().step()\n"
        "        for group in self.param_groups:\n"
        "            for p in group['params']:\n"
        "                self.state[p]['seen'] = fractions.Fraction(1, 3)\n"
    )
    run = run_of("softmax", "own.py:Own", 0.1, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train_one(run, load(digits), 0, checkpoints=cut_before(4)(Path("run.pt"), "mark"))
    assert "no checkpoint in run.pt: " in capsys.readouterr().out and not Path("run.pt").exists()


@pytest.mark.slow
def test_what_was_saved_before_a_process_was_killed_is_not_lost(digits, here, monkeypatch):
    """SIGKILL leaves no time to save: the last of the regular checkpoints is taken up."""
    hook = here / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        f"import sys; sys.path.insert(0, {str(TRAIN.parent)!r})\n"
        "from optlab.training import checkpoints; checkpoints.EVERY = 0\n"
    )
    subprocess.run(command(digits, here / "whole"), check=True, stdout=subprocess.DEVNULL)
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(hook))
        status = interrupted(command(digits, here / "cut"), "log", [signal.SIGKILL])
    assert status == -signal.SIGKILL
    assert Path("cut.json.pt").exists(), Path("log").read_text()
    done = subprocess.run(command(digits, here / "cut"), check=True, capture_output=True, text=True)
    assert rows(here / "cut") == rows(here / "whole")
    assert done.stdout.count("epoch 0/") < 2
    assert os.listdir(here / "cut") == ["run.json", "metrics.tsv"] or len(os.listdir("cut")) == 2
