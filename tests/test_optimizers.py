"""Every optimizer entry against a formula of its own in NumPy, and what its knobs refuse."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import settings, train_one

from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.data import prepare
from optlab.errors import UserError
from optlab.parts.optimizers import muon
from optlab.study import names, reading, table
from optlab.training import datasets, optimizers, protocol

# A quadratic with a different curvature in each direction, and gradients that change sign.
CURVATURE = np.array([[3.0, 0.5, 0.0], [0.5, 2.0, -0.3], [0.0, -0.3, 0.7]])
START = np.array([1.0, -2.0, 0.5])


def gradient(w):
    return CURVATURE @ w - np.array([0.1, -0.4, 0.2])


def sgd(w, lr, weight_decay):
    while True:
        w = w - lr * (gradient(w) + weight_decay * w)
        yield w


def momentum(w, lr, momentum, weight_decay, dampening, nesterov=False):
    v = None
    while True:
        g = gradient(w) + weight_decay * w
        v = g if v is None else momentum * v + (1 - dampening) * g
        w = w - lr * (g + momentum * v if nesterov else v)
        yield w


def nesterov(w, lr, momentum_, weight_decay):
    yield from momentum(w, lr, momentum_, weight_decay, 0.0, nesterov=True)


def adagrad(w, lr, lr_decay, weight_decay, initial, eps):
    s, t = np.full_like(w, initial), 0
    while True:
        g = gradient(w) + weight_decay * w
        s = s + g**2
        w = w - lr / (1 + t * lr_decay) * g / (np.sqrt(s) + eps)
        t += 1
        yield w


def rmsprop(w, lr, alpha, eps, weight_decay, momentum, centered):
    s, mean, v = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    while True:
        g = gradient(w) + weight_decay * w
        s = alpha * s + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        step = g / (np.sqrt(s - mean**2 if centered else s) + eps)
        v = momentum * v + step
        w = w - lr * v
        yield w


def adam(w, lr, betas, eps, weight_decay, amsgrad, decoupled=False):
    m, s, largest, t = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w), 0
    while True:
        t += 1
        g = gradient(w)
        if decoupled:
            w = w - lr * weight_decay * w
        else:
            g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        s = betas[1] * s + (1 - betas[1]) * g**2
        largest = np.maximum(largest, s)
        second = (largest if amsgrad else s) / (1 - betas[1] ** t)
        w = w - lr * m / (1 - betas[0] ** t) / (np.sqrt(second) + eps)
        yield w


def adamw(w, lr, betas, eps, weight_decay, amsgrad):
    yield from adam(w, lr, betas, eps, weight_decay, amsgrad, decoupled=True)


def nadam(w, lr, betas, eps, weight_decay, momentum_decay):
    m, s, t, product = np.zeros_like(w), np.zeros_like(w), 0, 1.0
    while True:
        t += 1
        g = gradient(w) + weight_decay * w
        now = betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))
        then = betas[0] * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product *= now
        m = betas[0] * m + (1 - betas[0]) * g
        s = betas[1] * s + (1 - betas[1]) * g**2
        ahead = then * m / (1 - product * then) + (1 - now) * g / (1 - product)
        w = w - lr * ahead / (np.sqrt(s / (1 - betas[1] ** t)) + eps)
        yield w


def radam(w, lr, betas, eps, weight_decay):
    m, s, t = np.zeros_like(w), np.zeros_like(w), 0
    limit = 2 / (1 - betas[1]) - 1
    while True:
        t += 1
        g = gradient(w) + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        s = betas[1] * s + (1 - betas[1]) * g**2
        first = m / (1 - betas[0] ** t)
        rho = limit - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        if rho > 5:
            tract = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
            second = np.sqrt(1 - betas[1] ** t) / (np.sqrt(s) + eps)
            first = first * np.sqrt(tract) * second
        w = w - lr * first
        yield w


def adamax(w, lr, betas, eps, weight_decay):
    m, u, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        t += 1
        g = gradient(w) + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, np.abs(g) + eps)
        w = w - lr / (1 - betas[0] ** t) * m / u
        yield w


def rprop(w, lr, etas, step_sizes, weight_decay):
    before, size = np.zeros_like(w), np.full_like(w, lr)
    while True:
        g = gradient(w) + weight_decay * w
        agree = np.sign(g * before)
        factor = np.where(agree > 0, etas[1], np.where(agree < 0, etas[0], 1.0))
        size = np.clip(size * factor, *step_sizes)
        g = np.where(agree < 0, 0.0, g)
        w = w - np.sign(g) * size
        before = g
        yield w


def adadelta(w, lr, rho, eps, weight_decay):
    s, u = np.zeros_like(w), np.zeros_like(w)
    while True:
        g = gradient(w) + weight_decay * w
        s = rho * s + (1 - rho) * g**2
        step = np.sqrt(u + eps) / np.sqrt(s + eps) * g
        u = rho * u + (1 - rho) * step**2
        w = w - lr * step
        yield w


def adafactor(w, lr, beta2_decay, d, weight_decay):
    """Shazeer and Stern 2018, in PyTorch's variant: means for sums, eps_1 at the end only."""
    first, second = np.finfo(w.dtype).eps, 1e-3
    rows, columns, v, t = 0.0, 0.0, np.zeros_like(w), 0
    while True:
        t += 1
        g = gradient(w)
        beta = 1 - t**beta2_decay
        size = max(second, np.sqrt((w**2).mean())) * min(lr, 1 / np.sqrt(t))
        w = w - lr * weight_decay * w
        if w.ndim > 1:
            rows = beta * rows + (1 - beta) * (g**2).mean(axis=1, keepdims=True)
            columns = beta * columns + (1 - beta) * (g**2).mean(axis=0, keepdims=True)
            estimate = rows * columns / max(rows.mean(), first)
        else:
            v = beta * v + (1 - beta) * g**2
            estimate = v
        step = g / np.sqrt(np.maximum(estimate, first**2))
        w = w - size * step / max(1.0, np.sqrt((step**2).mean()) / d)
        yield w


