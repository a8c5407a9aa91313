"""The network gpt on the embedded text beside a plain PyTorch loop, after minutes of one core.

Each has the same time of one core, by the processor's clock, in turns of a few seconds. The loop is
what a tutorial would write: a transformer of its own and AdamW. It begins with the same weights and
takes the windows in the same order, since another order alone makes some per cent of difference
after a minute. Both are judged on the test set, the last tenth of the text, by one function.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from optlab.catalogue.datasets import built_in
from optlab.data import prepare
from optlab.study.carried import carried
from optlab.training import datasets, loop, networks
from optlab.training.batches import Batches
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings

LAYERS, HEADS, UNITS = 2, 4, 64
RATE, BATCH = 3e-3, 32
TURN = 5.0  # seconds
SETTINGS = Settings(
    **carried(
        *("gpt", "adamw", {"lr": RATE, "weight_decay": 0.01}),
        {"layers": LAYERS, "heads": HEADS, "units": UNITS},
    ),
    batch_size=BATCH,
    epochs=10_000,
)


def text() -> Dataset:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "python_docs.json")
        prepare.prepare("python_docs", built_in("python_docs"), path, None)
        return datasets.load(path)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln1, self.qkv = nn.LayerNorm(UNITS), nn.Linear(UNITS, 3 * UNITS)
        self.proj, self.ln2 = nn.Linear(UNITS, UNITS), nn.LayerNorm(UNITS)
        self.up, self.down = nn.Linear(UNITS, 4 * UNITS), nn.Linear(4 * UNITS, UNITS)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            part.view(batch, length, HEADS, -1).transpose(1, 2)
            for part in self.qkv(self.ln1(x)).split(UNITS, dim=2)
        )
        h = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(h.transpose(1, 2).reshape(batch, length, UNITS))
        return x + self.down(functional.gelu(self.up(self.ln2(x)), approximate="tanh"))


class Plain(nn.Module):
    def __init__(self, classes: int, length: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(classes, UNITS), nn.Embedding(length, UNITS)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln, self.head = nn.LayerNorm(UNITS), nn.Linear(UNITS, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.wte(x) + self.wpe(torch.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return self.head(self.ln(h))


def plain(data: Dataset, seed: int) -> tuple[nn.Module, Iterator[None]]:
    """The network of a plain loop, and the loop, a step at a time."""
    model = Plain(data.classes or 0, data.shape[0])
    weights = networks.build(SETTINGS, data, seed).state_dict().values()  # layers in the same order
    model.load_state_dict(dict(zip(model.state_dict(), weights, strict=True)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    orders = Batches(SETTINGS, data, seed)

    def steps() -> Iterator[None]:
        for epoch in count(1):
            for rows in orders.order(epoch).split(BATCH):
                x, y = data.train.x[rows].long(), data.train.y[rows].long()
                loss = functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                yield

    return model, steps()


def ours(data: Dataset, seed: int) -> tuple[nn.Module, Iterator[None]]:
    """The same of the laboratory: the steps of a trainer."""
    trainer = loop.Trainer(SETTINGS, data, [seed])

    def steps() -> Iterator[None]:
        for epoch in count(1):
            for batch in trainer.batches.epoch(epoch):
                trainer.take(batch)
                yield
            trainer.losses.clear()  # as an evaluation does

    return trainer.replicates[0].model, steps()


@torch.no_grad()
def bits(model: nn.Module, data: Dataset) -> float:
    """Bits per character of the test set."""
    assert data.test is not None
    total = 0.0
    for x, y in zip(data.test.x.split(32), data.test.y.split(32), strict=True):
        logits = model.eval()(x.long()).flatten(0, 1)
        total += functional.cross_entropy(logits, y.long().flatten(), reduction="sum").item()
    model.train()
    return total / data.test.y.numel() / math.log(2)


def spend(steps: Iterator[None], seconds: float) -> tuple[int, float]:
    """Take steps for this time of a core; how many they were, and the time."""
    start, taken = time.thread_time(), 0
    while time.thread_time() - start < seconds:
        next(steps)
        taken += 1
    return taken, time.thread_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="of a core for each (3)")
    seconds = 60 * parser.parse_args().minutes
    torch.set_num_threads(1)
    data = text()
    makers = {"trainer": ours, "plain PyTorch loop": plain}
    candidates = {name: make(data, 0) for name, make in makers.items()}
    taken = dict.fromkeys(candidates, 0)
    spent = dict.fromkeys(candidates, 0.0)
    while min(spent.values()) < seconds:
        for name, (_, steps) in candidates.items():
            number, time_taken = spend(steps, min(TURN, seconds - spent[name]))
            taken[name] += number
            spent[name] += time_taken
    found = {name: bits(model, data) for name, (model, _) in candidates.items()}
    characters = BATCH * data.shape[0]
    for name, value in found.items():
        rate = characters * taken[name] / spent[name]
        print(f"  {name:<42} {value:.3f} bits per character, {taken[name]} steps, {rate:,.0f} a s")
    trainer, other = makers
    print(f"  bits, {trainer} / {other}: {found[trainer] / found[other]:.3f}")
    speed = taken[trainer] / spent[trainer] / (taken[other] / spent[other])
    print(f"  steps a second, {trainer} / {other}: {speed:.2f}")


if __name__ == "__main__":
    main()
