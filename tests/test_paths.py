"""Paths on functions of two numbers: where they go, and what is drawn of them."""

from __future__ import annotations

import functools

import numpy as np
import optax
import pytest
import scipy.optimize

from lropt_jax import adam, plot_paths, rprop, sgd
from lropt_jax.plotting.surfaces import SURFACES, surfaces, ways, with_and_without_momentum

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("name", SURFACES)
def test_the_minima_are_minima(name):
    surface = SURFACES[name]
    found = scipy.optimize.minimize(surface.function, np.array(surface.start), tol=1e-12)
    np.testing.assert_allclose(found.x, surface.minimum, atol=1e-3)
    assert surface.lowest == pytest.approx(0.0, abs=1e-12)
    (left, right), (bottom, top) = surface.frame
    for x, y in (surface.start, surface.minimum):
        assert left < x < right
        assert bottom < y < top


def test_the_path_of_gradient_descent_in_the_valley_by_hand():
    (way,) = ways(sgd(0.03), surfaces("valley", None, None), 40, np.ones(1))
    t = np.arange(41)[:, None]
    by_hand = np.array([-4.0, 1.2]) * (1 - 0.03 * np.array([1.0, 50.0])) ** t
    np.testing.assert_allclose(way.points, by_hand, atol=1e-5)
    assert way.rate is None


def test_the_best_rate_of_those_that_stay_in_the_frame():
    (way,) = ways(sgd, surfaces("valley", None, None), 200, np.array([1e-4, 0.01, 0.03, 0.1, 10.0]))
    assert way.rate == pytest.approx(0.03)  # 0.04 is the edge of stability, 2 / 50
    assert np.abs(way.points[-1]).max() < 0.02


def test_two_functions_are_walked_apart():
    both = ways(adam(0.1), surfaces(["valley", "beale"], None, None), 30, np.ones(1))
    for name, way in zip(("valley", "beale"), both, strict=True):
        (alone,) = ways(optax.adam(0.1), surfaces(name, None, None), 30, np.ones(1))
        np.testing.assert_allclose(way.points, alone.points, atol=1e-4)


def test_with_and_without_momentum():
    assert list(with_and_without_momentum(sgd, 0.9)) == ["momentum 0", "momentum 0.9"]
    assert list(with_and_without_momentum(adam, 0.9)) == ["b1 0", "b1 0.9"]
    assert list(with_and_without_momentum(adam, None)) == [""]
    for made in (rprop, optax.adagrad, sgd(0.1), functools.partial(optax.sgd, nesterov=False)):
        words = with_and_without_momentum(made, 0.9)
        assert len(words) == (2 if isinstance(made, functools.partial) else 1)


def test_figures_have_a_panel_each():
    def bowl(w):
        return w[0] ** 2 + 3 * w[1] ** 2

    figure = plot_paths({"sgd": sgd, "mine": lambda rate: optax.sgd(rate)}, steps=20)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles[:3] == ["sgd: valley", "sgd: beale", "sgd: rosenbrock"]
    assert len(titles) == 6
    (axes,) = plot_paths(sgd(0.1), bowl, steps=20, start=(2, 1)).axes
    line = next(line for line in axes.lines if len(line.get_xdata()) == 21)
    np.testing.assert_allclose(line.get_xdata(), 2 * 0.8 ** np.arange(21), rtol=1e-4)
    left, right = axes.get_xlim()
    assert left < 0 < 2 < right
    assert len(plot_paths([sgd(0.1), sgd(10.0)], "rosenbrock", steps=100).axes) == 2  # one is lost


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"optimizers": []}, ValueError, "at least one"),
        ({"optimizers": {"a": 3}}, TypeError, "a must be a constructor"),
        ({"functions": "rosenbrok"}, ValueError, "rosenbrock"),
        ({"functions": lambda w: w[0]}, ValueError, "start must be given"),
        ({"functions": lambda w: w, "start": (1, 2)}, ValueError, "one number"),
        ({"functions": 3}, TypeError, "functions must be"),
        ({"start": (1, 2, 3)}, ValueError, "start must be two"),
        ({"steps": 0}, ValueError, "steps must be"),
        ({"rates": [0.1, -1.0]}, ValueError, "rates must be positive"),
    ],
)
def test_bad_arguments(given, error, words):
    with pytest.raises(error, match=words):
        plot_paths(**{"optimizers": sgd, **given})
