"""One replicate of a run: its network, its order of the examples, and how it has fared."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from optlab import custom
from optlab.training import precision, stepping
from optlab.training.batches import Batches, derived_seed
from optlab.training.datasets import Dataset
from optlab.training.evaluation import Evaluation, Judge
from optlab.training.world import ALONE, World

if TYPE_CHECKING:
    from optlab.training.settings import Settings


class Replicate:
    """Seed k of a run: it has the same initial weights and batch order in every run.

    Args:
        settings: the run.
        data: the prepared data set, on the settings' device.
        seed: number of the replicate.
        world: the processes that train it together, each with an object like this one.

    Raises:
        UserError: network, batch size and data do not fit together.
    """

    def __init__(self, settings: Settings, data: Dataset, seed: int, world: World = ALONE):
        self.seed, self._last_epoch = seed, settings.epochs
        self.model = build_model(settings, data, seed, world.rank)
        self.batches = Batches(settings, data, seed, world)
        self._judge = Judge(settings, data, self.model, stepping.loss_function(data), world)
        self.rows: list[Evaluation] = []

    @property
    def diverged(self) -> bool:
        """Whether it has diverged, after which it is evaluated no more."""
        return bool(self.rows) and self.rows[-1].status != "ok"

    def evaluate(self, epoch: int, step: int, seconds: float, losses: Tensor) -> Evaluation:
        """Its next row; ``losses`` [steps] are those since the last one."""
        row = self._judge.evaluate(epoch, step, seconds, losses)
        if epoch == self._last_epoch and row.status == "ok":
            self._judge.test(row)
        self.rows.append(row)
        return row

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on from here."""
        return {
            "rows": [vars(row) for row in self.rows],
            "judge": self._judge.state(),
            "model": self.model.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` told."""
        self.rows[:] = [Evaluation(**row) for row in state["rows"]]
        self._judge.restore(state["judge"])
        self.model.load_state_dict(state["model"])


def build_model(settings: Settings, data: Dataset, seed: int, rank: int = 0) -> nn.Module:
    """The network with the initial weights of ``seed``, made on the CPU for every device."""
    outputs = data.classes if data.classes is not None else math.prod(data.train.y.shape[1:])
    torch.manual_seed(derived_seed("weights", seed))
    usual = torch.get_default_dtype()
    torch.set_default_dtype(precision.WEIGHTS[settings.precision])  # of constants too
    try:
        model = custom.call(
            settings.network_builder, data.shape, outputs, **settings.network_options
        )
    finally:
        torch.set_default_dtype(usual)
    if settings.precision == "bfloat16":
        precision.mix(model, torch.device(settings.device).type)
    torch.manual_seed(derived_seed("dropout", seed, *([rank] if rank else [])))
    random.seed(derived_seed("python", seed, rank))  # a network of the user's own may draw from it
    layout = torch.channels_last if settings.channels_last else torch.preserve_format
    return cast(Any, model).to(settings.device, memory_format=layout)