# Knobs away from their defaults, so that each of them is seen to arrive.
CASES = {
    "sgd": (sgd, {"lr": 0.1, "weight_decay": 0.03}),
    "momentum": (momentum, {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.03, "dampening": 0.1}),
    "nesterov": (nesterov, {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.03}),
    "adagrad": (
        adagrad,
        {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.03, "initial_accumulator_value": 0.2}
        | {"eps": 1e-6},
    ),
    "rmsprop": (
        rmsprop,
        {"lr": 0.1, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.03, "momentum": 0.5}
        | {"centered": True},
    ),
    "adam": (
        adam,
        {"lr": 0.1, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.03, "amsgrad": True},
    ),
    "adamw": (
        adamw,
        {"lr": 0.1, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.03, "amsgrad": False},
    ),
    "nadam": (
        nadam,
        {"lr": 0.1, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.03}
        | {"momentum_decay": 0.01},
    ),
    "radam": (radam, {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-6, "weight_decay": 0.03}),
    "adamax": (adamax, {"lr": 0.1, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.03}),
    "adadelta": (adadelta, {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.03}),
    "adafactor": (adafactor, {"lr": 0.1, "beta2_decay": -0.7, "d": 1.1, "weight_decay": 0.03}),
    "rprop": (
        rprop,
        {"lr": 0.1, "etas": [0.4, 1.3], "step_sizes": [1e-4, 0.5], "weight_decay": 0.3},
    ),
}


def build(name, parameters, knobs):
    """An optimizer of the catalogue, or one of the user's own, with the defaults filled in."""
    return optimizers.build(settings("mlp", name, knobs), optimizers.Context.of(parameters))


def test_every_entry_has_its_formula():
    elsewhere = {"muon", "lbfgs"}  # below: one needs matrices, the other a loss
    assert set(CASES) | elsewhere == set(OPTIMIZERS)


def test_no_two_entries_look_the_same():
    for facts in (
        [entry.label for entry in OPTIMIZERS.values()],
        [entry.look[0] for entry in OPTIMIZERS.values()],
        [entry.look[2] for entry in OPTIMIZERS.values()],
    ):
        assert all(facts) and len(set(facts)) == len(OPTIMIZERS)


@pytest.mark.parametrize("name", CASES)
def test_twelve_steps_equal_the_formula_in_float64(name):
    formula, knobs = CASES[name]
    assert set(knobs) == {"lr", *OPTIMIZERS[name].knobs}
    weights = torch.nn.Parameter(torch.tensor(START))
    optimizer = build(name, [weights], knobs)
    expected = formula(START, *knobs.values())
    # PyTorch keeps the product of NAdam's momenta in float32.
    tolerance = 1e-6 if name == "nadam" else 1e-12
    assert not protocol.of(type(optimizer)).closure
    for _ in range(12):
        weights.grad = torch.tensor(gradient(weights.detach().numpy()))
        optimizer.step()
        np.testing.assert_allclose(weights.detach().numpy(), next(expected), rtol=tolerance)


