"""The training examples in the order of one seed, in batches, and the share of one process."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from optlab.errors import UserError
from optlab.training import precision
from optlab.training.datasets import Dataset
from optlab.training.world import ALONE, World

if TYPE_CHECKING:
    from optlab.training.settings import Settings

# Input values gathered at once: few enough to stay in a processor's cache; many for a GPU, where
# starting a gather is what takes time.
BLOCK = {"cpu": 2**18, "cuda": 2**24}

# Inputs and targets; where there are several processes, also the examples of all of them together.
Batch = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, int]


def derived_seed(*words: object) -> int:
    """A seed of its own for each purpose, from the words that name it."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=7).digest()
    return int.from_bytes(digest)


class Batches:
    """The batches of one process, gathered a block of batches at a time.

    All processes draw the same order; each takes its share of every batch, so that a run has the
    same batches with any number of processes. A share may be empty where a last batch is small.

    Attributes:
        is_full: whether each step takes all examples.
        size: examples of a batch, over all processes.
        per_epoch: batches of an epoch.
        block_size: examples that are gathered at once.
    """

    def __init__(self, settings: Settings, data: Dataset, seed: int, world: World = ALONE):
        examples = len(data.train.x)
        self.is_full = settings.batch_size == "full"
        if not self.is_full and int(settings.batch_size) > examples:
            raise UserError(
                f"a batch of {settings.batch_size} is more than the {examples} training examples "
                f"of {data.name}; use at most {examples}, or full"
            )
        if (settings.epoch_examples or 0) > examples:
            raise UserError(
                f"an epoch of {settings.epoch_examples} examples is more than the {examples} "
                f"training examples of {data.name}"
            )
        self.size = examples if self.is_full else int(settings.batch_size)
        self._examples = settings.epoch_examples
        self.per_epoch = 1 if self.is_full else -(-(self._examples or examples) // self.size)
        self._data, self._seed, self._world = data, seed, world
        self._dtype = precision.WEIGHTS[settings.precision]
        values = math.prod(data.shape)
        at_once = BLOCK[data.train.x.device.type] // (self.size * values)
        self.block_size = self.size * max(1, at_once)

    @cached_property
    def whole(self) -> Batch:
        """All examples in their own order, made once: the same tensors at every step."""
        if self._world.size == 1:
            return self.take(None)
        return next(self.gather(torch.arange(len(self._data.train.x))))

    def prepare(self) -> None:
        """Make now what is made only once, so that no clock sees it."""
        if self.is_full:
            _ = self.whole

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from batch ``skip`` on, a new order each epoch.

        The last batch may be smaller.
        """
        if self.is_full:
            yield self.whole
            return
        for rows in self.order(epoch)[skip * self.size :].split(self.block_size):
            yield from self.gather(rows)

    def block(self, epoch: int) -> Tensor:
        """The rows that are gathered at once at the beginning of an epoch."""
        return self.order(epoch)[: 0 if self.is_full else self.block_size]

    def gather(self, rows: Tensor) -> Iterator[Batch]:
        """The batches of a block of rows, gathered at once."""
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
        """The training examples of an epoch, by row number: a permutation, or its beginning."""
        generator = torch.Generator().manual_seed(derived_seed("order", self._seed, epoch))
        order = torch.randperm(len(self._data.train.x), generator=generator)
        return order[: self._examples].to(self._data.train.x.device)

    def take(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """Inputs and targets of these rows as a network takes them; None is all rows."""
        x, y = self._data.train.x, self._data.train.y
        if rows is not None:  # copies whole rows, where indexing would go value by value
            rows = rows.to(x.device)
            x, y = x.index_select(0, rows), y.index_select(0, rows)
        x = self._data.inputs(x).to(self._dtype)
        return x, y.to(self._dtype) if y.is_floating_point() else y
