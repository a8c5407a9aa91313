"""Kills: a signal to a random process of a running study, then the same call again.

In the end every number is that of an undisturbed study, no finished run was trained twice, no
process is left running, and no file is left over.
"""

import json
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import bases
import laboratory
import psutil
import whole
from core import End

LENGTHS = (20, 300)
MARK = "OPTLAB_CAMPAIGN"  # in the environment of every process that a case starts
CALLS = 3  # of Snakemake, after which the study has to be complete
LEAVE = 20  # seconds within which the last process has to end

SWEEP = """\
study: killed
seeds: 2
device: cpu
confirm: 4
extend: 1
datasets:
  few: {source: digits, subset: 200}
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [20]
    batch_sizes: [full]
    confirm: 0
    extend: 0
    optimizers:
      my/slow.py:Slow: {lr: [0.001, 0.002, 0.003]}
  digits:
    datasets: [few]
    models: [mlp]
    epochs: [3]
    batch_sizes: [50]
    optimizers:
      my/slow.py:Slow: {lr: [0.01, 0.1]}
      adam: {lr: [0.01]}
"""

SEARCH = bases.SEARCH.replace("trials: 3", "trials: 8\n    workers: 2").replace(
    "study: searched", "study: killed"
)

RANKS = """\
study: killed
seeds: 1
device: cpu
exercises:
  fit:
    datasets: [digits]
    models: [softmax]
    epochs: [5]
    batch_sizes: [100]
    gpus: [1, 2]
    optimizers:
      my/slow.py:Slow: {lr: [0.1, 0.2]}
"""

STUDIES = {"sweep": SWEEP, "sweep again": SWEEP, "ranks": RANKS, "search": SEARCH}

# A step takes some time, so that a signal comes in the middle of a run more often than in a start.
SLOW = """\
import time

import torch


class Slow(torch.optim.SGD):
    def step(self, closure=None):
        time.sleep(0.02)
        return super().step(closure)
"""

SIGNALS = {
    "SIGKILL": 5, "SIGTERM": 3, "SIGINT": 2, "SIGSTOP": 1, "SIGHUP": 1,
}  # fmt: skip


def prepare() -> None:
    """Make the undisturbed studies once, for all processes that judge."""
    for study in STUDIES:
        undisturbed(study)


class Case(NamedTuple):
    study: str
    share: float
    process: float
    signal: str
    again: bool

    @property
    def words(self) -> str:
        twice = ", and once more in the next call" if self.again else ""
        return (
            f"study {self.study}: {self.signal} after {self.share:.0%} of its time to process "
            f"{self.process:.2f} of them{twice}"
        )


def case(random: Random) -> Case:
    (name,) = random.choices(list(SIGNALS), list(SIGNALS.values()))
    place, share = random.random(), 0.9 * random.random()
    return Case(random.choice(list(STUDIES)), share, place, name, random.random() < 0.2)


@cache
def undisturbed(study: str) -> tuple[dict[str, Any], float]:
    """The numbers of a study that nothing disturbs, and the seconds that it takes."""
    with tempfile.TemporaryDirectory(prefix="optlab-undisturbed-") as name:
        folder, begin = Path(name), time.monotonic()
        write(folder, study)
        status, told = laboratory.call(folder)
        assert status == 0, told
        return numbers_of(study, folder), time.monotonic() - begin


def write(folder: Path, study: str) -> None:
    laboratory.prepared(folder, STUDIES[study])
    (folder / "my/slow.py").write_text(SLOW, encoding="utf-8")


def numbers_of(study: str, folder: Path) -> dict[str, Any]:
    """What has to be equal. Two workers divide trials by chance: of these, the number."""
    found = laboratory.content(folder)
    if study != "search":
        return found
    (row,) = laboratory.table(folder / "results/killed/tables/search.tsv")
    return {"files": sorted(found), "finished": row["finished"]}


def judge(case: Case, folder: Path) -> End:
    expected, seconds = undisturbed(case.study)
    write(folder, case.study)
    temporary = folder / "tmp"  # what is left in it is found
    temporary.mkdir()
    mark = secrets.token_hex(8)
    environment = {**os.environ, MARK: mark, "TMPDIR": str(temporary)}
    done: dict[str, Any] = {}
    seen: list[str] = []
    try:
        for number in range(CALLS):
            disturbing = number == 0 or (case.again and number == 1)
            status = one_call(case, folder, environment, seconds if disturbing else None, seen)
            if status is None:
                return End("hang", "\n".join(seen))
            if twice := trained_twice(done, folder):
                return End("trained twice", "\n".join([*twice, *seen]))
            if status == 0:
                break
        return verdict(case, folder, expected, status, mark, seen)
    finally:
        for process in with_mark(mark):
            with suppress(psutil.Error):
                process.kill()


