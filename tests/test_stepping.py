"""How a step is made: faster than PyTorch's plain way, with the very same digits."""

import pytest
import torch
from handmade import settings
from torch.nn import functional

from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.training import losses, networks, optimizers, stepping
from optlab.training.datasets import Dataset, Split

SHAPE = (1, 8, 8)


def batch():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((20, *SHAPE), generator=generator)
    return x, torch.randint(0, 10, (20,), generator=generator)


DATA = Dataset("few", "few", "classification", 10, SHAPE, 1.0, Split(*batch()), None, None)


def run_of(optimizer="sgd", schedule="constant"):
    return settings("mlp", optimizer, {}, {"hidden": [8]}, schedule)


def network():
    return networks.build(run_of(), DATA, 0)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, fused=True)


def step_of(model, optimizer, schedule=None):
    return stepping.make_step(
        stepping.make_gradient(model, losses.of(run_of(), DATA)),
        list(model.parameters()),
        optimizer,
        schedule,
    )


def plain(model, optimizer, schedule, steps):
    """The loss of each step, as the manual of PyTorch writes a step."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        x, y = batch()
        loss = functional.cross_entropy(model(x), y)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        if schedule:
            schedule.step()
    return losses


@pytest.mark.filterwarnings("error")  # a schedule warns where it sees no step of the optimizer
@pytest.mark.parametrize("schedule", ["constant", "warmup_cosine"])
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "lbfgs"])
def test_a_step_gives_the_digits_of_pytorchs_plain_way(name, schedule):
    run = run_of(name, schedule)
    ours, theirs = network(), network()
    first, second = (
        optimizers.build(run, optimizers.Context.of(m.parameters())) for m in (ours, theirs)
    )
    rates, same = (optimizers.build_scheduler(run, o, 6) for o in (first, second))
    step = step_of(ours, first, rates)
    losses = [float(step(*batch())) for _ in range(6)]
    assert losses == plain(theirs, second, same, 6)
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert losses[-1] != losses[0]


def test_a_step_leaves_no_gradient_and_a_loss_without_a_graph():
    model = network()
    step = step_of(model, sgd(model))
    loss = step(*batch())
    assert not loss.requires_grad and loss.shape == ()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_hooks_of_an_optimizer_of_ones_own_are_called():
    class Own(torch.optim.SGD):
        """An optimizer whose step is more than the method."""

    model = network()
    optimizer = Own(model.parameters(), lr=0.1)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    step = step_of(model, optimizer)
    step(*batch())
    assert calls == [1]


def test_hooks_on_gradients_are_called():
    model = network()
    optimizer = sgd(model)
    seen = []
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.shape))
    step = step_of(model, optimizer)
    step(*batch())
    assert sorted(seen) == sorted(p.shape for p in model.parameters())
