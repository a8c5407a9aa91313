"""Every optimizer entry against a formula of its own in NumPy, and what its knobs refuse."""

import numpy as np
import pytest
import torch
from optlab import optimizers
from optlab.errors import UserError

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


def rprop(w, lr, etas, step_sizes):
    before, size = np.zeros_like(w), np.full_like(w, lr)
    while True:
        g = gradient(w)
        agree = np.sign(g * before)
        factor = np.where(agree > 0, etas[1], np.where(agree < 0, etas[0], 1.0))
        size = np.clip(size * factor, *step_sizes)
        g = np.where(agree < 0, 0.0, g)
        w = w - np.sign(g) * size
        before = g
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
    "rprop": (rprop, {"lr": 0.1, "etas": [0.4, 1.3], "step_sizes": [1e-4, 0.5]}),
}


def test_every_entry_has_its_formula():
    assert set(CASES) == set(optimizers.OPTIMIZERS)


@pytest.mark.parametrize("name", CASES)
def test_twelve_steps_equal_the_formula_in_float64(name):
    formula, knobs = CASES[name]
    assert set(knobs) == {"lr", *optimizers.OPTIMIZERS[name].knobs}
    weights = torch.nn.Parameter(torch.tensor(START))
    optimizer = optimizers.build(name, [weights], knobs)
    expected = formula(START, *knobs.values())
    # PyTorch keeps the product of NAdam's momenta in float32.
    tolerance = 1e-6 if name == "nadam" else 1e-12
    for _ in range(12):
        weights.grad = torch.tensor(gradient(weights.detach().numpy()))
        optimizer.step()
        np.testing.assert_allclose(weights.detach().numpy(), next(expected), rtol=tolerance)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_the_table_states_the_defaults_of_pytorch(name):
    entry = optimizers.OPTIMIZERS[name]
    # The momentum of SGD is the field's 0.9: with PyTorch's 0 there would be none.
    given = {"lr": 0.1, "momentum": 0.9} if entry.cls == "SGD" else {"lr": 0.1}
    ours = optimizers.build(name, [torch.nn.Parameter(torch.zeros(2))], given)
    for knob, default in entry.knobs.items():
        theirs = ours.defaults[knob]
        assert theirs == (tuple(default) if isinstance(default, list) else default), knob


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("adma", {}, "unknown optimizer 'adma'"),
        ("adam", {"momentum": 0.9}, "the optimizer adam has no knob 'momentum'"),
        ("sgd", {"lr": -0.1}, "lr = -0.1 is not allowed; a finite number of at least 0"),
        ("sgd", {"lr": float("inf")}, "lr = inf is not allowed"),
        ("sgd", {"lr": float("nan")}, "lr = nan is not allowed"),
        ("sgd", {"lr": True}, "lr = True is not allowed"),
        ("momentum", {"momentum": 1}, "momentum = 1 is not allowed"),
        ("adam", {"betas": [0.9]}, "betas = "),
        ("rprop", {"etas": [1.2, 0.5]}, "etas = "),
        ("adam", {"eps": 0}, "eps = 0 is not allowed; a finite number above 0"),
        ("adam", {"amsgrad": 1}, "amsgrad = 1 is not allowed; true or false"),
    ],
)
def test_bad_knobs_are_refused_by_name(name, knobs, message):
    with pytest.raises(UserError) as error:
        optimizers.complete(name, knobs)
    assert str(error.value).startswith(message)


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
    optimizers.build(f"{file}:Sign", [weights], {"lr": 0.1, "scale": 2.0}).step()
    np.testing.assert_allclose(weights.detach().numpy(), START - [0.2, -0.2, 0.0])
    same = optimizers.build("torch.optim:SGD", [weights], {"lr": 0.1})
    assert type(same) is torch.optim.SGD
    with pytest.raises(UserError, match="there is no 'Sgn' in"):
        optimizers.build(f"{file}:Sgn", [weights], {"lr": 0.1})
    with pytest.raises(UserError, match="refuses"):
        optimizers.build(f"{file}:Sign", [weights], {"lr": 0.1, "momentum": 0.9})
    with pytest.raises(UserError, match="cannot import"):
        optimizers.build(f"{tmp_path}/absent.py:Sign", [weights], {"lr": 0.1})
