"""The options of the programs, and the run that those of ``train.py`` describe.

Every mistake is one line. Imports what it checks the options with, and no PyTorch.
"""

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NoReturn

from optlab import custom, files
from optlab.catalogue import networks, optimizers, spelling, tasks
from optlab.catalogue.datasets import BUILT_IN, built_in
from optlab.catalogue.networks import NETWORKS
from optlab.command_line import axes as axis_options
from optlab.command_line import knobs as knob_options
from optlab.command_line import values
from optlab.data import identity
from optlab.errors import Mistake, UserError, allowed
from optlab.machine import devices
from optlab.runs import by_hand
from optlab.study import names
from optlab.study.carried import carried
from optlab.study.kinds import search
from optlab.study.run import REPLICATES, Run
from optlab.training.settings import UNLIMITED, USUAL
from optlab.values import known

STUDY = "config/config.yaml"  # the default study
PREPARE = Path(__file__).parents[2] / "prepare_data.py"


class Parser(argparse.ArgumentParser):
    """A parser that prints a mistake in one line, without its usage."""

    def __init__(self, description: str | None):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=formatter)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message.removeprefix('argument ')}\n")


def add_study(parser: Parser) -> None:
    """The option of the programs that people call with a study, which has a default."""
    parser.add_argument("--study", default=STUDY, type=values.study_file, metavar="FILE",
                        help=f"the study's configuration ({STUDY})")  # fmt: skip


def study_parser(description: str | None, *more: str, optional: Collection[str] = ()) -> Parser:
    """The options of the programs that read a study; ``more`` of them, required or not."""
    p = Parser(description)
    p.add_argument(
        "--study", type=values.study_file, required=True, help="the study, or study.yaml"
    )
    texts = {
        **{"exercise": "name of the exercise", "dataset": "name of one of its data sets"},
        **{"tables": "folder of its tables", "output": "file of the result"},
        "output-folder": "folder of the results",
    }
    for name in more:
        kind = str if name in ("exercise", "dataset") else Path
        p.add_argument(f"--{name}", type=kind, required=name not in optional, help=texts[name])
    return p


def train_parser(description: str | None) -> Parser:
    """The options of ``train.py``."""
    p = Parser(description)
    p.add_argument("--list", action="store_true", help="list what there is, and train nothing")
    p.add_argument("--settings", metavar="JSON",
                   help="a run as the workflow passes it, in place of those below")  # fmt: skip
    _what(p.add_argument_group("what is trained"))
    _how(p.add_argument_group("how it is trained"))
    knob_options.add(p)
    _where(p.add_argument_group("where it runs, and where the results go").add_argument)
    return p


def _what(group: Any) -> None:
    data, add = group.add_mutually_exclusive_group(), group.add_argument
    data.add_argument("--dataset", default="digits", metavar="NAME", help="data set (digits)",
                      type=lambda name: known(name, BUILT_IN))  # fmt: skip
    data.add_argument("--data", type=values.file, metavar="FILE",
                      help="or the JSON that prepare_data.py wrote")  # fmt: skip
    add("--model", default="mlp", metavar="NAME", help="network, or path/to/file.py:name (mlp)")
    add("--network", metavar="NAME", help="network, where --model is only a name")
    add("--model-option", action="append", default=[], metavar="NAME=VALUE",
        help="an option of the network, as hidden=[256,128]; may be repeated")  # fmt: skip