def test_adafactor_factors_a_matrix():
    start = np.array([START, 2 * START[::-1]])
    weights = torch.nn.Parameter(torch.tensor(start))
    knobs = {"lr": 0.1, "beta2_decay": -0.7, "d": 1.1, "weight_decay": 0.03}
    optimizer = build("adafactor", [weights], knobs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "gradient", lambda w: w @ CURVATURE - 0.1)
        expected = adafactor(start, *knobs.values())
        for _ in range(5):
            weights.grad = torch.tensor(gradient(weights.detach().numpy()))
            optimizer.step()
            np.testing.assert_allclose(weights.detach().numpy(), next(expected), rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_table_states_the_defaults_of_pytorch(name):
    entry = OPTIMIZERS[name]
    # The momentum of SGD is the field's 0.9: with PyTorch's 0 there would be none.
    given = {"lr": 0.1, "momentum": 0.9} if entry.cls.endswith(":SGD") else {"lr": 0.1}
    shapes = [(3, 2), (2, 3)] if name == "muon" else [(2,)]
    bare = replace(settings("mlp", name, given), arguments={**given, **entry.fixed})
    ours = optimizers.build(
        bare, optimizers.Context.of(torch.nn.Parameter(torch.zeros(s)) for s in shapes)
    )
    for knob, default in entry.knobs.items():
        if knob == "weight_decay" and entry.decayed:  # which PyTorch's own does not have
            assert default == 0
            continue
        theirs = ours.defaults[knob]
        if name == "muon":  # its own, but for what belongs to its AdamW
            cls = torch.optim.AdamW if knob in ("betas", "eps") else torch.optim.Muon
            assert theirs == cls([torch.nn.Parameter(torch.zeros(2, 2))]).defaults[knob]
        assert theirs == (tuple(default) if isinstance(default, list) else default), knob


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("adma", {}, "unknown optimizer; did you mean 'adam'? allowed: sgd, momentum"),
        ("adam", {"momentum": 0.9}, "the optimizer adam has no knob 'momentum'"),
        ("sgd", {"lr": -0.1}, "-0.1 is not allowed; a finite number of at least 0"),
        ("sgd", {"lr": float("inf")}, "Infinity is not allowed"),
        ("sgd", {"lr": float("nan")}, "NaN is not allowed"),
        ("sgd", {"lr": True}, "true is not allowed"),
        ("momentum", {"momentum": 1}, "1 is not allowed"),
        ("adam", {"betas": [0.9]}, "[0.9] is not allowed"),
        ("rprop", {"etas": [1.2, 0.5]}, "[1.2, 0.5] is not allowed"),
        ("adam", {"eps": 0}, "0 is not allowed; a finite number above 0"),
        ("adam", {"amsgrad": 1}, "1 is not allowed; true or false"),
    ],
)
def test_bad_knobs_are_refused_by_name(name, knobs, message):
    ((place, found),) = names.optimizer(name, {knob: [value] for knob, value in knobs.items()})
    assert found.startswith(message) and place[:1] == tuple(knobs)


@pytest.mark.parametrize(
    ("name", "knobs"),
    [("nesterov", {"momentum": 0}), ("rprop", {"etas": [1.1, 1.2]})],
)
def test_what_only_pytorch_refuses_is_told_without_a_traceback(name, knobs):
    with pytest.raises(UserError, match=f"{OPTIMIZERS[name].cls} refuses"):
        build(name, [torch.nn.Parameter(torch.zeros(2))], {"lr": 0.1, **knobs})


