"""Training examples that are changed at random, on the device and a block of batches at a time.

What is drawn depends on the seed, the epoch and the position of an example in it. So every rank
draws for the whole batch and changes its own share, and a run that is taken up in the middle of an
epoch goes on with the same examples. Each augmentation has its own stream of random numbers: one
that is added leaves the others as they are.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from optlab.catalogue import augmentations
from optlab.errors import UserError
from optlab.training.batches import Batch, Batches, derived_seed
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings
from optlab.training.world import ALONE, World


def batches(settings: Settings, data: Dataset, seed: int, world: World = ALONE) -> Batches:
    """The batches of a replicate, as its settings want them."""
    kind = Batches if settings.augment == augmentations.NONE else AugmentedBatches
    return kind(settings, data, seed, world)


class AugmentedBatches(Batches):
    """Batches whose examples are changed.

    Raises:
        UserError: examples like these cannot be changed so; and as `Batches`.
    """

    def __init__(self, settings: Settings, data: Dataset, seed: int, world: World = ALONE):
        super().__init__(settings, data, seed, world)
        self._kinds = augmentations.parse(settings.augment)
        if reason := augmentations.refuses(settings.augment, data.shape, data.task):
            raise UserError(f"augment: {data.name}: {reason}")

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number ``skip`` on; the last one may be smaller."""
        examples = self._data.train.x
        rows = self.order(epoch)
        if self.is_full:
            rows = torch.arange(len(examples), device=examples.device)
        drawn = self.draw(epoch, len(rows))
        places = torch.arange(len(rows))
        for block in places[skip * self.size :].split(self.block_size):
            whole = block.split(self.size)
            shares = [self._world.share(batch) for batch in whole]
            x, y = self._made(rows, torch.cat(shares), drawn)
            parts = [len(share) for share in shares]
            made = zip(x.split(parts), y.split(parts), strict=True)
            if self._world.size == 1:
                yield from made
            else:
                yield from ((*pair, len(batch)) for pair, batch in zip(made, whole, strict=True))

    def draw(self, epoch: int, examples: int) -> dict[str, Any]:
        """What is drawn for each place of an epoch, by augmentation."""
        drawn: dict[str, Any] = {}
        height, width = self._data.shape[-2:] if len(self._data.shape) > 1 else (1, 1)
        for kind, number in self._kinds.items():
            seed = derived_seed("augment", kind, self._seed, epoch)
            generator = torch.Generator().manual_seed(seed)
            if kind == "flip":
                drawn[kind] = torch.rand(examples, generator=generator) < 0.5
            elif kind == "crop":
                drawn[kind] = torch.randint(2 * number + 1, (examples, 2), generator=generator)
            elif kind == "cutout":
                sides = (height, width)
                where = [torch.randint(n, (examples,), generator=generator) for n in sides]
                drawn[kind] = torch.stack(where, 1)
            else:
                drawn[kind] = self._pairs(examples, number, seed, generator)
        return drawn

    def _pairs(
        self, examples: int, alpha: float, seed: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """For each place the one that it is mixed with, of the same batch, and its own weight."""
        python, others, weights = random.Random(seed), [], []
        for batch in torch.arange(examples).split(self.size):
            others.append(batch[torch.randperm(len(batch), generator=generator)])
            weights.append(torch.full((len(batch),), python.betavariate(alpha, alpha)))
        return torch.cat(others), torch.cat(weights)

    def _made(self, rows: Tensor, places: Tensor, drawn: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Inputs and targets of these places of an epoch."""
        x, y = self._changed(rows, places, drawn)
        if "mixup" not in drawn:
            return x, y
        others, weights = drawn["mixup"]
        other_x, other_y = self._changed(rows, others[places], drawn)
        weight = weights[places].to(x)
        own = weight.view(-1, *[1] * (x.dim() - 1))
        classes = int(self._data.classes or 0)
        first, second = (functional.one_hot(one, classes).to(x.dtype) for one in (y, other_y))
        share = weight[:, None]
        return own * x + (1 - own) * other_x, share * first + (1 - share) * second

    def _changed(
        self, rows: Tensor, places: Tensor, drawn: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """The examples of these places, each changed by itself."""
        x, y = self.take(rows[places.to(rows.device)])
        for kind, change in _CHANGES.items():
            if kind in drawn:
                x = change(x, drawn[kind][places].to(x.device), self._kinds[kind])
        return x, y


def flip(x: Tensor, mirrored: Tensor, _: Any = None) -> Tensor:
    """Images [N, C, H, W], some of them ``mirrored`` [N] left to right."""
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)


def crop(x: Tensor, offsets: Tensor, margin: int) -> Tensor:
    """The windows at these ``offsets`` [N, 2] of images with a margin of zeros."""
    count, channels, height, width = x.shape
    padded = functional.pad(x, (margin,) * 4)
    down = offsets[:, :1] + torch.arange(height, device=x.device)
    right = offsets[:, 1:] + torch.arange(width, device=x.device)
    image = torch.arange(count, device=x.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=x.device).view(1, -1, 1, 1)
    return padded[image, channel, down[:, None, :, None], right[:, None, None, :]]


def cutout(x: Tensor, centres: Tensor, side: int) -> Tensor:
    """Images with zeros in a square around ``centres`` [N, 2], as far as it is in the image."""

    def covered(centre: Tensor, length: int) -> Tensor:
        first = centre[:, None] - side // 2
        places = torch.arange(length, device=x.device)
        return (places >= first) & (places < first + side)

    rows, columns = covered(centres[:, 0], x.shape[2]), covered(centres[:, 1], x.shape[3])
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


_CHANGES: dict[str, Callable[[Tensor, Tensor, Any], Tensor]] = {
    "flip": flip,
    "crop": crop,
    "cutout": cutout,
}
