"""Everything that waits for a GPU, in at most eight minutes: `make gpu`.

The parts run one after the other, most important first, each in its own process, which is killed at
its time limit. Their output is shown as it is printed. Their figures are in one JSON file, which is
rewritten after each figure, so that an interruption loses none. Needs
PyTorch 2.11 or newer and this repository, with workflow/scripts on PYTHONPATH; parts say what else
they would need. A rehearsal (--device cpu) tries the code with tiny sizes.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu.day import MARK

from optlab import files

ROOT = Path(__file__).resolve().parents[1]
KEPT = 60  # lines of a part's output that the JSON keeps


@dataclass(frozen=True)
class Part:
    """A part: a module with a function `measure`, and the seconds after which it is ended."""

    name: str
    limit: float
    what: str
    module: str = ""


PARTS = (
    Part("machine", 40, "what is here"),
    Part("tests", 100, "the tests that need CUDA"),
    Part("exercise3", 90, "exercise 3 on MNIST, 30 epochs; a CUDA graph, kernels one by one"),
    Part("sweeps", 80, "softmax regression and MLP over rates and seeds: one by one, together"),
    Part("replicates", 50, "five replicates of the convolutional network: together, separate"),
    Part("precisions", 50, "bfloat16 and TF32 beside float32"),
    Part("plain_loop", 40, "the step of exercise 3 beside a plain PyTorch loop"),
    Part("profile", 30, "where the time of a step goes"),
)


@dataclass
class Report:
    """The JSON, whose parts are there from the beginning."""

    path: Path
    content: dict[str, Any]
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, path: Path, device: str, parts: Iterable[Part]) -> "Report":
        begun = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        empty = {
            part.name: {"what": part.what, "limit": part.limit, "end": "not begun", "figures": {}}
            for part in parts
        }
        about = {"begun": begun, "device": device, "rehearsal": device == "cpu", "seconds": 0.0}
        report = cls(path, {**about, "machine": {}, "versions": {}, "parts": empty})
        report.write()
        return report

    def write(self) -> None:
        self.content["seconds"] = round(time.monotonic() - self.started, 1)
        files.write(self.path, json.dumps(self.content, indent=1) + "\n", durable=False)


def run(parts: Sequence[Part], device: str, output: Path) -> dict[str, Any]:
    """Run the parts; returns the content of the JSON.

    Without the machine's own part nothing else would work, so that the others are then skipped.
    """
    report = Report.begin(output, device, parts)
    found: dict[str, dict[str, Any]] = report.content["parts"]
    with tempfile.TemporaryDirectory(prefix="gpu-day-") as folder:
        for part in parts:
            machine = found.get("machine", {})
            if part.name != "machine" and machine.get("end") == "failed":
                found[part.name] |= {"end": "skipped", "reason": "nothing works here: see machine"}
                continue
            print(f"=== {part.name} (at most {part.limit:g} s): {part.what}", flush=True)
            _run(part, found[part.name], device, folder, report)
            about = found[part.name]
            words = f"{about['end']}, {about['seconds']} s"
            print(f"--- {part.name}: {words}{_because(about)}", flush=True)
    report.write()
    return report.content


def _run(part: Part, about: dict[str, Any], device: str, folder: str, report: Report) -> None:
    """Run a part in its own process until it ends or reaches its time limit."""
    about["end"], start, over = "running", time.monotonic(), threading.Event()
    report.write()
    module = part.module or f"gpu.{part.name}"
    command = [interpreter(), "-u", "-m", "gpu", module, device, folder]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        text=True, errors="replace", env=_environment(device), start_new_session=True,
    )  # fmt: skip

    def stop() -> None:
        over.set()
        _kill(process)

    timer = threading.Timer(part.limit, stop)
    timer.start()
    try:
        _listen(process, part, about, report)
        status = process.wait()
    except BaseException:
        about |= {"end": "stopped", "reason": "the whole was interrupted"}
        raise
    finally:
        timer.cancel()
        _kill(process)
        about["seconds"] = round(time.monotonic() - start, 1)
        report.write()
    if over.is_set():
        about |= {"end": "over its limit", "reason": f"ended after {part.limit:g} s"}
    elif about["end"] == "running":
        ended = f"by signal {-status}" if status < 0 else f"with status {status}"
        about |= {"end": "failed", "reason": f"its process ended {ended}"}
    report.write()


def _listen(
    process: subprocess.Popen[str], part: Part, about: dict[str, Any], report: Report
) -> None:
    """Print what the process prints; take its figures down."""
    lines = about["output"] = []
    for line in process.stdout or ():
        text, mark, record = line.rstrip("\n").partition(MARK)
        if text or not mark:
            print(text, flush=True)
            lines.append(text)
            del lines[:-KEPT]
        if not mark:
            continue
        said = json.loads(record)
        if "end" in said:
            about |= {name: value for name, value in said.items() if value}
            continue
        name, value = said["figure"], said["value"]
        print(f"{name}: {json.dumps(value)}", flush=True)
        about["figures"][name] = value
        if part.name == "machine":
            report.content[name] = value
        report.write()


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _environment(device: str) -> dict[str, str]:
    """Of a part: our modules; in a rehearsal no GPU and one thread."""
    paths = [str(ROOT / "workflow/scripts"), str(ROOT / "benchmarks")]
    paths += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPTLAB_WARM": "0"}
    return found | ({"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} if device == "cpu" else {})


def interpreter() -> str:
    """This Python if it has PyTorch, else that of `make install`."""
    if importlib.util.find_spec("torch"):
        return sys.executable
    installed = ROOT / ".venv/bin/python"
    if installed.exists():
        return str(installed)
    sys.exit(f"error: {sys.executable} has no PyTorch; name one that has: make gpu PYTHON=...")


def _because(about: dict[str, Any]) -> str:
    return f": {about['reason']}" if about.get("reason") else ""


def main() -> int:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--output", type=Path, default=Path("results/gpu.json"), help="the JSON")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(names)}")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(names):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [p for p in PARTS if p.name in ("machine", *options.parts) or not options.parts]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    content = run(chosen, options.device, options.output)
    print(f"=== {content['seconds']} s in all: {options.output}")
    for name, about in content["parts"].items():
        print(f"{name:12} {about['end']}{_because(about)}")
    good = all(about["end"] in ("ok", "skipped") for about in content["parts"].values())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
