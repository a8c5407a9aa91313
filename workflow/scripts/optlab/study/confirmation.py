"""What follows a grid: rates beyond its ends, and the chosen settings on fresh seeds.

An optimizer on a problem (a data set and a network) is the unit: one job reads the metrics of its
grid, extends the grid where its best learning rate is at an end (`extend`), and trains the chosen
setting on seeds that no tuning uses (`confirm`). What it chose is in ``confirmed.json``.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from optlab import files, values
from optlab.catalogue import tasks
from optlab.errors import Mistake, UserError, allowed, show
from optlab.study.run import CONFIRMATION, Run

FEWEST = 4  # seeds with which the evidence can reach 20 at all: see `results.anytime.fewest`
# Units of margins; a number needs none.
UNITS = {True: ("points", "point"), False: ("%",)}  # of a share of examples, and of another figure
LARGEST = 0.2  # margin of an accuracy: more was meant as points, or shows nothing

Study = Mapping[str, Any]


@dataclass(frozen=True)
class Unit:
    """An optimizer on a problem of a sweep.

    Attributes:
        runs: its grid.
        confirm: number of confirmation seeds.
        stated: the number that the study states; `settle.py` may have raised it.
        extend: number of learning rates that may be tried beyond the grid.
        metric: of the exercise.
    """

    runs: tuple[Run, ...]
    confirm: int
    extend: int
    metric: str
    stated: int = 0

    @cached_property
    def path(self) -> str:
        """Its folder below ``results/<study>/confirm``."""
        return self.runs[0].unit

    @property
    def dataset(self) -> str:
        """The data set of its runs."""
        return self.runs[0].dataset

    @property
    def file(self) -> str:
        """What was chosen; the metrics of the confirmation seeds are in folders beside it."""
        return file_of(self.runs[0])

    @property
    def widest(self) -> Run:
        """The run that needs the most processes, and of these the most time or epochs."""
        return max(self.runs, key=lambda run: (run.gpus, run.minutes, run.epochs))

    @property
    def parts(self) -> list[str]:
        """The files of this package that its runs import and others may not."""
        return list(dict.fromkeys(part for run in self.runs for part in run.parts))

    @property
    def code(self) -> list[str]:
        """The user's own files that its runs import."""
        return list(dict.fromkeys(file for run in self.runs for file in run.code))

    def text(self) -> str:
        """The unit as ``confirm.py`` reads it; Snakemake compares it with the last call's."""
        runs = [run.fields() for run in self.runs]
        # What all have is written once: a command line, on which a shell gives the text to its
        # program, has at most 128 KB. Not sorted: the order of knobs is that of a path.
        same = {k: v for k, v in runs[0].items() if all(run.get(k) == v for run in runs)}
        own = [{k: v for k, v in run.items() if k not in same} for run in runs]
        return json.dumps({**self._plan(), "same": same, "runs": own})

    def _plan(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("confirm", "extend", "metric")}

    @classmethod
    def of(cls, text: str) -> "Unit":
        """The unit that this `text` describes.

        Raises:
            UserError: it is not such a text.
        """
        try:
            found = json.loads(text)
            same = found.pop("same")
            return cls(**{**found, "runs": tuple(Run(**same, **own) for own in found["runs"])})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError("standard input: not what confirm.smk passes on") from error


@dataclass(frozen=True)
class Confirmed:
    """What the job of a unit chose.

    Attributes:
        chosen: the run of the best setting on tuning seeds.
        edge: the end of the rates tried at which it lies, as in ``lr_at_edge``.
        added: the runs beyond the grid.
        seeds: number of confirmation seeds.
    """

    chosen: Run
    edge: str
    added: tuple[Run, ...]
    seeds: int

    @property
    def run(self) -> Run:
        """The chosen setting on its confirmation seeds."""
        return on_fresh_seeds(self.chosen, self.seeds)

    def text(self) -> str:
        """The content of ``confirmed.json``."""
        content = {
            "chosen": self.chosen.fields(),
            "edge": self.edge,
            "added": [run.fields() for run in self.added],
            "seeds": self.seeds,
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def read(cls, file: str) -> "Confirmed":
        """The content of a ``confirmed.json``.

        Raises:
            UserError: there is no such file, or it is damaged.
        """
        try:
            found = files.read_json(Path(file))
            added = tuple(Run(**fields) for fields in found["added"])
            read = cls(Run(**found["chosen"]), str(found["edge"]), added, int(found["seeds"]))
            if not all(run.path and run.text() for run in (read.run, *added)):
                raise ValueError("no run")
            return read
        except OSError as error:
            raise UserError(f"{file}: {error.strerror}; has this been confirmed?") from error
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise UserError(f"{file}: not a file of this version; remove it") from error


def file_of(run: Run) -> str:
    """The file of what was chosen of the run's optimizer on its problem."""
    return f"results/{run.study}/confirm/{run.unit}/confirmed.json"


def on_fresh_seeds(run: Run, seeds: int) -> Run:
    """The run on confirmation seeds."""
    return dataclasses.replace(run, first_seed=CONFIRMATION, seeds=seeds)


def wanted(exercise: Mapping[str, Any]) -> bool:
    """Whether anything of an exercise is to be extended or confirmed."""
    return exercise["kind"] == "sweep" and bool(exercise["confirm"] or exercise["extend"])


def units(study: Study, name: str, runs: Iterable[Run]) -> list[Unit]:
    """The units of an exercise with these runs that have something to extend or to confirm."""
    exercise, raised = study["exercises"][name], settled(study)
    if not wanted(exercise):
        return []
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.dataset, run.model, run.optimizer), []).append(run)
    # Where nothing on a problem is random, another seed would give the same figures. Where anything
    # is, all have the same seeds, so that they can be compared.
    every = (run for group in groups.values() for run in group)
    random = {(run.dataset, run.model) for run in every if not run.is_deterministic}
    found = [
        _unit(exercise, tuple(group), raised, (dataset, model) in random)
        for (dataset, model, _), group in groups.items()
    ]
    return [unit for unit in found if unit.confirm or unit.extend]


