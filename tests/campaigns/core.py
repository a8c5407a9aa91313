"""What all campaigns share: numbered cases, the end of each, processes to judge them in, counts.

A campaign is a module with ``LENGTHS`` (cases of a short and of a long pass), ``case(random)``,
which draws what to try, and ``judge(case, folder)``, which gives its `End`. Case k of seed s is
always the same.
"""

import functools
import gc
import importlib
import os
import pickle
import re
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow/scripts"

# Ends that are as they should be; each other kind is a fault.
GOOD = ("refused in one line", "ran", "planned", "made again", "harmless", "undisturbed")
LONGEST = 1000  # characters of a line on the screen
MEMORY = 6 << 30  # bytes of data that a judged process may have
HEAVY = (
    *("torch._dynamo", "torch.optim", "pandas", "scipy.stats", "sklearn.datasets", "optuna"),
    *("matplotlib.backends.backend_svg", "jsonschema", "yaml", "psutil"),
)


class End(NamedTuple):
    """What became of a case: its kind, and for a fault what was seen."""

    kind: str
    seen: str = ""


@dataclass(frozen=True)
class Called:
    """The result of a function that ran in another process.

    Attributes:
        status: exit status; negative for the signal that ended it, None if it took too long.
        told: what it printed.
        value: what it returned.
    """

    status: int | None
    told: str
    value: Any = None

    @property
    def fault(self) -> End | None:
        """What a user must never see; None if it ended well or in a line for each mistake."""
        if self.status is None:
            return End("hang", self.told[-500:])
        if self.status < 0:
            return End("killed", f"signal {-self.status} {self.told[-500:]}")
        if "Traceback (most recent call last)" in self.told:
            return End("traceback", _without_marks(self.told)[-1500:])
        if any(ord(sign) < 32 and sign not in "\n\t" for sign in self.told):
            return End("control characters", ascii(self.told[-500:]))
        if self.status == 0:
            return None
        lines = self.told.splitlines()
        if not any(line.startswith("error: ") for line in lines):
            return End("no word", f"status {self.status}: {self.told[-500:]}")
        if longest := max((line for line in lines if len(line) > LONGEST), key=len, default=""):
            return End("long line", longest[:300])
        return None


def apart(
    function: Callable[[], Any], folder: Path, seconds: float = 60, stdin: str = ""
) -> Called:
    """Call a function in a process forked from this one, which has imported what it needs.

    Its working directory is ``folder``, its memory is limited, and its whole process group ends
    with it.
    """
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as answer:
        process = os.fork()
        if not process:
            _in_child(function, folder, stdin, told.fileno(), answer)
        end = time.monotonic() + seconds
        status, waited = None, 0.0005
        while status is None and time.monotonic() < end:
            ended, found = os.waitpid(process, os.WNOHANG)
            status = os.waitstatus_to_exitcode(found) if ended else None
            time.sleep(waited := min(0.02, waited * 1.5) if not ended else 0)
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        if status is None:
            os.waitpid(process, 0)
        told.seek(0)
        answer.seek(0)
        content = answer.read()
        text = told.read().decode(errors="backslashreplace")
        return Called(status, text, pickle.loads(content) if content else None)


def _without_marks(told: str) -> str:
    """A traceback without the lines that underline what the line above says."""
    return "\n".join(line for line in told.splitlines() if line.strip(" ^~"))


def _in_child(function: Callable, folder: Path, stdin: str, told: int, answer: Any) -> None:
    status = 70
    try:
        os.setpgid(0, 0)
        with tempfile.TemporaryFile() as source:
            source.write(stdin.encode())
            source.seek(0)
            os.dup2(source.fileno(), 0)
        os.dup2(told, 1)
        os.dup2(told, 2)
        for name in ("stdin", "stdout", "stderr"):
            number = ("stdin", "stdout", "stderr").index(name)
            setattr(sys, name, open(number, "r" if not number else "w", closefd=False))  # noqa: SIM115
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        value = function()
        pickle.dump(value, answer)
        answer.flush()
        status = 0
    except SystemExit as exit:
        status = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def program(
    name: str, *words: object, folder: Path, seconds: float = 60, stdin: str = ""
) -> Called:
    """Call one of the programs as its user would."""
    file = str(SCRIPTS / name)

    def run() -> None:
        sys.argv = [file, *map(str, words)]
        sys.orig_argv = [sys.executable, *sys.argv]
        runpy.run_path(file, run_name="__main__")

    return apart(run, folder, seconds, stdin)