def _how(group: Any) -> None:
    add = group.add_argument
    add("--optimizer", default="sgd", type=spelling.optimizer, metavar="NAME",
        help="name, path/to/file.py:Class or package.module:Class (sgd)")  # fmt: skip
    add("--learning-rate", "--learning_rate", "--lr", dest="lr", type=values.rate, metavar="LR",
        help="learning rate (the middle of the optimizer's usual ones)")  # fmt: skip
    add("--batch-size", "--batch_size", default=64, type=values.batch_size, metavar="N",
        help="examples a step, or full (64)")  # fmt: skip
    axis_options.add(group)
    add("--seeds", default=1, type=values.up_to(100_000), metavar="N",
        help="replicates (1)")  # fmt: skip
    add("--first-seed", default=0, type=values.up_to(1_000_000, least=0), metavar="N",
        help="seed of the first replicate; the others follow (0)")  # fmt: skip
    add("--vary", default=list(USUAL), type=values.vary, metavar="NAMES",
        help="what a seed varies, of weights, order, split, subset (weights,order)")  # fmt: skip
    add("--subset", type=values.whole, metavar="N",
        help="with --vary subset, its examples, those for validation included")  # fmt: skip
    add("--subset-validation", default=0, type=values.up_to(values.MOST, least=0),
        metavar="N", help="examples of it for validation (0)")  # fmt: skip
    add("--loss", metavar="NAME", help="a loss of the data's task, or path/to/file.py:function "
        "(cross_entropy of classes and texts, mse)")  # fmt: skip
    add(
        "--metrics",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="measured beside the loss, as accuracy,top_5_accuracy (those usual for the task)",
    )
    add("--evaluate-every", default=1, type=values.whole, metavar="N",
        help="epochs between two evaluations (1)")  # fmt: skip
    add("--train-loss-examples", default=10_000, type=values.whole, metavar="N",
        help="the training loss is measured on at most this many (10000)")  # fmt: skip
    add("--precision", choices=("float32", "float64", "bfloat16"), default="float32",
        help="of weights and arithmetic; bfloat16 keeps float32 weights (float32)")  # fmt: skip
    add("--sync-batch-norm", action="store_true", help="BatchNorm takes the batch of all processes")
    add("--replicates", choices=REPLICATES, default="auto",
        help="trained in one step together, separate, or where that is faster (auto)")  # fmt: skip