def _unit(
    exercise: Mapping[str, Any], runs: tuple[Run, ...], raised: Mapping[str, int], random: bool
) -> Unit:
    extend = exercise["extend"] if len({run.knobs.get("lr") for run in runs}) > 1 else 0
    confirm = exercise["confirm"] if random else 0
    unit = Unit(runs, confirm, extend, exercise["metric"], confirm)
    more = raised.get(unit.path, 0) if confirm else 0
    return dataclasses.replace(unit, confirm=max(confirm, more))


# -- seeds that `settle.py` added --------------------------------------------------------------


def settled_file(study: Study) -> Path:
    """The numbers of confirmation seeds to which `settle.py` has raised optimizers."""
    return Path(f"results/{study['study']}/settled.json")


def settled_content(study: Study) -> dict[str, dict[str, int]]:
    """The file's content: ``seeds``, and ``begin``, the numbers before an unfinished call.

    Raises:
        UserError: the file is damaged.
    """
    file = settled_file(study)
    try:
        found = files.read_json(file)
        return {key: {str(k): int(n) for k, n in found[key].items()} for key in ("seeds", "begin")}
    except (FileNotFoundError, NotADirectoryError):
        return {"seeds": {}, "begin": {}}
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{file}: damaged; remove it, and settle again") from error


def settled(study: Study) -> dict[str, int]:
    """Unit -> number of confirmation seeds."""
    return settled_content(study)["seeds"]


def write_settled(study: Study, content: Mapping[str, Any]) -> None:
    """Write the file; its ``seeds`` are what `settled` reads."""
    files.write(settled_file(study), json.dumps(content, indent=1) + "\n")


# -- mistakes ----------------------------------------------------------------------------------


def mistakes(study: Study, exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """Confirmation seeds, margins and extensions of an exercise that could settle nothing."""
    own = {key: exercise[key] for key in ("confirm", "margin") if exercise[key] != study[key]}
    yield from shared_mistakes(own)
    if exercise["extend"] != study["extend"]:  # stated for this exercise
        for name, knobs in exercise["optimizers"].items():
            if exercise["extend"] and len(knobs.get("lr", ())) < 2:
                message = "has no two learning rates, whose ratio 'extend' would continue"
                yield ("optimizers", name), f"{message}; add one, or use extend: 0"


def shared_mistakes(settings: Mapping[str, Any]) -> Iterator[Mistake]:
    """The same of the keys that a study gives to all of its exercises."""
    if 0 < (seeds := settings.get("confirm", 0)) < FEWEST:
        message = f"{seeds} seeds cannot settle anything; use at least {FEWEST}, or 0"
        yield ("confirm",), message
    yield from margin_mistakes(settings.get("margin", {}))


def margin_mistakes(given: Any) -> Iterator[Mistake]:
    """Mistakes of a margin, by metric."""
    example = "as in {accuracy: 0.005, loss: 1%}"
    if not isinstance(given, Mapping):
        yield ("margin",), f"{show(given)} is a margin of nothing; name the metric, {example}"
        return
    for metric, value in given.items():
        if metric != "loss" and not tasks.metric_named(str(metric)):
            yield ("margin", metric), f"unknown key; {allowed(metric, ['loss', *tasks.METRICS])}"
        elif (amount := margin(given, metric)) is None:
            form = "0.005 or 0.5 points" if tasks.is_share(metric) else "0.01 or 1%"
            yield (
                ("margin", metric),
                f"{show(value)} is not a margin; use a form like {form}",
            )
        elif tasks.is_share(metric) and amount[0] > LARGEST:
            points = not isinstance(value, str) and value <= 100 * LARGEST
            meant = f"write {value} points, or " if points else ""
            message = f"{show(value)} is {100 * amount[0]:g} points of 100; {meant}use at most"
            yield ("margin", metric), f"{message} {LARGEST}"


def margin(given: Mapping[str, Any], metric: str) -> tuple[float, bool] | None:
    """The margin of a metric, and whether it is relative to the best; None if there is none."""
    value = given.get(metric)
    text = values.text(value) if isinstance(value, str | int | float) else ""
    unit = next((unit for unit in UNITS[tasks.is_share(metric)] if text.endswith(unit)), "")
    try:
        amount = float(text.removesuffix(unit)) / (100 if unit else 1)
    except ValueError:
        return None
    return (amount, unit == "%") if 0 < amount < float("inf") else None
