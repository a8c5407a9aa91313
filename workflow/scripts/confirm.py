"""What follows a grid: rates beyond its ends, and the chosen setting on fresh seeds.

In:  on standard input, an optimizer on a problem with the runs of its grid, as the workflow passes
     it; the metrics of these runs.
Out: --output, confirmed.json: the setting that was chosen, and the runs beyond the grid. Those are
     in runs/ like any other run, the confirmation seeds in confirm/, each trained by train.py.

Seeds that an earlier call trained are kept, those of a setting that is no longer chosen too.
"""

import dataclasses
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import command_line, files
from optlab.errors import UserError, in_one_line
from optlab.machine.processes import LAUNCHER
from optlab.study.confirmation import Confirmed, Unit, on_fresh_seeds
from optlab.study.run import Run
from optlab.values import canonical, text

TRAIN = Path(__file__).with_name("train.py")


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.Parser(__doc__)
    p.add_argument("--output", type=Path, required=True, help="confirmed.json")
    p.add_argument("--spread", default="", metavar="COMMAND",
                   help="starts a program on each node of a run that needs several")  # fmt: skip
    arguments = p.parse_args(words)
    unit = Unit.of(sys.stdin.read())
    training = Training(unit, shlex.split(arguments.spread))
    report_change(arguments.output, found := follow(unit, training))
    files.write(arguments.output, found.text())
    return 0


def follow(unit: Unit, training: "Training") -> Confirmed:
    """Extend the grid where its best rate is at an end, then confirm the chosen setting."""
    added: list[Run] = []
    chosen, edge = choose(unit, added)
    while edge in ("lowest", "highest") and len(added) < unit.extend:
        run = beyond(chosen, edge, [*unit.runs, *added])
        if run is None:
            break
        print(f"the best rate is the {edge}: trying {text(run.knobs['lr'])}", flush=True)
        training.train(run)
        added.append(run)
        chosen, edge = choose(unit, added)
    if unit.confirm:
        print(f"{unit.confirm} fresh seeds of {chosen.path}", flush=True)
        training.train(on_fresh_seeds(chosen, unit.confirm))
    return Confirmed(chosen, edge, tuple(added), unit.confirm)


def choose(unit: Unit, added: Sequence[Run]) -> tuple[Run, str]:
    """The best setting of the grid and of what was added, and the end at which its rate is."""
    from optlab.results import summary  # pandas: not before the words are checked

    table = summary.summarise([*unit.runs, *added])
    (best,) = summary.best(table, {unit.runs[0].exercise: unit.metric}).to_dict("records")
    return best["run"], best["lr_at_edge"]


def beyond(chosen: Run, edge: str, tried: Sequence[Run]) -> Run | None:
    """The chosen setting with the next rate beyond the tried ones, in the ratio of the last two.

    Rounded to two digits: 0.001 continues 0.1 and 0.01 whatever their binary fractions are.

    None where there is no ratio, because a rate is zero.
    """
    rates = sorted({run.knobs["lr"] for run in tried}, reverse=edge == "lowest")
    before, last = rates[-2:]
    if not before or not last:
        return None
    rate = float(f"{last * last / before:.2g}")
    knobs = {**chosen.knobs, "lr": canonical(rate)}
    return dataclasses.replace(chosen, knobs=knobs, arguments={**chosen.arguments, "lr": rate})


class Training:
    """Trains runs in processes of their own, and passes on the signals that ask to end."""

    def __init__(self, unit: Unit, spread: list[str]):
        self._widest, self._spread = unit.widest.gpus, spread
        self._child: subprocess.Popen[bytes] | None = None
        signal.signal(signal.SIGTERM, self._end)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._end)

    def train(self, run: Run) -> None:
        """Train the missing seeds of a run.

        Raises:
            UserError: it failed; its message has been printed.
        """
        spread = self._spread if run.gpus == self._widest else []
        places = ["--output", run.folder, "--state", run.state]
        program = [sys.executable, str(LAUNCHER), str(TRAIN), "--settings", run.text(), *places]
        self._child = subprocess.Popen([*spread, *program], stdin=subprocess.DEVNULL)
        if status := self._child.wait():
            raise UserError(f"{run.path} could not be trained (exit status {status})")

    def _end(self, number: int, frame: Any) -> None:
        if self._child:
            self._child.terminate()  # it saves a checkpoint
            self._child.wait()
        raise KeyboardInterrupt


def report_change(file: Path, found: Confirmed) -> None:
    """Say in the log when another setting than in an earlier call was chosen."""
    try:
        earlier = Confirmed.read(str(file))
    except UserError:
        return
    if earlier.chosen.path != found.chosen.path:
        print(f"chosen before: {earlier.chosen.path}; its seeds stay in {earlier.run.folder}")


if __name__ == "__main__":
    sys.exit(main())