def test_an_optimizer_of_ones_own_comes_from_a_file_or_a_package(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "class Sign(torch.optim.Optimizer):\n"
        "    def __init__(self, parameters, lr, scale=1.0):\n"
        "        super().__init__(parameters, {'lr': lr * scale})\n"
        "    @torch.no_grad()\n"
        "    def step(self):\n"
        "        for group in self.param_groups:\n"
        "            for p in group['params']:\n"
        "                p -= group['lr'] * p.grad.sign()\n"
    )
    weights = torch.nn.Parameter(torch.tensor(START))
    weights.grad = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
    build(f"{file}:Sign", [weights], {"lr": 0.1, "scale": 2.0}).step()
    np.testing.assert_allclose(weights.detach().numpy(), START - [0.2, -0.2, 0.0])
    same = build("torch.optim:SGD", [weights], {"lr": 0.1})
    assert type(same) is torch.optim.SGD
    with pytest.raises(UserError, match="there is no 'Sgn' in"):
        build(f"{file}:Sgn", [weights], {"lr": 0.1})
    with pytest.raises(UserError, match="has no argument 'momentum'"):
        build(f"{file}:Sign", [weights], {"lr": 0.1, "momentum": 0.9})
    with pytest.raises(UserError, match="cannot import"):
        build(f"{tmp_path}/absent.py:Sign", [weights], {"lr": 0.1})


# -- Muon: matrices and the rest --------------------------------------------------------------


def orthogonal(m, steps, dtype):
    """Newton-Schulz by the quintic polynomial of Muon, rounded to ``dtype`` after each product."""

    def r(x):
        return x.to(dtype)

    a, b, c = 3.4445, -4.775, 2.0315
    x = r(torch.tensor(m))
    x = x.T if x.shape[0] > x.shape[1] else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.T if m.shape[0] > m.shape[1] else x
    return x.double().numpy()


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_steps_equal_the_formula(nesterov):
    """PyTorch orthogonalises in bfloat16, whose numbers have 8 bits: so does the formula here.

    The two round at other places (PyTorch fuses a product with a sum), each of which moves a
    direction by up to 2**-8 and each iteration amplifies: hence 10 % of a step,
    and 2 % on average.
    """
    rng = np.random.default_rng(0)
    w, bias, last = rng.normal(size=(4, 6)), rng.normal(size=4), rng.normal(size=(2, 4))
    knobs = {"lr": 0.02, "momentum": 0.9, "nesterov": nesterov, "ns_steps": 5, "eps": 1e-7}
    knobs |= {"betas": [0.8, 0.95], "weight_decay": 0.1}
    parameters = [torch.nn.Parameter(torch.tensor(x)) for x in (w, bias, last)]
    optimizer = build("muon", parameters, knobs)
    curvature = np.diag([3.0, 1.0, 0.5, 2.0])
    m = np.zeros_like(w)
    target = np.ones((4, 6))
    for _ in range(5):
        g = curvature @ (w - target)
        parameters[0].grad = torch.tensor(curvature @ (parameters[0].detach().numpy() - target))
        for p in parameters[1:]:
            p.grad = p.detach().clone()
        optimizer.step()
        # PyTorch keeps an average where the paper has a sum; the direction is the same.
        m = 0.9 * m + 0.1 * g
        direction = orthogonal(0.9 * m + 0.1 * g if nesterov else m, 5, torch.bfloat16)
        w = (1 - 0.02 * 0.1) * w - 0.02 * 0.2 * np.sqrt(6) * direction
        step = 0.02 * 0.2 * np.sqrt(6)
        error = np.abs(parameters[0].detach().numpy() - w) / step
        assert error.max() < 0.1 and error.mean() < 0.02
        w = parameters[0].detach().numpy().copy()


