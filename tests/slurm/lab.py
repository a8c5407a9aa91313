"""A workflow of its own for each test, run on the test cluster."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = Path(__file__).with_name("cluster.sh")

STUDY = """\
study: tiny
seeds: 1
device: cpu
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [3]
    batch_sizes: [full]
    optimizers: {optimizers}
"""

# Optimizers that do what a fault needs, in a run and not in the probe before it. The first of
# a rate in a process writes a line: a beginning of a run, and not its trial before a checkpoint.
STEPS = """\
import os
import sys
import time
from pathlib import Path

import torch


BEGUN = set()


class Step(torch.optim.SGD):
    def __init__(self, parameters, lr):
        self.tried = sys.argv[0].endswith("probe.py")
        if not self.tried and lr not in BEGUN:
            BEGUN.add(lr)
            with open("begun.txt", "a") as file:
                print(lr, os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURMD_NODENAME"),
                      os.environ.get("CUDA_VISIBLE_DEVICES"), time.time(), file=file)
        super().__init__(parameters, lr=lr)

    def step(self):
        if not self.tried:
            self.trouble(self.param_groups[0]["lr"])
        super().step()

    def trouble(self, lr):
        pass


class Waits(Step):
    def trouble(self, lr):
        while Path("hold").exists() or Path(f"hold-{lr:g}").exists():
            time.sleep(0.05)


class Slow(Step):
    def trouble(self, lr):
        time.sleep(1.5)


class Raises(Step):
    def trouble(self, lr):
        if lr > 1:
            raise MemoryError(f"a rate of {lr:g} is too long a step")  # as the machine's fault


class Eats(Step):
    def trouble(self, lr):
        if not hasattr(self, "eaten"):
            self.eaten = b"x" * (1_100 << 20)
"""


def wait_until(condition, seconds, what="it"):
    """The first true value of ``condition()``."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return found


def told_by(*command):
    """What a command of SLURM's prints, as rows of fields."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [line.split("|") for line in done.stdout.splitlines()]


def queue():
    return told_by("squeue", "--noheader", "--format=%i|%T|%N")


class Lab:
    """A copy of the workflow with a study of its own."""

    python = sys.executable  # of the environment in which Snakemake is called

    def __init__(self, folder):
        self.folder = folder
        for name in ("workflow", "warm", "config", "profiles"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "Snakefile", folder)
        self.write("my/steps.py", STEPS)

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def study(self, optimizers, *changes):
        text = STUDY.replace("{optimizers}", optimizers)
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.write("study.yaml", text)

    def start(self, *words, profile="slurm", site=()):
        """Snakemake in its own session, as from a terminal, and quick to look."""
        command = [self.python, "-m", "snakemake", "--configfile", "study.yaml", "--printshellcmds"]
        if profile == "slurm":
            command += ["--profile", "profiles/slurm", "--latency-wait", "10"]
            command += ["--optlab-slurm-init-seconds-before-status-checks", "3"]
            command += ["--optlab-slurm-together-cpus", "2"]
        elif profile:
            command += ["--profile", f"profiles/{profile}"]
        else:
            command += ["--cores", "2"]
        self.site(*site)
        output = (self.folder / "told.txt").open("w")
        return subprocess.Popen(
            [*command, *words], cwd=self.folder, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def site(self, *settings):
        """Change `default-resources` as a user would, in the profile."""
        file = self.folder / "profiles/slurm/config.yaml"
        text = (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
        for name, value in settings:
            lines = text.splitlines()
            (number,) = (
                n for n, line in enumerate(lines) if line.lstrip(" #").startswith(f"{name}:")
            )
            lines[number] = f"  {name}: {value}"
            text = "\n".join(lines) + "\n"
        file.write_text(text, encoding="utf-8")

    def call(self, *words, status=0, seconds=180, **more):
        """Everything that Snakemake prints."""
        process = self.start(*words, **more)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop(process, signal.SIGINT)
            raise AssertionError(f"not done after {seconds} s:\n{self.told()}") from None
        assert process.returncode == status, self.told()
        return self.told()

    def stop(self, process, number):
        os.killpg(process.pid, number)
        process.wait(60)

    def told(self):
        return (self.folder / "told.txt").read_text(encoding="utf-8")

    def planned(self, profile=None):
        """How many jobs are to be run; none is 0."""
        told = self.call("-n", profile=profile)
        if "Nothing to be done" in told:
            return 0
        return told.count("rule ") - told.count("rule all")

    def begun(self):
        """Per learning rate the beginnings of its run: SLURM job, node, GPUs, time."""
        file = self.folder / "begun.txt"
        found = {}
        for line in file.read_text().splitlines() if file.exists() else ():
            rate, *facts = line.split()
            found.setdefault(float(rate), []).append(facts)
        return found

    def slurm_jobs(self, *fields):
        """The SLURM jobs of the last call, with their fields."""
        name = next(
            line.split()[-1] for line in self.told().splitlines() if "SLURM run ID:" in line
        )
        wanted = ",".join(("jobid", "state", *fields))
        command = ["sacct", "-X", "-n", "-P", "--name", name, "-o", wanted]
        # What has ended reaches the database a moment later.
        ended = lambda: all(row[1] not in ("RUNNING", "PENDING") for row in told_by(*command))  # noqa: E731
        wait_until(ended, 20, "the accounting")
        return told_by(*command)

    def runs(self):
        """The finished runs' records."""
        return [
            json.loads(f.read_text()) for f in self.folder.glob("results/tiny/runs/**/run.json")
        ]

    def table(self, name="runs"):
        with (self.folder / f"results/tiny/tables/{name}.tsv").open(newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t"))
