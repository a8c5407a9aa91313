"""Closed forms of exercise 1, against published numbers and against the recursion itself."""

import numpy as np
import pytest

from optlab.results import theory

X = np.array([1.0, 2.0, 3.0, 4.0])
Y = np.array([0.0, -1.0, -2.0, -3.0])
START = (0.3, -0.3)


def loop(lr, momentum, steps, x=X, y=Y, start=START):
    """Heavy ball as PyTorch's SGD does it, a step at a time: rows of W, b, loss, [steps + 1, 3]."""
    weight, bias = start
    v = np.zeros(2)
    rows = []
    for _ in range(steps + 1):
        residual = weight * x + bias - y
        rows.append((weight, bias, np.sum(residual**2)))
        v = momentum * v + 2 * np.array([residual @ x, residual.sum()])
        weight, bias = weight - lr * v[0], bias - lr * v[1]
    return np.array(rows)


def test_hessian_and_its_eigenvalues():
    np.testing.assert_array_equal(theory.hessian(X), [[60, 20], [20, 8]])
    np.testing.assert_allclose(theory.eigenvalues(X), [1.198, 66.802], atol=5e-4)


@pytest.mark.parametrize(
    "momentum, published",
    [(0, 0.02994), (0.2, 0.0359), (0.4, 0.0419), (0.6, 0.0479), (0.8, 0.0539)],
)
def test_stability_limits_are_those_published(momentum, published):
    assert theory.stability_limit(X, momentum) == pytest.approx(published, abs=5e-5)


@pytest.mark.parametrize("momentum", [0, 0.2, 0.4, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("lr", [0, 1e-4, 0.001, 0.005, 0.01, 0.02])
def test_trajectory_equals_the_recursion(lr, momentum):
    steps = np.arange(301)
    expected = loop(lr, momentum, 300)
    exact = theory.trajectory(X, Y, START, lr, momentum, steps)
    np.testing.assert_allclose(exact.weight, expected[:, 0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(exact.bias, expected[:, 1], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(exact.loss, expected[:, 2], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0, 0.2, 0.8])
def test_trajectory_of_a_diverging_run(momentum):
    expected = loop(0.08, momentum, 60)
    exact = theory.trajectory(X, Y, START, 0.08, momentum, np.arange(61))
    np.testing.assert_allclose(exact.weight, expected[:, 0], rtol=1e-11)
    np.testing.assert_allclose(exact.loss, expected[:, 2], rtol=1e-11)
    assert exact.loss[-1] > 1e6 * exact.loss[0]


@pytest.mark.parametrize("nudge", [0, 1e-15, -1e-15, 1e-12, -1e-12, 1e-9, -1e-9, 1e-6, -1e-6])
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("which", [0, 1])
def test_trajectory_where_the_two_roots_coincide(nudge, side, which):
    """At lr lambda = (1 +- sqrt(m))^2 the companion matrix has a double eigenvalue."""
    momentum = 0.64
    lr = (1 + side * momentum**0.5) ** 2 / theory.eigenvalues(X)[which] * (1 + nudge)
    expected = loop(lr, momentum, 40)
    exact = theory.trajectory(X, Y, START, lr, momentum, np.arange(41))
    scale = np.maximum.accumulate(np.abs(expected))
    for column, found in enumerate((exact.weight, exact.bias, exact.loss)):
        np.testing.assert_array_less(np.abs(found - expected[:, column]), 1e-11 * scale[:, column])


def test_one_step_to_the_minimum_along_an_eigenvector():
    """lr lambda = 1 without momentum: both roots are zero, and 0^0 must be 1."""
    lr = 1 / theory.eigenvalues(X)[1]
    exact = theory.trajectory(X, Y, START, lr, 0, np.arange(4))
    np.testing.assert_allclose(exact.loss, loop(lr, 0, 3)[:, 2], rtol=1e-11)


@pytest.mark.parametrize("momentum", [0, 0.2, 0.4, 0.6, 0.8])
def test_the_limit_separates_falling_from_growing(momentum):
    limit = theory.stability_limit(X, momentum)
    start, below = theory.trajectory(X, Y, START, 0.99 * limit, momentum, [0, 5000]).loss
    assert below < 1e-6 * start
    start, above = theory.trajectory(X, Y, START, 1.01 * limit, momentum, [0, 5000]).loss
    assert above > 1e6 * start


def test_steps_may_be_any_and_overflow_is_infinite():
    some = theory.trajectory(X, Y, START, 0.01, 0.8, [7, 3])
    every = theory.trajectory(X, Y, START, 0.01, 0.8, np.arange(8))
    np.testing.assert_array_equal(some.loss, every.loss[[7, 3]])
    assert theory.trajectory(X, Y, START, 0.5, 0.8, [10**6]).loss[0] == np.inf


def test_points_off_the_line_leave_their_residual():
    y = np.array([0.0, -1.0, -2.5, -3.0])
    expected = loop(0.01, 0.5, 200, y=y)
    exact = theory.trajectory(X, y, START, 0.01, 0.5, np.arange(201))
    np.testing.assert_allclose(exact.loss, expected[:, 2], rtol=1e-12)
    assert exact.loss[-1] > 0.05
