"""The GPU day: parts that fail, crash or take too long cost the others nothing, and are told."""

import importlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import gpu_day
import pytest
from gpu import images, runs
from gpu.day import Day, Skip
from gpu_day import PARTS, Part
from torch import nn

from optlab.training.evaluation import Evaluation
from optlab.training.outcome import Outcome

ROOT = Path(__file__).resolve().parents[1]

GOOD = 'def measure(day): print("hello"); day.note("device", day.device)'
TROUBLE = {
    "raises": 'def measure(day): day.note("first", 1); raise ValueError("not so\\nbut so")',
    "half": 'def measure(day): day.measure("a", lambda: 1 / 0); day.measure("b", lambda: 7)',
    "skips": 'from gpu.day import Skip\ndef measure(day): raise Skip("needs a moon")',
    "lacks": "import surely_not_installed",
    "crashes": "import os, signal\ndef measure(day): os.kill(os.getpid(), signal.SIGSEGV)",
    "leaves": "import os\ndef measure(day): os._exit(3)",
    "hangs": "import subprocess, time\n"
    'def measure(day): day.note("seen", 0.5); subprocess.run(["sleep", "60"])',
}


def module(folder, name, text):
    (folder / f"part_{name}.py").write_text(text)
    return Part(name, 1.0 if name == "hangs" else 30.0, "a trial", f"part_{name}")


@pytest.fixture
def parts(here, monkeypatch):
    """Parts of every kind of trouble, then one that is good."""
    monkeypatch.setenv("PYTHONPATH", str(here))
    monkeypatch.setattr(gpu_day, "interpreter", lambda: sys.executable)
    found = [module(here, name, text) for name, text in TROUBLE.items()]
    return [*found, module(here, "good", GOOD)]


def test_whatever_becomes_of_a_part_is_told_and_the_rest_goes_on(parts, here, capsys):
    start = time.monotonic()
    gpu_day.run(parts, "cpu", here / "day.json")
    assert time.monotonic() - start < 30
    found = json.loads((here / "day.json").read_text())["parts"]
    assert list(found) == [*TROUBLE, "good"]
    ends = {name: (about["end"], about.get("reason", "")) for name, about in found.items()}
    assert ends == {
        "raises": ("failed", "ValueError: not so"),
        "half": ("failed", "a: ZeroDivisionError: division by zero"),
        "skips": ("skipped", "needs a moon"),
        "lacks": ("skipped", "needs the package surely_not_installed, which is not installed"),
        "crashes": ("failed", "its process ended by signal 11"),
        "leaves": ("failed", "its process ended with status 3"),
        "hangs": ("over its limit", "ended after 1 s"),
        "good": ("ok", ""),
    }
    # What was known before the trouble is kept.
    assert found["raises"]["figures"] == {"first": 1} and found["hangs"]["figures"] == {"seen": 0.5}
    assert found["half"]["figures"]["b"] == 7
    assert found["good"]["figures"] == {"device": "cpu"} and found["good"]["output"] == ["hello"]
    assert "Traceback" in "\n".join(found["raises"]["output"])
    assert all(about["seconds"] < 10 for about in found.values())
    said = capsys.readouterr().out
    assert "hello\n" in said and "--- hangs: over its limit" in said


def test_a_figure_is_in_the_file_while_its_part_still_runs(parts, here, monkeypatch):
    """So that a driver that is killed leaves what it knew, and says what it was doing."""
    (slow,) = [part for part in parts if part.name == "hangs"]
    monkeypatch.setattr(gpu_day, "PARTS", (Part("hangs", 60, "a trial", slow.module),))
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import gpu_day; from pathlib import Path\n"
        f"part = gpu_day.Part('hangs', 60, 'a trial', {slow.module!r})\n"
        f"gpu_day.run([part], 'cpu', Path('day.json'))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            found = json.loads(Path("day.json").read_text()) if Path("day.json").exists() else {}
            if found and found["parts"]["hangs"]["figures"]:
                break
            time.sleep(0.05)
        about = found["parts"]["hangs"]
        assert (about["end"], about["figures"]) == ("running", {"seen": 0.5})
    finally:
        process.send_signal(2)
        process.wait(20)
    about = json.loads(Path("day.json").read_text())["parts"]["hangs"]
    assert about["end"] == "stopped" and about["figures"] == {"seen": 0.5}


def test_without_a_gpu_the_day_ends_at_once_with_one_reason(here, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(here))
    bad = module(
        here,
        "machine",
        'from optlab.errors import UserError\ndef measure(day): raise UserError("no GPU here")',
    )
    found = gpu_day.run([bad, module(here, "good", GOOD)], "cuda", here / "day.json")["parts"]
    assert found["machine"]["end"] == "failed" and found["good"]["end"] == "skipped"
    assert found["machine"]["reason"] == "no GPU here" and not found["machine"]["output"]


