"""What follows a grid: rates beyond its ends, and the chosen setting on fresh seeds.

In:  on standard input, an optimizer on a problem with the runs of its grid, as the workflow passes
     it; the metrics of these runs.
Out: --output, confirmed.json: the setting that was chosen, and the runs beyond the grid. Those are
     in runs/ like any other run, the confirmation seeds in confirm/, each trained by train.py.

Seeds that an earlier call trained are kept, also more than are asked for, and those of a setting
that is no longer chosen.
"""

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line, files
from optlab.catalogue.knobs import refuses
from optlab.errors import UserError, in_one_line
from optlab.machine import owner
from optlab.machine.children import Children, terminate
from optlab.machine.processes import LAUNCHER
from optlab.runs import failures
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
    files.check(arguments.output)
    unit = Unit.of(sys.stdin.read())
    training = Training(unit, shlex.split(arguments.spread))
    owner.follow()
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
        # Snakemake does not know this file. With an old date (0 is none), it starts the run should
        # the rate join the grid; train.py then finds the seeds, and changes of the study count.
        os.utime(Path(run.folder, "metrics.tsv"), (1, 1))
        added.append(run)
        chosen, edge = choose(unit, added)
    seeds = 0 if failures.reason(chosen.folder) else unit.confirm  # all of the grid failed
    if seeds:
        print(f"{seeds} fresh seeds of {chosen.path}", flush=True)
        training.train(on_fresh_seeds(chosen, seeds))
    return Confirmed(chosen, edge, tuple(added), seeds)


def choose(unit: Unit, added: Sequence[Run]) -> tuple[Run, str]:
    """The best setting of the grid and of what was added, and the end at which its rate is."""
    from optlab.results import summary  # pandas: not before the words are checked

    table = summary.summarise([*unit.runs, *added])
    (best,) = summary.best(table, {unit.runs[0].exercise: unit.metric}).to_dict("records")
    return best["run"], best["lr_at_edge"]


def beyond(chosen: Run, edge: str, tried: Sequence[Run]) -> Run | None:
    """The chosen setting with the next rate beyond the tried ones, in the ratio of the last two.

    Rounded to two digits: 0.001 continues 0.1 and 0.01 whatever their binary fractions are. To
    more, where two digits would not reach beyond: 1.02 continues 1 and 1.01.

    None where there is no such rate, because one of the two is zero.
    """
    rates = sorted({run.knobs["lr"] for run in tried}, reverse=edge == "lowest")
    before, last = rates[-2:]
    if not before or not last:
        return None
    exact = last * last / before
    rounded = (float(f"{exact:.{digits}g}") for digits in range(2, 18))
    found = (rate for rate in rounded if min(before, rate) < last < max(before, rate))
    rate = next(found, 0.0)
    if not rate or refuses(chosen.optimizer, "lr", rate):  # too small, or too large
        return None
    knobs = {**chosen.knobs, "lr": canonical(rate)}
    return dataclasses.replace(chosen, knobs=knobs, arguments={**chosen.arguments, "lr": rate})


class Training:
    """Trains runs in processes of their own, one after another."""

    def __init__(self, unit: Unit, spread: list[str]):
        self._widest, self._spread = unit.widest.gpus, spread
        self._children = Children(terminate)  # a run that is asked to end saves a checkpoint

    def train(self, run: Run) -> None:
        """Train the missing seeds of a run.

        Raises:
            UserError: it failed; its message has been printed.
        """
        spread = self._spread if run.gpus == self._widest else []
        places = ["--output", run.folder, "--state", run.state, "--record-failure"]
        program = [sys.executable, str(LAUNCHER), str(TRAIN), "--settings", run.text(), *places]
        if status := self._children.run([*spread, *program]):
            raise UserError(f"{run.path} could not be trained (exit status {status})")


def report_change(file: Path, found: Confirmed) -> None:
    """Say in the log when another setting than in an earlier call was chosen."""
    try:
        earlier = Confirmed.read(str(file))
    except UserError:
        return
    if earlier.seeds and earlier.chosen.path != found.chosen.path:
        print(f"chosen before: {earlier.chosen.path}; its seeds stay in {earlier.run.folder}")


if __name__ == "__main__":
    sys.exit(main())
