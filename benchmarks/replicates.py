"""Replicates of a run trained at once, stacked in one step, beside one replicate alone.

On a GPU where there is one, else on one thread of the CPU. The ratio is that of training clocks;
training the replicates one after the other would make it their number.
"""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from softmax_step import images
from timing import interleaved, show

from optlab.catalogue.datasets import built_in
from optlab.data import prepare
from optlab.machine import devices
from optlab.study.carried import carried
from optlab.training import loop
from optlab.training.datasets import Dataset, Split, load
from optlab.training.settings import Settings

DEVICE = devices.resolve("auto")


def digits() -> Dataset:
    """scikit-learn's 8x8 digits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "digits.json")
        prepare.prepare("digits", built_in("digits"), path, None)
        return load(path)


def first(data: Dataset, examples: int) -> Dataset:
    """The first training examples on the device, and no others to be evaluated on."""
    train = Split(data.train.x[:examples].to(DEVICE), data.train.y[:examples].to(DEVICE))
    return replace(data, train=train, validation=None, test=None)


def clock(network: str, batch_size: int, epochs: int, data: Dataset, replicates: int) -> float:
    """Seconds of the training clock of this many replicates at once."""
    settings = Settings(
        **carried(network, "adam", {"lr": 0.001}),
        batch_size=batch_size,
        epochs=epochs,
        device=DEVICE,
        train_loss_examples=100,
    )
    outcomes = loop.train(settings, data, range(replicates))
    return sum(outcome.seconds for outcome in outcomes)


def main(rounds: int = 5) -> None:
    torch.set_num_threads(1)
    small, large = first(digits(), 1000), first(images(), 5_000 if DEVICE == "cpu" else 50_000)
    few = first(images(), 500 if DEVICE == "cpu" else 50_000)
    for network, batch_size, epochs, data, replicates in (
        ("softmax", 100, 5, small, 10),
        ("mlp", 100, 5, small, 10),
        ("softmax", 100, 1, large, 10),
        ("cnn", 50, 1, few, 5),
    ):
        run = partial(clock, network, batch_size, epochs, data)
        one = f"one {network} on {data.shape[-1]}x{data.shape[-1]} images"
        together = f"{replicates} at once"
        seconds = interleaved({one: partial(run, 1), together: partial(run, replicates)}, rounds)
        show(seconds, (together, one))


if __name__ == "__main__":
    main()
