"""CUDA graphs: what surrounds the recording, on a CPU; the recording itself is in `test_cuda`."""

import pytest
import torch
from handmade import settings
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optlab.catalogue.networks import NETWORKS
from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.training import graphs, loop, losses, networks, optimizers, stacking, stepping
from optlab.training.datasets import Dataset, Split
from optlab.training.world import ALONE, World

SHAPE = (1, 4, 4)
CAPTURABLE = [name for name, entry in OPTIMIZERS.items() if entry.capturable]


class Repeater:
    """In the place of CUDA's recorder: does the work again where CUDA would replay it.

    As a graph does, it goes on with the learning rates that the groups had when it recorded.
    """

    def __init__(self, error=None):
        self.warm_ups = self.records = self.replays = 0
        self.error = error
        self.optimizer = None
        self.types = []  # of the learning rate, whenever it recorded

    def warm(self, work):
        self.warm_ups += 1
        return work()

    def record(self, work):
        self.records += 1
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.types += map(type, rates)
        if self.error:
            for group in self.optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = torch.full_like(parameter, 7.0)  # never computed
            raise self.error

        def replay():
            self.replays += 1
            now = [group["lr"] for group in self.optimizer.param_groups]
            self._set(rates)
            result = work()
            self._set(now)
            return result

        return replay

    def _set(self, rates):
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def step_of(name="sgd", schedule="constant", recorder=None, knobs=None):
    """A step of a small network, with a recorder or without, and its parameters."""
    run = settings("mlp", name, knobs or {}, {"hidden": [5]}, schedule)
    few = Split(*batch(1))
    data = Dataset("few", "few", "classification", 3, SHAPE, 1.0, few, None, None)
    model = networks.build(run, data, 0)
    optimizer = optimizers.build(run, optimizers.Context.of(model.parameters()))
    gradient = stepping.make_gradient(model, losses.of(run, data))
    rates = optimizers.build_scheduler(run, optimizer, 12)
    take = stepping.make_step(gradient, list(model.parameters()), optimizer)
    if recorder:
        recorder.optimizer = optimizer
        take = graphs.Graphed(take, optimizer, varying=rates is not None, recorder=recorder)
    return take if rates is None else stepping._scheduled(take, rates), list(model.parameters())


def batch(number, size=8):
    generator = torch.Generator().manual_seed(number)
    x = torch.rand((size, *SHAPE), generator=generator)
    return x, torch.randint(0, 3, (size,), generator=generator)


SIZES = [8, 8, 8, 8, 5, 8, 8, 5, 8, 8]  # two epochs and a half, the last batch of each smaller


def test_what_is_recorded_gives_the_same_steps_and_small_batches_are_taken_without_it():
    recorder = Repeater()
    ours, weights = step_of("adam", recorder=recorder)
    theirs, expected = step_of("adam")
    for number, size in enumerate(SIZES):
        assert torch.equal(ours(*batch(number, size)), theirs(*batch(number, size)))
    assert all(map(torch.equal, weights, expected))
    assert (recorder.warm_ups, recorder.records, recorder.replays) == (3, 1, 5)


def test_a_recorded_step_reads_the_rate_of_its_schedule():
    recorder = Repeater()
    ours, weights = step_of("sgd", "cosine", recorder, {"lr": 0.5})
    theirs, expected = step_of("sgd", "cosine", None, {"lr": 0.5})
    constant, other = step_of("sgd", "constant", None, {"lr": 0.5})
    for number, size in enumerate(SIZES):
        for step in (ours, theirs, constant):
            step(*batch(number, size))
    assert recorder.replays == 5
    assert recorder.types == [Tensor]
    assert type(recorder.optimizer.param_groups[0]["lr"]) is float
    for mine, same, different in zip(weights, expected, other, strict=True):
        torch.testing.assert_close(mine, same, rtol=1e-5, atol=1e-7)
        assert not torch.allclose(mine, different, rtol=1e-3, atol=1e-5)


def test_the_full_batch_is_not_copied_and_never_written_to():
    recorder = Repeater()
    ours, weights = step_of(recorder=recorder)
    theirs, expected = step_of()
    whole, other = batch(0), batch(1)
    kept = [values.clone() for values in whole]
    for given in (*[whole] * 6, other, whole, other):
        ours(*given)
        theirs(*given)
    assert all(map(torch.equal, whole, kept))
    assert all(map(torch.equal, weights, expected))
    assert (recorder.warm_ups, recorder.records) == (3, 2)


def test_a_run_that_goes_on_at_the_last_batch_of_an_epoch_is_recorded_for_the_larger_ones():
    recorder = Repeater()
    ours, weights = step_of("adam", recorder=recorder)
    theirs, expected = step_of("adam")
    for number, size in enumerate([5, *[8] * 8]):
        ours(*batch(number, size))
        theirs(*batch(number, size))
    assert all(map(torch.equal, weights, expected))
    assert recorder.replays == 5


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_an_optimizer_restored_from_a_checkpoint_is_read_again(schedule):
    """`load_state_dict` replaces its parameter groups."""
    recorder = Repeater()
    ours, weights = step_of("adam", schedule, recorder)
    optimizer = recorder.optimizer
    optimizer.load_state_dict(optimizer.state_dict())
    theirs, expected = step_of("adam", schedule, Repeater(RuntimeError("refused")))
    for number, size in enumerate(SIZES):
        ours(*batch(number, size))
        theirs(*batch(number, size))
    assert recorder.types == [Tensor if schedule == "cosine" else float]
    assert all(map(torch.equal, weights, expected))


