"""The trial of a question: a few steps of a real run, with the data set of the study."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from optlab import custom
from optlab.catalogue import schedules
from optlab.catalogue.datasets import SOURCES
from optlab.data import identity, known, prepare
from optlab.errors import UserError, is_out_of_memory
from optlab.probe.questions import Question
from optlab.runs import failures
from optlab.study.run import Run
from optlab.training import batch_norm, datasets, loop, optimizers
from optlab.training.datasets import Dataset, Split

MOST = 2000  # training examples of a full batch on a CPU, where only time depends on their number
BLOCK = 256  # examples of an evaluation


def data_of(study: Mapping[str, Any], run: Run) -> Dataset:
    """The data set of a run as prepared, else from its source; a well-known one is imitated.

    Raises:
        DataError: a file of the user's is not as it should be.
    """
    device = device_of(run)
    if Path(run.data).is_file() and Path(identity.tensors(run.data)).is_file():
        return datasets.load(run.data, device)
    definition = study["datasets"][run.dataset]
    if run.subset is not None:
        definition = identity.whole(definition)
    found = prepare.in_memory(run.dataset, definition)
    if found is None:
        return _imitation(run.dataset, definition, device)
    arrays, description = found
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return datasets.of(description, tensors, device)


def _imitation(name: str, definition: Mapping[str, Any], device: str) -> Dataset:
    """Random images, or vectors, with the sizes of a well-known data set that is not here yet."""
    source = SOURCES[definition["source"]]
    trained, held_out = known.sizes(definition)
    classes = len(source.per_class)

    def split(count: int) -> Split:
        shape = (count, *source.shape)
        if len(source.shape) == 1:
            x = torch.randn(shape, device=device)
        else:
            x = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
        return Split(x, torch.arange(count, device=device) % classes)

    validation = split(min(held_out, BLOCK)) if held_out else None
    parts = (split(trained), validation, split(BLOCK))
    return Dataset(name, source.label, "classification", classes, source.shape, 1 / 255, *parts)


def device_of(run: Run) -> str:
    """The device of a run, or the CPU where it has none here."""
    return "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def apart() -> Iterator[None]:
    """Undo what code of the user's changes for all that comes after it."""
    usual = (torch.get_default_dtype(), torch.get_num_threads())
    try:
        with custom.undisturbed():
            yield
    finally:
        torch.set_default_dtype(usual[0])
        torch.set_num_threads(usual[1])


def answer(question: Question, data: Dataset) -> str:
    """Why what a question asks is refused; empty where it is not.

    Errors that are neither the user's nor of their code are raised.
    """
    if question.stage == "data":
        return ""  # they have been read
    run = replace(
        question.run, device=device_of(question.run), timed=False, train_loss_examples=BLOCK
    )
    try:
        with failures.recognised(run):
            if question.stage == "arguments":
                _build(run, _few(run, data))
            else:
                _try(run, _few(run, data), question.stage)
    except failures.RunFailed as error:
        return str(error)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return f"not enough memory: {' '.join(str(error).split())[:200]}"
    return ""


def _few(run: Run, data: Dataset) -> Dataset:
    """The data set with few examples to evaluate, and few in a full batch on a CPU."""
    cut = run.batch_size == "full" and run.device == "cpu" and run.subset is None
    train = _first(data.train, MOST) if cut else data.train
    if "split" in run.vary or run.subset is not None:
        return replace(data, test=_first(data.test, BLOCK))
    parts = {"validation": _first(data.validation, BLOCK), "test": _first(data.test, BLOCK)}
    return replace(data, train=train, **parts)


def _first(split: Any, count: int) -> Any:
    return split if split is None else Split(split.x[:count], split.y[:count])


def _build(run: Run, data: Dataset) -> loop.Trainer:
    batch = run.batch_size if isinstance(run.batch_size, int) else len(data.train.x)
    batches = -(-len(data.train.x) // batch)
    if schedules.unfit(run.schedule, run.epochs * batches):  # told by the check
        run = replace(run, scheduler=None)
    trainer = loop.Trainer(run, data, [run.first_seed])
    if run.gpus > 1:  # what the trainer of a single process does not look for
        optimizers.check_processes(trainer.optimizer, run.gpus)
        first = trainer.replicates[0]
        if reason := batch_norm.refuses(first.model, first.batches, run, run.gpus):
            raise UserError(reason)
    return trainer


def _try(run: Run, data: Dataset, stage: str) -> None:
    """Evaluate, take two steps and that of the last batch, and evaluate again."""
    trainer = _build(run, data)
    (replicate,) = trainer.replicates
    trainer.evaluate(0, lambda seed, row: None)
    first = replicate.rows[0]
    if stage in ("network", "loss") and not math.isfinite(first.train_loss):
        raise UserError(f"the loss before the first step is {first.train_loss} on {data.name}")
    for figure, value in first.more.items() if stage == "loss" else ():
        if math.isnan(value):
            raise UserError(f"the metric {figure.partition('_')[2]} is nan on {data.name}")
    trainer.set_mode(training=True)
    for batch in islice(trainer.batches.epoch(1), 2):
        trainer.take(batch)
    if trainer.batches.per_epoch > 2:
        trainer.take(next(trainer.batches.epoch(1, trainer.batches.per_epoch - 1)))
    trainer.evaluate(run.epochs, lambda seed, row: None, last=True)