def test_muon_takes_hidden_matrices_and_adamw_the_rest():
    from torch import nn

    net = nn.Sequential(nn.Conv2d(1, 3, 5), nn.Flatten(), nn.Linear(48, 8), nn.Linear(8, 4))
    matrices, others = muon.divide(net.parameters())
    assert [tuple(p.shape) for p in matrices] == [(8, 48)]
    assert [tuple(p.shape) for p in others] == [(3, 1, 5, 5), (3,), (8,), (4, 8), (4,)]
    knobs = {"lr": 0.01, "weight_decay": 0.03, "betas": [0.8, 0.95], "eps": 1e-6}
    optimizer = build("muon", net.parameters(), knobs)
    groups = [group["params"] for group in optimizer.param_groups]
    assert [list(map(id, g)) for g in groups] == [list(map(id, g)) for g in (matrices, others)]
    # What AdamW trains moves as under AdamW alone.
    start = others[0].detach().double().numpy().copy()
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    expected = (1 - 0.01 * 0.03) * start - 0.01 / (1 + 1e-6)
    np.testing.assert_allclose(others[0].detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(matrices[0], torch.zeros_like(matrices[0]))


def test_a_network_without_hidden_matrix_is_none_for_muon():
    with pytest.raises(UserError, match="this network has none"):
        build("muon", torch.nn.Linear(3, 2).parameters(), {"lr": 0.1})


# -- L-BFGS ------------------------------------------------------------------------------------


def test_lbfgs_directions_equal_a_two_loop_recursion():
    """Nocedal and Wright, algorithm 7.4, with the step lengths that the line search took."""
    weights = torch.nn.Parameter(torch.tensor(START))
    optimizer = build("lbfgs", [weights], {"lr": 0.7, "history_size": 2})
    assert protocol.of(type(optimizer)).closure
    target = torch.tensor(np.linalg.solve(CURVATURE, -gradient(np.zeros(3))))
    curvature = torch.tensor(CURVATURE)

    def closure():
        weights.grad = None
        loss = (weights - target) @ curvature @ (weights - target) / 2
        loss.backward()
        return loss.detach()

    points = [START]
    for _ in range(5):
        optimizer.step(closure)
        points.append(weights.detach().numpy().copy())
    for k in range(4):
        s = [b - a for a, b in itertools.pairwise(points[: k + 1])][-2:]
        y = [CURVATURE @ step for step in s]
        q, alphas = -gradient(points[k]), []
        for si, yi in zip(reversed(s), reversed(y), strict=True):
            alphas.append(si @ q / (yi @ si))
            q = q - alphas[-1] * yi
        q = q * (s[-1] @ y[-1] / (y[-1] @ y[-1])) if s else q
        for si, yi, alpha in zip(s, y, reversed(alphas), strict=True):
            q = q + si * (alpha - yi @ q / (yi @ si))
        step = points[k + 1] - points[k]
        cosine = step @ q / np.linalg.norm(step) / np.linalg.norm(q)
        assert cosine == pytest.approx(1, abs=1e-9), k
    # A quadratic in three dimensions is nearly solved after a few steps.
    assert np.abs(gradient(points[-1])).max() < 1e-2 * np.abs(gradient(START)).max()


# -- every entry on data, and the combinations that are left out -------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.json"
    prepare.prepare("digits", {"source": "digits"}, path, None)
    return datasets.load(path)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_reduces_the_loss_on_digits(digits, name):
    full = name in ("lbfgs", "rprop")
    knobs = {"lr": OPTIMIZERS[name].grid[-2]}
    size, epochs = ("full", 30) if full else (100, 8)
    run = settings("mlp", name, knobs, batch_size=size, epochs=epochs, evaluate_every=30)
    rows = train_one(run, digits, 0).evaluations
    assert rows[-1].status == "ok" and rows[-1].train_loss < 0.9 * rows[0].train_loss


def run_of(optimizer, exercise=None, **models):
    exercise = {"datasets": ["digits"], "models": ["mlp"], **(exercise or {})}
    given = {"study": "s", "exercises": {"e": {**exercise, "optimizers": {optimizer: {}}}}}
    resolved = reading.resolve({**given, "models": models})
    return table.runs(resolved), table.skipped(resolved)


def test_combinations_without_meaning_are_left_out_with_a_reason():
    runs, skipped = run_of("lbfgs", {"batch_sizes": ["full", 100]})
    assert {run.batch_size for run in runs} == {"full"} and len(skipped) == len(runs) == 4
    assert {why for _, why in skipped} == {
        "L-BFGS compares gradients of one and the same loss: it needs batch_size full"
    }
    wet = {"network": "mlp", "dropout": 0.2}
    runs, skipped = run_of("lbfgs", {"batch_sizes": ["full"], "models": ["mlp", "wet"]}, wet=wet)
    assert {run.model for run in runs} == {"mlp"} and "dropout" in skipped[0][1]
    runs, skipped = run_of("muon", {"models": ["mlp", "softmax"]})
    assert {run.model for run in runs} == {"mlp"} and "no hidden matrix" in skipped[0][1]
    runs, skipped = run_of("rprop", {"schedules": ["constant", "cosine"]})
    assert {run.schedule for run in runs} == {"constant"} and len(skipped) == len(runs)


def test_an_exercise_of_which_nothing_is_left_is_a_mistake():
    with pytest.raises(UserError, match=r"exercises.e: nothing is left to train: L-BFGS compares"):
        run_of("lbfgs")