def warm_up() -> None:
    """Import what the programs import, once for all judged processes."""
    sys.path[:0] = [str(SCRIPTS), str(ROOT / "tests")]
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    for name in HEAVY:
        importlib.import_module(name)
    from optlab.study import reading

    study = {"datasets": ["digits"], "models": ["mlp"], "optimizers": {"sgd": {"lr": [1]}}}
    reading.resolve({"study": "first", "exercises": {"fit": study}})  # what is read once
    gc.collect()
    gc.freeze()  # forked processes do not copy it


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A folder that is gone in the end, whatever its rights are then."""
    folder = Path(tempfile.mkdtemp(prefix="optlab-campaign-"))
    try:
        yield folder
    finally:
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


def one_case(campaign: Any, seed: int, index: int) -> Any:
    return campaign.case(Random(f"{campaign.__name__} {seed} {index}"))


def judged(campaign: Any, case: Any) -> End:
    """The end of a case, in an empty folder."""
    with empty_folder() as folder:
        return campaign.judge(case, folder)


class Tally:
    """Counts ends by kind; prints the first fault of each sort and the call that repeats it."""

    def __init__(self, campaign: Any, seed: int):
        self.name, self.seed = campaign.__name__, seed
        self.counts: Counter[str] = Counter()
        self.faults: dict[str, list[int]] = defaultdict(list)

    def add(self, index: int, case: Any, end: End) -> None:
        self.counts[end.kind] += 1
        if end.kind in GOOD:
            return
        found = self.faults[f"{end.kind}: {sort(end.seen)}"]
        found.append(index)
        if len(found) == 1:
            print(f"\n{end.kind}: {self.again(index)}", flush=True)
            print(_indented(f"{show(case)}\n{end.seen}"), flush=True)

    def again(self, index: int) -> str:
        return f"make campaigns CAMPAIGN={self.name} SEED={self.seed} CASE={index}"

    def report(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common())
        lines = [f"{self.name}, seed {self.seed}: {sum(self.counts.values())} cases: {counts}"]
        for sort, found in sorted(self.faults.items(), key=lambda one: -len(one[1])):
            cases = " ".join(map(str, found[:8])) + (" ..." if len(found) > 8 else "")
            lines.append(f"  {len(found)} x {sort} (cases {cases})")
        return "\n".join(lines)


def sort(seen: str) -> str:
    """What faults of one sort have in common: the last words and the last of our lines."""
    lines = [line.strip() for line in seen.splitlines() if line.strip()] or [""]
    ours = [line for line in lines if line.startswith("File ") and "workflow/scripts" in line]
    last = re.sub(r"results/\S+|[-+]?\d[\d.e+-]*|'[^']*'", "…", lines[-1])[:160]
    place = re.sub(r'File ".*/(.+?)", line \d+', r"\1", ours[-1]) if ours else ""
    return f"{last} [{place}]" if place else last


def show(case: Any) -> str:
    """A case in words: its own, or its fields."""
    words = getattr(case, "words", None)
    return str(words if words is not None else case)[:3000]


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def conduct(campaign: Any, seed: int, indices: range, jobs: int = 1) -> Tally:
    """Judge these cases, so many at a time, and print their counts."""
    tally, begin = Tally(campaign, seed), time.monotonic()
    if prepare := getattr(campaign, "prepare", None):
        prepare()
    judge = functools.partial(_judge, campaign.__name__, seed)
    try:
        with ProcessPoolExecutor(min(jobs, len(indices)), get_context("fork")) as pool:
            for index, end in zip(indices, pool.map(judge, indices), strict=True):
                tally.add(index, one_case(campaign, seed, index), end)
    finally:  # also of a campaign that is ended early
        print(tally.report(), f"({time.monotonic() - begin:.0f} s)", flush=True)
    return tally


def _judge(name: str, seed: int, index: int) -> End:
    campaign = importlib.import_module(name)
    return judged(campaign, one_case(campaign, seed, index))


def figures_of(file: Path) -> list[str]:
    """The rows of a table of metrics without what a clock or another machine changes."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    header, *rows = [line.split("\t") for line in lines]
    kept = [n for n, name in enumerate(header) if name != "seconds"]
    return ["\t".join(row[n] for n in kept if n < len(row)) for row in [header, *rows]]
