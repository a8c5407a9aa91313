"""Closed forms of exercise 1: a line y = W x + b fitted by the sum of squared errors.

The loss is quadratic, so its Hessian H = 2 [[sum x^2, sum x], [sum x, n]] is all that gradient
descent and heavy ball ever see. Along each eigenvector of H the iterates are a linear recursion of
two terms, which is solved here exactly, in float64, for any step without taking those before it.

Sources: B. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
Comp. Math. and Math. Phys. 4 (1964) 1-17, for the limits; G. Goh, "Why Momentum Really Works",
Distill (2017), for the recursion of each eigenvalue in the form that PyTorch uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """Exact iterates at the steps asked for: weight W, bias b and loss, each [steps]."""

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
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        factors = [_factor(lr * value, momentum, steps) for value in values]
        error = first[:, None] * np.stack(factors)  # [2, steps], in the basis of the eigenvectors
        weight, bias = optimum[:, None] + vectors @ error
        # The loss above its minimum is error' H error / 2; taken so, it loses no digit where the
        # residuals of W x + b - y would be differences of nearly equal numbers.
        loss = np.sum((design @ optimum - targets) ** 2) + (values / 2) @ error**2
    return Trajectory(weight, bias, loss)


def _factor(rate: float, momentum: float, steps: ArrayLike) -> Array:
    """What is left of an error along one eigenvector, relative to the start; ``rate`` = lr lambda.

    The pair (error, v) is multiplied by [[1 - rate, -lr m], [lambda, m]] each step. Its powers
    follow from its eigenvalues, the roots of mu^2 - t mu + m = 0 with t = 1 + m - rate, and from
    s_k = (mu_1^k - mu_2^k) / (mu_1 - mu_2): the error after k steps is s_{k+1} - m s_k.
    Where the roots coincide s_k is k mu^(k-1); each branch below has that as its limit.
    """
    k = np.asarray(steps, dtype=np.float64)
    trace = 1 + momentum - rate
    sign = np.where((k % 2 == 1) & (trace < 0), -1.0, 1.0)  # s_k(-t) = (-1)^(k-1) s_k(t)
    flip = -1.0 if trace < 0 else 1.0
    half = abs(trace) / 2
    square = half * half - momentum
    if square < 0:  # two complex roots, sqrt(m) exp(+-i angle): a damped oscillation
        root = np.sqrt(momentum)
        angle = np.arctan2(np.sqrt(-square), half)
        large, one, other = root, _sines(k + 1, angle), _sines(k, angle)
    else:  # two real roots of one sign, large >= small = m / large
        large = half + np.sqrt(square)
        ratio = momentum / large**2 if large else 0.0
        one, other = _powers(k + 1, ratio), _powers(k, ratio)
    share = momentum / large if large else 0.0
    return np.asarray(sign * large**k * (one - flip * share * other))


def _sines(k: Array, angle: float) -> Array:
    """sin(k angle) / sin(angle), and its limit k."""
    return np.asarray(np.sin(k * angle) / np.sin(angle)) if angle else k


def _powers(k: Array, ratio: float) -> Array:
    """(1 - ratio^k) / (1 - ratio) for a ratio in [0, 1], without cancellation near 1."""
    if ratio >= 1:
        return k
    if ratio == 0:
        return np.where(k > 0, 1.0, 0.0)
    return np.asarray(np.expm1(k * np.log(ratio)) / np.expm1(np.log(ratio)))