def test_the_day_fits_into_eight_minutes_and_every_part_is_there():
    assert sum(part.limit for part in PARTS) <= 480
    assert [part.name for part in PARTS][:3] == ["machine", "tests", "exercise3"]
    for part in PARTS:
        assert (ROOT / f"benchmarks/gpu/{part.name}.py").is_file()


def test_without_archives_mnist_is_skipped_and_what_is_timed_gets_random_images(
    tmp_path, monkeypatch, capsys
):
    exercise3 = importlib.import_module("gpu.exercise3")
    for value, words in (("", "names no folder"), (str(tmp_path), "holds no MNIST/raw")):
        monkeypatch.setenv(images.VARIABLE, value)
        with pytest.raises(Skip, match=f"needs MNIST.*{words}"):
            exercise3.measure(Day("cuda", tmp_path))
    data = images.to_time(Day("cpu", tmp_path))
    assert data.name == "random" and data.shape == (1, 28, 28)
    assert "random images: needs MNIST" in capsys.readouterr().out


def test_a_step_that_could_not_be_recorded_is_a_figure(capsys):
    def train():
        print("no CUDA graph, steps are taken kernel by kernel: not permitted")
        row = Evaluation(1, 5, 0.5, 0.25, val_loss=math.inf, test_accuracy=0.75)
        return [Outcome([row], nn.Identity(), 0.5, 0.125)] * 2

    figures = runs.measured("cpu", train)
    assert figures.pop("no_graph").endswith("not permitted") and figures.pop("wall") < 1
    assert figures == {"runs": 2, "steps": 5, "seconds": 1.0, "step_us": 100_000.0,
                       "train_loss": 0.25, "val_loss": None, "test_accuracy": 0.75,
                       "evaluation_seconds": 0.25}  # fmt: skip
    assert "no CUDA graph" in capsys.readouterr().out


BARE = """\
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *more):
        if name.partition(".")[0] not in {absent!r}:
            return self.finder.find_spec(name, *more)
sys.meta_path[:] = map(Without, sys.meta_path)
"""
ABSENT = {"yaml", "jsonschema", "sklearn", "scipy", "pandas", "psutil", "snakemake", "optuna",
          "matplotlib", "bokeh", "jinja2", "xdist", "torchvision"}  # fmt: skip


def day(here, *parts, **environment):
    """The parts as `make gpu` calls them; the process's status and the JSON."""
    variables = {**os.environ, "PYTHONPATH": f"{here}:{ROOT / 'workflow/scripts'}", **environment}
    command = [sys.executable, ROOT / "benchmarks/gpu_day.py", "--device", "cpu"]
    command += ["--output", "day.json", *parts]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert (here / "day.json").exists(), done.stdout + done.stderr
    return done, json.loads((here / "day.json").read_text())


@pytest.mark.slow
def test_a_machine_with_pytorch_and_pytest_alone_runs_the_tests_and_skips_the_rest(here):
    (here / "sitecustomize.py").write_text(BARE.format(absent=ABSENT))
    done, found = day(here, "exercise3", "sweeps", OPTLAB_ARCHIVES="")
    assert done.returncode == 0, done.stdout
    exercise3, sweeps = (found["parts"][name] for name in ("exercise3", "sweeps"))
    assert exercise3["end"] == "skipped" and "sklearn" in exercise3["reason"]
    assert sweeps["end"] == "ok" and found["versions"]["torch"] and found["machine"]["cores"]
    variables = {"PYTHONPATH": str(here), "OPTLAB_CUDA_TESTS": "cpu", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "cuda"]
    command += ["-k", "diverges or described or program", "tests/test_cuda.py"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0 and "2 passed, 1 skipped" in done.stdout, done.stdout


@pytest.mark.slow
def test_a_rehearsal_measures_on_digits_where_there_are_no_archives(here):
    done, found = day(here, "exercise3", "sweeps", OPTLAB_ARCHIVES="")
    assert done.returncode == 0 and found["rehearsal"], done.stdout
    figures = found["parts"]["exercise3"]["figures"]
    assert figures["data"] == "Digits" and figures["whole"]["steps"] == 22
    assert {"kernels one by one", "graph", "kernels one by one / graph"} <= figures.keys()
    compared = found["parts"]["sweeps"]["figures"]["mlp, one by one / seeds together"]
    assert compared["largest difference of a loss"] < 1e-3