def verdict(
    case: Case, folder: Path, expected: dict, status: int, mark: str, seen: list[str]
) -> End:
    words = "\n".join(seen)
    if status:
        return End("lost", f"{words}\n{told_in(folder)[-1500:]}")
    if any("Traceback (most recent call last)" in one for one in seen):
        return End("traceback", words)
    found = numbers_of(case.study, folder)
    if wrong := [name for name in {**expected, **found} if expected.get(name) != found.get(name)]:
        return End("wrong digit", f"{wrong}\n{words}")
    end = time.monotonic() + LEAVE
    while (running := with_mark(mark)) and time.monotonic() < end:
        time.sleep(0.2)
    if running:
        return End("left running", f"{[described(one) for one in running]}\n{words}")
    if left := left_over(folder):
        return End("left over", f"{left}\n{words}")
    return End("ran" if any(seen) else "undisturbed")


def one_call(
    case: Case, folder: Path, environment: dict, seconds: float | None, seen: list[str]
) -> int | None:
    """Call Snakemake, and disturb it within these seconds; its exit status, None if it hangs."""
    if (folder / ".snakemake/locks").is_dir() and any((folder / ".snakemake/locks").iterdir()):
        laboratory.snakemake(folder, "--unlock", env=environment).wait(60)
    process = laboratory.snakemake(folder, "--rerun-incomplete", env=environment)
    if seconds is not None:
        with suppress(Exception):
            process.wait(case.share * seconds)
        if process.poll() is None:
            seen.append(disturb(case, environment[MARK]))
    try:
        status = process.wait(180)
    except Exception:
        seen.append(f"hangs: {told_in(folder)[-1500:]}")
        return None
    told = told_in(folder)
    if "Traceback (most recent call last)" in told:
        seen.append(told[-1500:])
    return status


def disturb(case: Case, mark: str) -> str:
    """Send the case's signal to one of the processes; which one, in words."""
    processes = sorted(with_mark(mark), key=lambda one: one.pid)
    if not processes:
        return ""
    # Snakemake, the first, and the trainings matter more than the shells between them.
    own = [one for one in processes if "bash" not in described(one)[:12]] or processes
    process = own[int(case.process * len(own))]
    words = f"{case.signal} to {described(process)}"
    with suppress(psutil.Error):
        process.send_signal(getattr(signal, case.signal))
        if case.signal == "SIGSTOP":
            time.sleep(2)
            process.send_signal(signal.SIGCONT)
    return words


def with_mark(mark: str) -> list[psutil.Process]:
    return list(_with_mark(mark))


def _with_mark(mark: str) -> Iterator[psutil.Process]:
    entry = f"{MARK}={mark}".encode()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            if entry in environment.split(b"\0") and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def described(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[:160]
    return "a process that has gone"


def told_in(folder: Path) -> str:
    return (folder / "told.txt").read_text(encoding="utf-8", errors="replace")


def trained_twice(done: dict[str, Any], folder: Path) -> list[str]:
    """The seeds of finished runs that were trained again since the last call.

    Args:
        done: the clock of each finished seed, added to.
    """
    twice = []
    for file in sorted(folder.glob("results/*/*/**/run.json")):
        with suppress(ValueError, KeyError):
            for seed in json.loads(file.read_text(encoding="utf-8"))["seeds"]:
                name = f"{file.parent.relative_to(folder)} seed {seed['seed']}"
                if done.setdefault(name, seed["seconds"]) != seed["seconds"]:
                    twice.append(name)
    return twice


def left_over(folder: Path) -> list[str]:
    """Files that no finished study has."""
    states = [path for path in folder.glob("results/*/state/**/*") if path.is_file()]
    temporary = [path for path in (folder / "tmp").rglob("*") if path.is_file()]
    found = [str(path.relative_to(folder)) for path in (*states, *temporary)]
    return [*found, *whole.unfinished(folder / "results")]
