"""Figures under a person's own style: on dark paper all is as legible as on white."""

from __future__ import annotations

import numpy as np
import pytest

from lropt_jax import RangeTest, adam, constant, plot_paths, plot_schedules, reduce_on_plateau, sgd
from lropt_jax.plotting import comparisons, style, sweeps
from lropt_jax.plotting.training import history_figure
from tests.test_sweep_results import NAN, made

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.style")

STYLES = ("default", "dark_background")
LEGIBLE, SEEN = 4.5, 1.9  # contrasts: of letters (WCAG 2.2, 1.4.3), of lines


def luminance(colour):
    """Relative, of WCAG."""
    parts = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _sweep(loss, **given):
    trials = [{"learning_rate": r, "momentum": m} for r in (0.01, 0.1, 1.0) for m in (0.0, 0.9)]
    return made(loss, trials=trials, **given)


def _panel(name):
    rates = np.array([0.01, 0.1, 1.0])
    lost, half = np.array([False, False, True]), np.full(3, 0.1)
    mean = np.array([0.5, 0.9, NAN])
    return comparisons.Panel(name, "learning_rate", rates, mean, half, lost, (0.1, 0.1), chosen=0.1)


def _schedules():
    return plot_schedules([constant(0.1), reduce_on_plateau(0.1)])


def _heatmap():
    result = _sweep(np.arange(6.0)[:, None] + 1)
    return result.plot_heatmap("learning_rate", "momentum")


def _sampled():
    random = np.random.default_rng(0)
    trials = [{"a": a, "b": b} for a, b in random.uniform(0, 1, (12, 2))]
    return made(random.uniform(1, 2, (12, 1)), trials=trials).plot_heatmap("a", "b")


def _parallel():
    return _sweep([[1.0], [2.0], [3.0], [NAN], [4.0], [5.0]]).plot_parallel()


def _range_test():
    rates = np.geomspace(1e-3, 1.0, 40)
    falling = 2 - np.linspace(0, 1, 40) + np.where(rates > 0.5, 1e9, 0)
    return RangeTest(rates, np.stack([falling, falling * 1.01]), seeds=[0, 1]).plot()


def _gap():
    values, names = np.array([0.8, 0.9]), ("sgd", "adam")
    each = dict.fromkeys(names, values)
    return comparisons.generalization_gap(
        dict.fromkeys(names, values + 0.05), each, dict.fromkeys(names, (0.85, 0.1)),
        "test_accuracy", True, "max",
    )  # fmt: skip


DRAWN = {
    "basins": lambda: comparisons.basins([_panel("sgd")], ["sgd"], "loss", (0, 1), True, "min"),
    "curves": lambda: _sweep(np.arange(12.0).reshape(6, 2)).plot_curves(best=3),
    "gap": _gap,
    "heatmap": _heatmap,
    "history": lambda: history_figure(
        {"step": np.arange(3), "sharpness": np.ones(3), "sharpness_limit": np.ones(3)}, best_step=1
    ),
    "importances": lambda: sweeps.importances_figure({"learning_rate": 0.7, "decay": 0.3}, "loss"),
    "parallel": _parallel,
    "paths": lambda: plot_paths({"sgd": sgd, "adam": adam}, "valley", steps=5, rates=[0.01]),
    "range test": _range_test,
    "sampled": _sampled,
    "schedules": _schedules,
    "sensitivity": lambda: _sweep(np.arange(12.0).reshape(6, 2)).plot_sensitivity("learning_rate"),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("paper", STYLES)
def test_letters_and_lines_are_seen_on_the_paper_of_the_style(name, paper):
    with matplotlib.style.context(paper):
        figure = DRAWN[name]()
        figure.canvas.draw()
    ground = figure.axes[0].get_facecolor()
    lines = 0
    for text in figure.findobj(matplotlib.text.Text):
        if not text.get_text() or str(text.get_gid()).startswith(style.FIXED):
            continue
        assert contrast(text.get_color(), ground) > LEGIBLE, text
    for axes in figure.axes:
        for line in axes.lines:
            lines += 1
            mapped = name == "parallel" and len(line.get_xdata()) > 2  # by value
            assert mapped or contrast(line.get_color(), ground) > SEEN, line
    assert lines or axes.images or axes.patches or axes.collections


def test_the_palettes_are_of_one_length_and_told_apart():
    for palette, ground in ((style.PALETTE, "white"), (style.ON_DARK, "black")):
        assert len(set(palette)) == len(style.PALETTE)
        assert all(contrast(colour, ground) > SEEN for colour in palette)
    assert all(contrast(c, "black") > LEGIBLE for c in style.ON_DARK)


def test_what_lies_on_a_coloured_cell_keeps_its_colour():
    with matplotlib.style.context("dark_background"):
        axes = _heatmap().axes[0]
    image = axes.images[0]
    for text in axes.texts:
        value = image.get_array()[int(text.get_position()[1]), int(text.get_position()[0])]
        assert contrast(text.get_color(), image.cmap(image.norm(value))) > LEGIBLE


def test_on_a_phone_figures_are_narrow_and_panels_lie_below_each_other():
    for draw in DRAWN.values():
        with style.for_phones():
            figure = draw()
        if draw is not DRAWN["paths"]:  # in no report
            assert figure.get_size_inches()[0] <= style.PHONE
    names = ["sgd", "adam", "adamw"]

    def columns():
        figure = comparisons.basins([_panel(n) for n in names], names, "loss", (0, 1), True, "min")
        return {axes.get_subplotspec().colspan.start for axes in figure.axes}

    assert columns() == {0, 1, 2}
    with style.for_phones():
        assert columns() == {0, 1}


def test_a_schedule_that_reacts_to_the_loss_is_said_to():
    (axes,) = plot_schedules([constant(0.1), reduce_on_plateau(0.1)]).axes
    plain, reacting = axes.lines
    assert "reacts to the loss" in reacting.get_label()
    assert "reacts" not in plain.get_label()
    assert (plain.get_linestyle(), reacting.get_linestyle()) == ("-", "--")
    panels = plot_schedules({str(i): reduce_on_plateau(0.1) for i in range(8)}).axes
    assert all("reacts to the loss" in axes.texts[0].get_text() for axes in panels)
