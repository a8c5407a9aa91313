"""Exercise 3's training step beside the bare products that it contains.

On a GPU where there is one, else on one thread of the CPU. The bound is the network's convolutions
and matrix products, forward and backward, called one by one on tensors of the right shapes: no
autograd, no activation, no pooling, no dropout, no optimizer. A plain PyTorch loop over batches
that are ready stands beside both.
"""

import torch
from timing import Measured, interleaved, show
from torch.nn.grad import conv2d_input, conv2d_weight

from optlab.machine import devices
from optlab.parts.networks import cnn
from optlab.study.carried import carried
from optlab.training import loop
from optlab.training.datasets import Dataset, Split
from optlab.training.settings import Settings

DEVICE = devices.resolve("auto")
BATCH, STEPS = 50, 20 if DEVICE == "cpu" else 1000  # a whole epoch on a GPU


def images() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH * STEPS, 1, 28, 28)
    x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    y = torch.randint(0, 10, shape[:1], generator=generator)
    train = Split(x.to(DEVICE), y.to(DEVICE))
    few = Split(train.x[:BATCH], train.y[:BATCH])
    return Dataset("images", "images", "classification", 10, (1, 28, 28), 1 / 255, train,
                   few, few)  # fmt: skip


def trainer(data: Dataset, precision: str = "float32") -> float:
    settings = Settings(
        **carried("cnn", "adam", {"lr": 1e-4}),
        batch_size=BATCH,
        epochs=1,
        precision=precision,
        device=DEVICE,
        train_loss_examples=BATCH,
    )
    (outcome,) = loop.train(settings, data, [0])
    return outcome.seconds


def plain_loop(data: Dataset) -> float:
    model = cnn.build(data.shape, 10, channels=[32, 64], units=1024, dropout=0.5).to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    batches = [
        (data.inputs(x), y)
        for x, y in zip(data.train.x.split(BATCH), data.train.y.split(BATCH), strict=True)
    ]
    clock = loop.Clock(torch.device(DEVICE))
    with clock:
        for x, y in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return clock.seconds


def products() -> float:
    """The convolutions and products of a step; the first layer needs no gradient of its input."""
    with torch.device(DEVICE):
        x1, w1 = torch.randn(BATCH, 1, 28, 28), torch.randn(32, 1, 5, 5)
        x2, w2 = torch.randn(BATCH, 32, 14, 14), torch.randn(64, 32, 5, 5)
        g1, g2 = torch.randn(BATCH, 32, 28, 28), torch.randn(BATCH, 64, 14, 14)
        x3, w3, g3 = torch.randn(BATCH, 3136), torch.randn(1024, 3136), torch.randn(BATCH, 1024)
        x4, w4, g4 = torch.randn(BATCH, 1024), torch.randn(10, 1024), torch.randn(BATCH, 10)
    clock = loop.Clock(torch.device(DEVICE))
    with clock:
        for _ in range(STEPS):
            torch.conv2d(x1, w1, padding=2)
            torch.conv2d(x2, w2, padding=2)
            x3 @ w3.T, x4 @ w4.T
            g4.T @ x4, g4 @ w4
            g3.T @ x3, g3 @ w3
            conv2d_weight(x2, w2.shape, g2, padding=2)
            conv2d_input(x2.shape, w2, g2, padding=2)
            conv2d_weight(x1, w1.shape, g1, padding=2)
    return clock.seconds


PAIRS = (
    ("trainer", "plain PyTorch loop"),
    ("bare convolutions and products", "trainer"),
    ("trainer, bfloat16", "trainer"),
)


def measured(rounds: int) -> Measured:
    """Seconds of each candidate."""
    torch.set_num_threads(1)
    data = images()
    return interleaved(
        {
            "trainer": lambda: trainer(data),
            "trainer, bfloat16": lambda: trainer(data, "bfloat16"),
            "plain PyTorch loop": lambda: plain_loop(data),
            "bare convolutions and products": products,
        },
        rounds,
    )


def main(rounds: int = 9) -> None:
    show(measured(rounds), *PAIRS)


if __name__ == "__main__":
    main()
