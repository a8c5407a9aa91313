"""How a step is made: faster than PyTorch's plain way, with the very same digits."""

import pytest
import torch
from torch.nn import functional

from optlab.catalogue import networks as models
from optlab.catalogue import optimizers, schedules
from optlab.training import stepping
from optlab.training.datasets import Dataset, Split

SHAPE = (1, 8, 8)


def batch():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((20, *SHAPE), generator=generator)
    return x, torch.randint(0, 10, (20,), generator=generator)


def network(name="mlp"):
    torch.manual_seed(0)
    return models.build(name, SHAPE, 10, {"hidden": [8]} if name == "mlp" else {})


def step_of(model, optimizer, schedule=None):
    few = Split(*batch())
    data = Dataset("few", "few", "classification", 10, SHAPE, 1.0, few, None, None)
    return stepping.make_step(
        stepping.make_gradient(model, data), list(model.parameters()), optimizer, schedule
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
@pytest.mark.parametrize("name", [name for name in optimizers.OPTIMIZERS if name != "lbfgs"])
def test_a_step_gives_the_digits_of_pytorchs_plain_way(name, schedule):
    knobs = optimizers.complete(name, {})
    ours, theirs = network(), network()
    first, second = (optimizers.build(name, m.parameters(), knobs) for m in (ours, theirs))
    rates, same = (schedules.build(schedule, o, 6, knobs["lr"]) for o in (first, second))
    step = step_of(ours, first, rates)
    losses = [float(step(*batch())) for _ in range(6)]
    assert losses == plain(theirs, second, same, 6)
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert losses[-1] != losses[0]


def test_a_step_leaves_no_gradient_and_a_loss_without_a_graph():
    model = network()
    optimizer = optimizers.build("sgd", model.parameters(), {"lr": 0.1})
    step = step_of(model, optimizer)
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
    optimizer = optimizers.build("sgd", model.parameters(), {"lr": 0.1})
    seen = []
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.shape))
    step = step_of(model, optimizer)
    step(*batch())
    assert sorted(seen) == sorted(p.shape for p in model.parameters())