def _where(add: Callable) -> None:
    add("--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="auto takes a GPU where there is one (auto)")  # fmt: skip
    add("--threads", default=1, type=values.up_to(1024), metavar="N", help="CPU threads (1)")
    add("--gpus", default=1, type=values.up_to(4096), metavar="N",
        help="processes that train together (1)")  # fmt: skip
    add("--timed", action="store_true",
        help="measure the parts of a step afterwards, to see where the time goes")  # fmt: skip
    add("--output", type=values.folder, metavar="FOLDER",
        help="results (results/by-hand/runs/ and the settings)")  # fmt: skip
    add("--keep-weights", choices=("last", "best"),
        help="write the weights too, the last or the best on validation data")  # fmt: skip
    add("--log-to", choices=("tensorboard",), help="write event files for it, too")
    add(
        "--exercise",
        default="hand",
        type=values.name,
        metavar="NAME",
        help="name in the tables (hand)",
    )
    add(
        "--state",
        type=values.file,
        metavar="FILE",
        help="file that reports the progress of the run",
    )
    add("--record-failure", action="store_true",
        help="if the network or the optimizer refuses, that is the result; status 0")  # fmt: skip


def to_run(arguments: argparse.Namespace) -> Run:
    """The run that the command line describes.

    Raises:
        UserError: an unknown name, a value that is not allowed, or settings that do not fit.
    """
    if arguments.settings:
        return _passed(arguments.settings)
    network = known(arguments.network or arguments.model, NETWORKS)
    options = knob_options.pairs("--model-option", arguments.model_option)
    knobs = knob_options.given(arguments, knob_options.pairs("--knob", arguments.knob))
    arguments.optimizer = knob_options.variant(arguments.optimizer, knobs)
    _check("--model", names.network(network))
    _check("--model-option", names.options(network, options))
    knobs = optimizers.complete(arguments.optimizer, knobs)
    grid = {knob: [value] for knob, value in knobs.items()}
    _check(f"--optimizer {arguments.optimizer}", names.optimizer(arguments.optimizer, grid))
    # An option that is a field of a run has the field's name.
    fields = {field.name for field in dataclasses.fields(Run)}
    given = {name: value for name, value in vars(arguments).items() if name in fields}
    given |= {
        "study": by_hand.STUDY,
        "dataset": _dataset_name(arguments),
        "data": arguments.data or _prepared(arguments.dataset),
        "model": arguments.model if arguments.network else network,
        "network": network,
        "knobs": knobs,
        **({"epochs": UNLIMITED} if arguments.minutes else {}),
    }
    own = custom.own((arguments.loss, *(arguments.metrics or ())))
    entries = carried(network, arguments.optimizer, knobs, options, arguments.schedule, own)
    run = Run(**given, **entries)
    _check("--metrics", _metrics(run.metrics or ()))
    if (run.subset is None) == ("subset" in run.vary):
        raise UserError("--subset is the size of what --vary subset draws: give both or neither")
    reasons = (run.skip_reason, _unfit(run, options))
    if reason := next(filter(None, reasons), None):
        raise UserError(reason)
    return run


def _unfit(run: Run, options: dict[str, Any]) -> str | None:
    """Why a network, or patience, does not fit the prepared data set; None where they do."""
    found = files.read_object(Path(run.data))
    try:
        reason = networks.unfit(run.network, options, tuple(found["shape"]), found["task"])
        validation = found["sizes"]["validation"] or run.subset_validation
    except (KeyError, TypeError):  # damaged, which is told when it is opened
        return None
    if run.patience and not validation:
        reason = reason or "--patience: there are no validation examples, whose loss would decide"
    return reason


def _metrics(given: Iterable[str]) -> Iterable[Mistake]:
    return [((), reason) for name in given if (reason := tasks.refuses_metric(name))]


def _passed(text: str) -> Run:
    try:
        return Run(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise UserError(f"--settings: not a run of this version: {error}") from error


def _check(option: str, mistakes: Iterable[Mistake]) -> None:
    for place, message in mistakes:
        name = f"{place[0]}: " if place else ""
        raise UserError(f"{option}: {name}{message}")


def to_search(arguments: argparse.Namespace) -> search.Search:
    """The search that a command line names, in a process that ends cleanly on SIGTERM.

    It takes a GPU where the search uses one.

    Raises:
        UserError: there is no such search, or its data set has not been prepared.
    """
    from optlab.study import reading  # needs PyYAML, which train.py does not

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = {(s.exercise, s.dataset): s for s in search.every(reading.load(arguments.study))}
    exercise, dataset = arguments.exercise, arguments.dataset
    if (exercise, dataset) not in found:
        known = ", ".join(" on ".join(names) for names in found) or "none"
        raise UserError(f"there is no search '{exercise}' on '{dataset}'; the study has {known}")
    chosen = found[exercise, dataset]
    if not Path(chosen.data).is_file():
        raise UserError(f"the data set is not prepared: snakemake {chosen.data}")
    devices.take_for(chosen.device)
    return chosen


def _dataset_name(arguments: argparse.Namespace) -> str:
    if not arguments.data:
        return arguments.dataset
    try:
        return json.loads(Path(arguments.data).read_text(encoding="utf-8"))["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{arguments.data}: not a prepared data set ({error})") from error


def _prepared(dataset: str) -> str:
    """The description of a built-in data set, which is prepared now where it is missing."""
    if dataset not in BUILT_IN:
        words = allowed(dataset, BUILT_IN)
        raise UserError(f"--dataset: unknown data set '{dataset}'; {words}; others through --data")
    definition = built_in(dataset)
    path = identity.prepared_path(dataset, definition)
    if not Path(path).is_file():
        command = [sys.executable, str(PREPARE), *identity.arguments(dataset, definition, None)]
        if subprocess.run([*command, "--output", path], check=False).returncode:
            raise UserError(f"the data set '{dataset}' could not be prepared")
    return path
