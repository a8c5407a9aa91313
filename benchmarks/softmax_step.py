"""One epoch of softmax regression on images of MNIST's size, batch 100, one thread.

The trainer beside the least that any trainer must do (gather a batch, one matrix product forward,
one backward) and beside the usual DataLoader loop with `transforms.ToTensor`.
"""

import torch
from PIL import Image
from timing import interleaved, show

from optlab.data.archives import torchvision
from optlab.study.carried import carried
from optlab.training import loop
from optlab.training.datasets import Dataset, Split
from optlab.training.settings import Settings

EXAMPLES, BATCH = 50_000, 100


def images() -> Dataset:
    """Random images of the size of MNIST's: the time does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (EXAMPLES, 1, 28, 28), dtype=torch.uint8, generator=generator)
    y = torch.randint(0, 10, (EXAMPLES,), generator=generator)
    few = Split(x[:BATCH], y[:BATCH])
    return Dataset(
        name="images",
        label="images",
        task="classification",
        classes=10,
        shape=(1, 28, 28),
        scale=1 / 255,
        train=Split(x, y),
        validation=few,
        test=few,
    )


def trainer(data: Dataset, optimizer: str) -> float:
    settings = Settings(
        **carried("softmax", optimizer, {"lr": 0.001}),
        batch_size=BATCH,
        epochs=1,
        train_loss_examples=BATCH,
    )
    (outcome,) = loop.train(settings, data, [0])
    return outcome.seconds


def bound(x: torch.Tensor) -> None:
    w, z = torch.zeros(10, 784), torch.randn(BATCH, 10)
    order = torch.randperm(EXAMPLES)
    for start in range(0, EXAMPLES, BATCH):
        rows = x[order[start : start + BATCH]]
        rows @ w.T
        z.T @ rows


class Pictures(torch.utils.data.Dataset):
    """The images one by one through `transforms.ToTensor`, as torchvision's MNIST does it."""

    def __init__(self, data: Dataset):
        self.images, self.labels = data.train.x[:, 0], data.train.y
        self.transform = torchvision().transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.images[number].numpy(), mode="L")
        return self.transform(picture), int(self.labels[number])


def usual_loop(data: Dataset) -> None:
    loader = torch.utils.data.DataLoader(Pictures(data), batch_size=BATCH, shuffle=True)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    for x, y in loader:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def main(rounds: int = 15) -> None:
    torch.set_num_threads(1)
    data = images()
    x = data.inputs(data.train.x).flatten(1)
    seconds = interleaved(
        {
            "trainer, gd": lambda: trainer(data, "sgd"),
            "trainer, adam": lambda: trainer(data, "adam"),
            "gather and two products": lambda: bound(x),
            "DataLoader loop, gd": lambda: usual_loop(data),
        },
        rounds,
    )
    show(
        seconds,
        ("trainer, gd", "gather and two products"),
        ("trainer, adam", "gather and two products"),
        ("trainer, gd", "DataLoader loop, gd"),
    )


if __name__ == "__main__":
    main()
