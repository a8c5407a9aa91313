"""The batches of a replicate: the training examples in the order that its seed gives."""

import hashlib
import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from optlab.errors import UserError
from optlab.training import precision
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings
from optlab.training.world import ALONE, World

# Input values gathered at once: few enough to stay in a processor's cache; many for a GPU, where
# launching the kernel is what takes time.
BLOCK = {"cpu": 2**18, "cuda": 2**24}

# Inputs and targets; with several ranks also the number of examples over all of them.
Batch = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, int]


def derived_seed(*words: object) -> int:
    """A seed for the purpose that the words name, a hash of them."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=7).digest()
    return int.from_bytes(digest)


class Batches:
    """The batches of one rank, gathered a block of batches at a time.

    All ranks draw the same order and each takes its share of every batch, so the batches of a run
    do not depend on the world size. A share of a small last batch may be empty.

    Attributes:
        is_full: whether every batch is the whole training set.
        size: examples of a batch, over all ranks.
        per_epoch: batches of an epoch.
        last: examples of the last batch of an epoch, over all ranks.
        block_size: examples that are gathered at once.

    Raises:
        UserError: a batch or an epoch is larger than the training set.
    """

    def __init__(self, settings: Settings, data: Dataset, seed: int, world: World = ALONE):
        examples = len(data.train.x)
        self.is_full = settings.batch_size == "full"
        self.size = examples if self.is_full else int(settings.batch_size)
        if self.size > examples:
            raise UserError(
                f"a batch of {self.size} is more than the {examples} training examples "
                f"of {data.name}; use at most {examples}, or full"
            )
        if (settings.epoch_examples or 0) > examples:
            raise UserError(
                f"an epoch of {settings.epoch_examples} examples is more than the {examples} "
                f"training examples of {data.name}"
            )
        self._examples = settings.epoch_examples
        self.per_epoch = 1 if self.is_full else -(-(self._examples or examples) // self.size)
        rest = (self._examples or examples) - (self.per_epoch - 1) * self.size
        self.last = self.size if self.is_full else rest
        self._data, self._world = data, world
        self._seed = settings.seed_of("order", seed)
        self._dtype = precision.WEIGHTS[settings.precision]
        at_once = BLOCK[data.train.x.device.type] // (self.size * math.prod(data.shape))
        self.block_size = self.size * max(1, at_once)

    @cached_property
    def whole(self) -> Batch:
        """All examples in the order of the data set: the same tensors at every step."""
        if self._world.size == 1:
            return self.take(None)
        return next(self.gather(torch.arange(len(self._data.train.x))))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number ``skip`` on; the last one may be smaller."""
        if self.is_full:
            yield self.whole
            return
        for rows in self.order(epoch)[skip * self.size :].split(self.block_size):
            yield from self.gather(rows)

    def gather(self, rows: Tensor) -> Iterator[Batch]:
        """The batches of a block of row numbers [rows]."""
        if self._world.size == 1:
            x, y = self.take(rows)
            yield from zip(x.split(self.size), y.split(self.size), strict=True)
            return
        batches = rows.split(self.size)
        shares = [self._world.share(batch) for batch in batches]
        x, y = self.take(torch.cat(shares))
        sizes = [len(share) for share in shares]
        yield from zip(x.split(sizes), y.split(sizes), map(len, batches), strict=True)

    def order(self, epoch: int) -> Tensor:
        """The row numbers of an epoch: a permutation of the training set, or its beginning."""
        generator = torch.Generator().manual_seed(derived_seed("order", self._seed, epoch))
        order = torch.randperm(len(self._data.train.x), generator=generator)
        return order[: self._examples].to(self._data.train.x.device)

    def take(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """Inputs and targets of these row numbers, or of all rows, as a network takes them."""
        x, y = self._data.train.x, self._data.train.y
        if rows is not None:  # index_select copies whole rows, indexing copies value by value
            rows = rows.to(x.device)
            x, y = x.index_select(0, rows), y.index_select(0, rows)
        return self._data.examples(x, y, self._dtype)
