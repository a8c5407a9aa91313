"""The result of training one seed."""

from dataclasses import dataclass

from torch import nn

from optlab.training.evaluation import Evaluation
from optlab.training.kept import Kept


@dataclass
class Outcome:
    """The result of training one seed.

    Attributes:
        evaluations: from row 0 (before the first step) to the last.
        model: the network after the last step.
        seconds: of the training clock, without evaluation and start-up; of replicates that were
            trained at once, an equal share.
        evaluation_seconds: of the evaluations, shared in the same way.
        cpu_seconds: for which the training thread had a core while the training clock ran, shared
            in the same way. On a CPU it is less where other work had its core.
        stopped_early: whether it ended because its validation loss no longer became better.
        kept: the weights that the run is to keep (`Settings.keep_weights`).
    """

    evaluations: list[Evaluation]
    model: nn.Module
    seconds: float
    evaluation_seconds: float
    cpu_seconds: float = 0.0
    stopped_early: bool = False
    kept: Kept | None = None