def test_where_recording_fails_training_goes_on_and_the_log_says_why(capsys):
    recorder = Repeater(RuntimeError("previous error during capture"))
    recorder.error.__context__ = RuntimeError("operation not permitted\nwhen capturing")
    ours, weights = step_of("sgd", recorder=recorder)
    theirs, expected = step_of("sgd")
    for number, size in enumerate(SIZES):
        assert torch.equal(ours(*batch(number, size)), theirs(*batch(number, size)))
    assert all(map(torch.equal, weights, expected))
    assert recorder.records == 1
    assert capsys.readouterr().out == (
        "no CUDA graph, steps are taken kernel by kernel: operation not permitted\n"
    )


def test_what_nobody_has_checked_is_not_recorded():
    def recordable(network, optimizer, device="cuda", world=ALONE):
        return loop.recordable(settings(network, optimizer, {}, device=device), world)

    assert recordable("cnn", "adam") and recordable("softmax", "sgd")
    assert not recordable("cnn", "muon") and not recordable("linear", "lbfgs")
    assert not recordable("my/net.py:Net", "adam") and not recordable("mlp", "my/opt.py:Sign")
    assert not recordable("cnn", "adam", "cpu")
    assert not recordable("cnn", "adam", world=World(0, 2))
    # Nor is what a scaling table compares with the steps of several processes.
    timed = settings("cnn", "adam", {}, device="cuda", timed=True)
    assert not loop.recordable(timed)


# -- what a graph could not hold: values that the processor asks for, and tensors that it has -----


class Watch(TorchDispatchMode):
    """Notes every operation that makes the processor wait for a value or works on its tensors."""

    def __init__(self):
        super().__init__()
        self.waits, self.on_cpu, self.seen = [], [], 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.seen += 1
        name = str(function)
        # Fused steps are kernels, which fake tensors do not know; they return nothing.
        result = None if "_fused_" in name else function(*arguments, **(keywords or {}))
        if any(word in name for word in ("local_scalar", "nonzero", "is_nonzero", "equal.default")):
            self.waits.append(name)
        tensors = [v for v in tree_leaves((arguments, keywords, result)) if isinstance(v, Tensor)]
        if any(tensor.device.type == "cpu" for tensor in tensors):
            self.on_cpu.append(name)
        return result


def step_on_fake_gpu(name):
    """The fourth step of an optimizer on tensors without values, which claim to be on a GPU."""
    knobs = {"momentum": 0.9} if name == "nesterov" else {}
    with FakeTensorMode():
        weights = [nn.Parameter(torch.empty(s, device="cuda")) for s in ((3, 4), (3,), (2, 3, 4))]
        optimizer = optimizers.build(
            settings("mlp", name, knobs), optimizers.Context.of(weights), capturable=True
        )
        for group in optimizer.param_groups:
            if not group.get("fused"):
                group["foreach"] = True  # what PyTorch chooses on a real one
        update = stepping.update_of(optimizer)

        def step():
            for weight in weights:
                weight.grad = torch.empty_like(weight)
            update()

        with Watch():
            for _ in range(graphs.WARM_UP):
                step()
        for group in optimizer.param_groups:
            group["lr"] = torch.empty((), device="cuda")
        with Watch() as watch:
            step()
    return watch


@pytest.mark.parametrize("name", [name for name in CAPTURABLE if name != "rprop"])
def test_a_capturable_step_waits_for_nothing_and_leaves_nothing_on_the_processor(name):
    """Rprop aside: its copy between tensors is one thing that needs a GPU even to be pretended."""
    watch = step_on_fake_gpu(name)
    assert watch.seen > 5 and not watch.waits and not watch.on_cpu


def test_a_step_that_is_not_capturable_is_noticed():
    with pytest.raises(DataDependentOutputException):
        step_on_fake_gpu("adafactor")


@pytest.mark.parametrize(
    ("network", "count"),
    [(name, count) for name, net in NETWORKS.items() for count in (1, 3)[: 1 + net.stackable]],
)
def test_gradients_wait_for_nothing(network, count):
    shape, task = (1, 8, 8), "classification"
    x, y = torch.rand((20, *shape)), torch.zeros(20, dtype=torch.int64)
    if NETWORKS[network].text:
        shape, task = (6,), "next_token"
        x = y = torch.randint(0, 10, (20, *shape))
    data = Dataset("few", "few", task, 10, shape, 1.0, Split(x, y), None, None)
    models = [networks.build(settings(network, "sgd", {}), data, seed) for seed in range(count)]
    loss = losses.of(settings(network, "sgd", {}), data)
    if count == 1:
        gradient = stepping.make_gradient(models[0], loss)
    else:
        gradient = stacking.make_gradient(stacking.stack(models), models[0], loss)
        x, y = x.expand(count, *x.shape), y.expand(count, *y.shape)
    with Watch() as watch:
        gradient(x, y)
    assert watch.seen > 5 and not watch.waits
