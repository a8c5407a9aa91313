"""Exact solutions of exercise 1: a line y = W x + b fitted by the sum of squared errors.

The loss is quadratic. Its Hessian is H = 2 [[sum x^2, sum x], [sum x, n]], and along each
eigenvector of H gradient descent and heavy ball are a linear recursion, whose iterates are powers
of a 2x2 matrix.

Sources: B. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
Comp. Math. and Math. Phys. 4 (1964) 1-17, for the stability limits; G. Goh, "Why Momentum Really
Works", Distill (2017), for the matrix of each eigenvalue in the form that PyTorch uses.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optlab.data import builtin
from optlab.study.run import Run

Array = NDArray[np.float64]


class Trajectory(NamedTuple):
    """Exact iterates at the requested steps: weight W, bias b and loss, each [steps]."""

    weight: Array
    bias: Array
    loss: Array


def hessian(x: ArrayLike) -> Array:
    """Second derivatives [2, 2] of sum (W x + b - y)^2 by (W, b), for the inputs x [n]."""
    points = np.ravel(np.asarray(x, dtype=np.float64))
    return 2 * np.array([[points @ points, points.sum()], [points.sum(), len(points)]])


def eigenvalues(x: ArrayLike) -> Array:
    """Eigenvalues [2] of the Hessian, in ascending order."""
    return np.asarray(np.linalg.eigvalsh(hessian(x)), dtype=np.float64)


def stability_limit(x: ArrayLike, momentum: float = 0.0) -> float:
    """The learning rate below which heavy ball converges: 2 (1 + m) / lambda_max (Polyak 1964).

    Momentum 0 is gradient descent: 2 / lambda_max.
    """
    return float(2 * (1 + momentum) / eigenvalues(x)[-1])


def trajectory(
    x: ArrayLike,
    y: ArrayLike,
    start: Sequence[float],
    lr: float,
    momentum: float,
    steps: ArrayLike,
) -> Trajectory:
    """Iterates of v <- m v + gradient, p <- p - lr v (PyTorch's SGD; v starts at zero).

    Args:
        x, y: the points, [n] each.
        start: W and b before the first step.
        lr: learning rate.
        momentum: m; 0 is gradient descent.
        steps: numbers of steps taken, whole numbers from 0 up, [steps].
    """
    points = np.ravel(np.asarray(x, dtype=np.float64))
    targets = np.ravel(np.asarray(y, dtype=np.float64))
    design = np.stack([points, np.ones_like(points)], axis=1)
    optimum = np.linalg.lstsq(design, targets, rcond=None)[0]
    values, vectors = np.linalg.eigh(hessian(points))
    first = vectors.T @ (np.asarray(start, dtype=np.float64) - optimum)
    # Along the eigenvector of lambda, a step multiplies (error, v) by this matrix (Goh 2017).
    step = np.array([[[1 - lr * value, -lr * momentum], [value, momentum]] for value in values])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        powers = [np.linalg.matrix_power(step, int(k))[:, 0, 0] for k in np.ravel(steps)]
        error = first * np.array(powers)  # [steps, 2], in the basis of the eigenvectors
        error[np.isnan(error)] = np.inf  # inf - inf, where a power overflows
        weight, bias = optimum[:, None] + vectors @ error.T
        # The loss above its minimum is error' H error / 2. The residuals of W x + b - y would be
        # differences of nearly equal numbers, which loses digits.
        loss = np.sum((design @ optimum - targets) ** 2) + error**2 @ (values / 2)
    return Trajectory(weight, bias, loss)


def covers(run: Run, source: str) -> bool:
    """Whether a run fits the data set of source "line" by GD or heavy ball on all its points."""
    known = {"momentum": ("lr", "momentum"), "sgd": ("lr",)}.get(run.optimizer, ())
    return (
        bool(known)
        and source == "line"
        and run.network == "linear"
        and run.batch_size == "full"
        and not any(value for knob, value in run.knobs.items() if knob not in known)
    )


def losses_of(run: Run, steps: ArrayLike) -> Array:
    """The exact loss of such a run after each of ``steps`` steps, [steps]."""
    points, knobs = builtin.line(), run.knobs
    start = run.network_options["weight"], run.network_options["bias"]
    momentum = knobs.get("momentum", 0)
    return trajectory(points.x_train, points.y_train, start, knobs["lr"], momentum, steps).loss


def limit_of(run: Run) -> float:
    """The learning rate above which such a run diverges."""
    return stability_limit(builtin.line().x_train, run.knobs.get("momentum", 0))
