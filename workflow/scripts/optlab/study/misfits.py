"""What of a run's further axes does not fit its data set."""

from collections.abc import Iterator, Mapping
from typing import Any

from optlab.catalogue import augmentations, tasks
from optlab.data import known
from optlab.errors import Mistake
from optlab.study.run import Run

CROSS_ENTROPY = "cross_entropy"


def of_space(space: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[Mistake]:
    """The mistakes of a search on the data set of this definition, by names of its space."""
    source = known.source(definition)
    for number, value in enumerate(space.get("augment", {}).get("choices", ())):
        if reason := augmentations.refuses(value, source.shape, source.task):
            yield ("augment", "choices", number), reason
    if "label_smoothing" in space and tasks.TASKS[source.task].loss != CROSS_ENTROPY:
        yield ("label_smoothing",), f"the loss is {tasks.TASKS[source.task].loss}"


def of_axes(run: Run, definition: Mapping[str, Any]) -> Iterator[Mistake]:
    """The mistakes of a run on the data set of this definition."""
    source = known.source(definition)
    if reason := augmentations.refuses(run.augment, source.shape, source.task):
        yield ("augment",), f"{run.dataset}: {reason}"
    if run.patience and not known.sizes(definition)[1] and not run.subset_validation:
        yield ("patience",), f"{run.dataset} has no validation examples, whose loss would decide"
    loss = run.loss or tasks.TASKS[source.task].loss
    if run.label_smoothing and loss != CROSS_ENTROPY:
        words = f"is of the cross entropy, and the loss of {run.dataset} is {loss}"
        yield ("label_smoothing",), f"{words}; use [0]"
