"""Figures of results: what they show, and that the worst of it does not hide the rest."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lropt_jax.plotting.axes import Axis, even_in_logarithm, worst_shown
from lropt_jax.plotting.comparisons import Panel, basins, generalization_gap, learning_curves
from lropt_jax.plotting.style import for_phones, style
from lropt_jax.plotting.sweeps import parallel_figure
from lropt_jax.plotting.vector import inline_svg
from tests.test_sweep_results import NAN, made

pytest.importorskip("matplotlib")


def test_evenly_spread_values_are_all_inside_of_the_scale():
    assert worst_shown(np.linspace(0.0, 1.0, 11), "min") == pytest.approx(1.0)
    assert worst_shown(np.linspace(0.0, 1.0, 11), "max") == pytest.approx(0.0)
    assert worst_shown(np.geomspace(1e-3, 1e3, 11), "min") == pytest.approx(1e3)


@pytest.mark.parametrize("bad", [1e3, 1e6, 1e30])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_corner_that_nearly_diverged_does_not_take_the_scale(bad, share):
    good = np.linspace(0.1, 0.4, 20)
    count = int(20 * share / (1 - share))
    end = worst_shown(np.concatenate([good, np.full(count, bad)]), "min")
    assert 0.3 < end < 20  # within a decade or two of the good ones, whatever the bad are
    assert worst_shown(-np.concatenate([good, np.full(count, bad)]), "max") < -0.3


def test_scales_of_values_that_are_all_alike():
    assert worst_shown(np.ones(5), "min") == 1.0
    assert worst_shown(np.array([1.0, 1.0, 1.0, 1.0, 9.0]), "min") == 9.0


def test_an_axis_is_logarithmic_for_what_was_drawn_so():
    random = np.random.default_rng(0)
    for _ in range(20):
        assert even_in_logarithm(10 ** random.uniform(-4, 0, 24))
        assert not even_in_logarithm(random.uniform(0, 1, 24))  # the smallest is small as well
    assert even_in_logarithm(np.geomspace(1e-3, 1, 7))
    assert not even_in_logarithm(np.array([0.0, 0.5, 0.9]))


def test_colours_of_a_heatmap_end_before_the_bad_corner():
    trials = [{"learning_rate": r, "momentum": m} for r in (0.01, 0.1, 1.0) for m in (0.0, 0.9)]
    loss = np.array([0.1, 0.2, 0.3, 0.35, 0.4, 1e8])[:, None]
    figure = made(loss, trials=trials).plot_heatmap("learning_rate", "momentum")
    image = figure.axes[0].images[0]
    assert image.norm.vmin == pytest.approx(0.1)
    assert image.norm.vmax < 10
    assert [text.get_text() for text in figure.axes[0].texts].count("1e+08") == 1
    assert figure.axes[0].patches[-1].get_xy() == (-0.5, -0.5)  # the best is framed


def test_of_equal_configurations_the_one_is_framed_that_best_names():
    trials = [{"learning_rate": r, "momentum": m} for r in (0.01, 0.1) for m in (0.0, 0.9)]
    result = made([[2.0], [1.0], [1.0], [1.0]], trials=trials)
    assert result.best().trial == 1
    frame = result.plot_heatmap("learning_rate", "momentum").axes[0].patches[-1]
    assert frame.get_xy() == (-0.5, 0.5)


def test_every_parallel_axis_has_ticks_and_few_values_one_each():
    trials = [
        {"rate": r, "b2": b, "kind": k}
        for r in np.geomspace(1e-4, 1.0, 12) for b, k in ((0.9, "a"), (0.99, "b"), (0.999, "c"))
    ]  # fmt: skip
    scores = np.linspace(0.1, 0.9, len(trials))
    axes = parallel_figure(trials, scores, "valid_accuracy", "max").axes[0]
    by_axis = [[t.get_text() for t in axes.texts if t.xy[0] == i] for i in range(4)]
    assert by_axis[1] == ["0.9", "0.99", "0.999"]
    assert by_axis[2] == ["a", "b", "c"]
    assert {"0.001", "0.01", "0.1"} <= set(by_axis[0])
    assert len(by_axis[3]) >= 4


def test_of_equals_the_first_is_the_best():
    trials = [{"a": x} for x in (0.1, 0.2, 0.3, 0.4)]
    for scores in ([0.5, 0.9, 0.9, 0.7], [NAN, 0.9, 0.9, 0.9]):
        axes = parallel_figure(trials, np.array(scores), "valid_accuracy", "max").axes[0]
        lines = [line for line in axes.lines if len(line.get_xdata()) == 2]
        thickest = max(lines, key=lambda line: line.get_linewidth())
        assert thickest.get_ydata()[0] == pytest.approx(1 / 3)


def test_in_a_page_a_parallel_line_says_its_configuration():
    trials = [{"rate": r, "kind": k} for r in (0.01, 0.1) for k in "ab"]
    figure = parallel_figure(trials, np.array([0.1, 0.4, 0.9, NAN]), "valid_accuracy", "max")
    said = re.findall("<title>(.*?)</title>", inline_svg(figure, "a", ""))
    # The one without a value ends before its axis.
    assert len(said) == 3 * len(trials) - 1
    assert len(set(said)) == len(trials)
    assert said[0] == "rate 0.1, kind b, pruned or diverged"
    assert said[-1] == "rate 0.1, kind a, valid accuracy 0.9"


def test_few_values_stand_at_equal_distances():
    axis = Axis("b2", [0.999, 0.9, 0.99, 0.9])
    assert axis.places.tolist() == [1.0, 0.0, 0.5, 0.0]
    alone = Axis("loss", np.array([1.0, 2.0, NAN]), few=False)
    assert np.isnan(alone.places[2])


def test_curves_of_an_accuracy_stay_below_what_there_can_be():
    loss = [[0.5], [1.0], [8.0]]
    figure = made(loss).plot_curves("valid_accuracy", best=3)
    assert figure.axes[0].get_ylim()[1] < 1.1


def test_samples_are_not_joined_to_a_curve():
    random = np.random.default_rng(0)
    trials = [{"a": a, "b": b} for a, b in random.uniform(0, 1, (12, 2))]
    axes = made(random.uniform(1, 2, (12, 2)), trials=trials).plot_sensitivity("a").axes[0]
    assert axes.lines[0].get_linestyle() == "None"
    alone = made([[1.0, 1.1], [2.0, 2.1]]).plot_sensitivity("learning_rate").axes[0]
    assert alone.lines[0].get_linestyle() == "-"


def test_the_best_optimizer_stands_on_top_of_the_gap():
    values = {"a": np.array([0.7, 0.8]), "lost": np.full(2, NAN), "b": np.array([0.9, 0.91])}
    intervals = {"a": (0.75, 0.1), "lost": (NAN, NAN), "b": (0.905, 0.01)}
    ticks = [
        [t.get_text() for t in drawn.axes[0].get_yticklabels()]
        for drawn in (
            generalization_gap(values, values, intervals, "accuracy", True, mode)
            for mode in ("max", "min")
        )
    ]
    assert ticks == [["b", "a", "lost"], ["a", "b", "lost"]]


def test_importances_are_of_what_matters():
    pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    trials = [{"x": x, "y": y, "n": 1} for x in np.linspace(0, 1, 6) for y in np.linspace(0, 1, 6)]
    loss = np.array([[10 * t["x"] + t["y"]] for t in trials])
    status = np.full(loss.shape, "finished", object)
    loss[-6:], status[-6:] = NAN, "diverged"  # where x is 1
    result = made(loss, status, trials)
    shares = result.importances()
    assert list(shares)[:2] == ["x", "y"]
    assert shares["x"] > 0.8
    assert sum(shares.values()) == pytest.approx(1.0)
    drawn = result.plot_importances().axes[0]
    assert drawn.patches[0].get_width() == pytest.approx(shares["x"])
    with pytest.raises(ValueError, match="two configurations"):
        made([[1.0], [NAN]], [["finished"], ["diverged"]]).importances()


def test_a_notebook_shows_a_figure_without_pyplot():
    import pickle

    figure = made([[1.0], [2.0]]).plot_sensitivity("learning_rate")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(figure)).axes[0].get_xlabel() == "learning rate"


def test_of_a_single_evaluation_a_curve_is_a_dot_with_its_interval():
    curves = {"sgd": {"train_loss": (np.array([1.0]), np.array([0.2]))}}
    figure = learning_curves(curves, {"sgd": np.array([30])}, ["train_loss"], "updates")
    ((line,), (band,)) = figure.axes[0].lines, figure.axes[0].collections
    assert (line.get_marker(), line.get_markevery()) == ("o", [0])
    assert band.get_linewidth()[0] > 0
    assert re.findall("<title>(.*?)</title>", inline_svg(figure, "a", "")) == [
        "sgd: updates 30, training loss 1"
    ]


def test_a_point_between_gaps_is_seen_and_others_stay_a_line():
    with style() as figure:
        ax = figure().subplots()
        (gaps,) = ax.plot([0, 1, 2, 3, 4, 5], [NAN, 1, NAN, 2, 3, NAN])
        (whole,) = ax.plot([0, 1], [1, 2])
        ax.plot([], [], label="a line of the legend alone")
    assert "legend alone" not in inline_svg(ax.figure, "a", "")
    assert gaps.get_markevery() == [1]
    assert whole.get_marker() == "None"


@pytest.mark.parametrize("phone", [False, True])
def test_a_long_name_stays_within_its_axis(phone):
    metric = "valid_share_of_all_the_examples_that_lie_within_a_tolerance_of_what_was_asked"
    curves = {"sgd": {metric: (np.ones(2), np.ones(2))}}

    def drawn():
        return learning_curves(curves, {"sgd": np.arange(2)}, [metric], metric)

    if phone:
        with for_phones():
            figure = drawn()
    else:
        figure = drawn()
    figure.draw_without_rendering()
    whole = figure.bbox.padded(1)
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        box = axis.label.get_window_extent()
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1
        said = re.sub(r"[\s_]", "", axis.label.get_text())
        assert said.endswith("toleranceofwhatwasasked")


def _basins(mean, mode="min"):
    mean = np.array(mean, float)
    rates = np.geomspace(1e-3, 1.0, len(mean))
    none = np.zeros(len(mean), bool)
    panel = Panel("sgd", "learning_rate", rates, mean, np.full(len(mean), NAN), none, None, None)
    return basins([panel], ["sgd"], "score", (-np.inf, np.inf), False, mode).axes[0]


@pytest.mark.parametrize(
    ("mean", "mode", "shown", "scale"),
    [([10, 1, 0.1, 2e33], "min", (0.1, 10), "log"), ([1, 2, 3, 4], "min", (1, 4), "linear"),
     ([-1, -2, -3, 1e30], "min", (-3, -1), "linear"), ([1, 2, 3, -1e9], "max", (1, 3), "linear"),
     ([0.1, 13, 10, NAN], "min", (0.1, 13), "log"), ([1.0, 1.0, 1.0], "min", (1, 1), "linear")],
)  # fmt: skip
def test_one_far_value_does_not_press_a_basin_flat(mean, mode, shown, scale):
    axes = _basins(mean, mode)
    low, high = axes.get_ylim()
    assert axes.get_yscale() == scale
    assert low <= shown[0] <= shown[1] <= high
    assert high - low < 1e5


def test_ticks_say_their_numbers_without_an_offset():
    axes = _basins([-1.0001e9, -1.0002e9, -1.0003e9])
    axes.figure.draw_without_rendering()
    assert "+" not in axes.yaxis.get_offset_text().get_text()
    assert axes.yaxis.get_offset_text().get_text() in ("", "1e9")


def test_a_long_value_is_cut_beside_its_parallel_axis_and_none_is_a_value():
    long = "a_function_of_a_long_name_that_somebody_wrote_for_clarity"
    trials = [{"inner": long, "flag": None}, {"inner": "b"}, {"inner": "b", "flag": True}]
    axes = parallel_figure(trials, np.array([0.1, 0.2, 0.3]), "valid_loss", "min").axes[0]
    inner, flag = ([t.get_text() for t in axes.texts if t.xy[0] == i] for i in range(2))
    assert max(map(len, inner)) < len(long)
    assert flag == ["None", "", "True"]
