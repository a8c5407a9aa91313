"""One replicate of a run: its network, its batches and its evaluations."""

import copy
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optlab.training import augmentation, draws, kept, networks
from optlab.training.datasets import Dataset, Split
from optlab.training.evaluation import Evaluation, Judge
from optlab.training.kept import Kept
from optlab.training.settings import Settings
from optlab.training.world import ALONE, World

DIVERGED = 1000.0  # a loss above this multiple of that of row 0 counts as divergence


class Replicate:
    """Seed k of a run. What it draws is the same in every run that varies the same.

    It is evaluated until it diverges or stops, and remembers the weights of its best validation
    loss, and those of its last evaluation where they are to be kept.

    Attributes:
        stopped: whether it stopped before the others ended, after `Settings.patience` evaluations
            without a better validation loss.

    Args:
        settings: the run.
        data: the prepared data set, on the settings' device.
        seed: number of the replicate.
        world: the ranks that train the replicate together; each of them has such an object.

    Raises:
        UserError: network, batch size and data do not fit together.
    """

    def __init__(self, settings: Settings, data: Dataset, seed: int, world: World = ALONE):
        self.seed = seed
        data = draws.of_seed(settings, data, seed)
        self.model = networks.build(settings, data, seed, world.rank)
        self.batches = augmentation.batches(settings, data, seed, world)
        self.rows: list[Evaluation] = []
        self._data, self._world, self._patience = data, world, settings.patience
        self._judge = Judge(settings, data, world)
        sample = slice(settings.train_loss_examples)
        self._sample = Split(data.train.x[sample], data.train.y[sample])
        self._best: dict[str, Any] = {"loss": math.inf, "epoch": 0, "weights": {}}
        self._since = 0  # evaluations since the best one
        self.stopped = False
        self._last: dict[str, Any] = {"epoch": 0, "weights": {}}
        self._keeps = settings.keep_weights
        if self._keeps:
            kept.check(self.model, data, self._keeps, settings.network_builder)

    @property
    def ended(self) -> bool:
        """Whether the replicate has diverged or stopped; it is then not evaluated again."""
        return self.stopped or (bool(self.rows) and self.rows[-1].status != "ok")

    def evaluate(
        self, epoch: float, step: int, seconds: float, losses: Tensor, last: bool = False
    ) -> Evaluation:
        """Append the next row and return it.

        Args:
            epoch, step: how many have been trained.
            seconds: of the training clock.
            losses: those of the steps since the last row [steps].
            last: whether nothing more is trained, so that the test set is measured. It also is when
                the replicate stops, because its validation loss no longer becomes better.
        """
        row = self._first_bad(epoch, seconds, losses)
        row = row or self._measured(epoch, step, seconds, last)
        self.rows.append(row)
        return row

    def _first_bad(self, epoch: float, seconds: float, losses: Tensor) -> Evaluation | None:
        """The row of the first step whose loss was not finite or too high, if there is one."""
        if not len(losses):
            return None
        values = self._world.sum(losses)
        good = values <= _limit(self.rows[0])
        if good.all():  # the only synchronization with the device
            return None
        number = int((~good).int().argmax())
        step = self.rows[-1].step + number
        return Evaluation(epoch, step, seconds, float(values[number]), status="diverged")

    def _measured(self, epoch: float, step: int, seconds: float, last: bool) -> Evaluation:
        """The row of the current weights."""
        self._world.broadcast(self.model.buffers())  # running averages differ between ranks
        row = Evaluation(epoch, step, seconds, math.nan)
        self._measure(row, "train", self._sample)
        if self._data.validation is not None:
            self._measure(row, "val", self._data.validation)
            if row.val_loss is not None and row.val_loss < self._best["loss"]:
                self._best = {"loss": row.val_loss, "epoch": epoch, "weights": self._weights()}
                self._since = 0
            else:
                self._since += 1
        row.status = self._status(row)
        self.stopped = bool(self._patience) and self._since >= self._patience and not last
        if (last or self.stopped) and row.status == "ok" and self._data.test is not None:
            self._test(row, self._data.test)
            row.status = self._status(row)
        if self._keeps == "last" and (row.status == "ok" or not self.rows):
            self._last = {"epoch": epoch, "weights": self._weights()}
        return row

    def _status(self, row: Evaluation) -> str:
        """Whether these weights have diverged: no figure of theirs would mean anything."""
        losses = (row.train_loss, row.val_loss, row.test_loss)
        finite = all(math.isfinite(loss) for loss in losses if loss is not None)
        first = [*self.rows, row][0]
        return "ok" if finite and row.train_loss <= _limit(first) else "diverged"

    def _test(self, row: Evaluation, test: Split) -> None:
        """Measure the test set for the last epoch and for the epoch that validation chose."""
        self._measure(row, "test", test)
        if self._best["weights"]:
            last = self._weights()
            self.model.load_state_dict(self._best["weights"])
            row.best_epoch = self._best["epoch"]
            self._measure(row, "best_test", test)
            self.model.load_state_dict(last)

    def _measure(self, row: Evaluation, part: str, split: Split) -> None:
        row.put(part, self._judge.measure(self.model, split))

    @property
    def to_keep(self) -> Kept | None:
        """The weights that the run is to keep: of no figures, such as NaN, are the first ones."""
        if not self._keeps:
            return None
        found = self._best if self._keeps == "best" else self._last
        return Kept(found["epoch"], found["weights"] or self._weights())

    def _weights(self) -> dict[str, Any]:
        """A copy of the model's state. If weights are views, ``deepcopy`` would copy their base."""
        state = self.model.state_dict().items()
        return {k: v.clone() if isinstance(v, Tensor) else copy.deepcopy(v) for k, v in state}

    def state(self) -> dict[str, Any]:
        """What `restore` needs to continue from here."""
        rows = [dict(vars(row)) for row in self.rows]
        own = {"best": self._best, "since": self._since}
        last = {"last": self._last} if self._keeps == "last" else {}
        return {"rows": rows, **own, **last, "model": self.model.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        self.rows[:] = [Evaluation(**row) for row in state["rows"]]
        self._best, self._since = state["best"], state["since"]
        self._last = state.get("last", self._last)
        self.model.load_state_dict(state["model"])


def _limit(first: Evaluation) -> float:
    """The loss above which a replicate with this first row has diverged."""
    return DIVERGED * max(abs(first.train_loss), 1e-30)  # a loss of the user's may be negative
