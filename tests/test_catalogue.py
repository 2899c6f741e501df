"""`lropt schedules`, `lropt list`, and the figure of schedules."""

from __future__ import annotations

import argparse
import io
import pathlib
import warnings

import jax
import numpy as np
import optax
import pytest

import lropt_jax as lj
from lropt_jax.commands import braille, catalogue
from lropt_jax.commands.expressions import read_schedule
from lropt_jax.plotting.schedules import common_horizon, horizon
from lropt_jax.reproductions import CLAIMS


def run(*arguments):
    parser = argparse.ArgumentParser()
    catalogue.add_parsers(parser.add_subparsers())
    options = parser.parse_args(arguments)
    options.run(options).show()


def test_list_has_a_line_for_everything(capsys):
    run("list")
    lines = capsys.readouterr().out.splitlines()
    words = [line.split()[0] for line in lines if line.startswith("  ")]
    assert words == [*lj.OPTIMIZERS, *lj.SCHEDULES, *lj.PROBLEMS, *CLAIMS]
    assert all(len(line.split()) > 2 and "$" not in line for line in lines if line[:2] == "  ")
    run("list", "schedules")
    assert "adam" not in capsys.readouterr().out.split()


def test_memory_is_what_the_states_keep(capsys):
    run("list", "--memory")
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()[2:]]
    measured = {row[0]: float(row[1]) for row in rows}
    assert {name.split("(")[0] for name in measured} == set(lj.OPTIMIZERS)
    assert list(measured.values()) == sorted(measured.values())
    foreign = {
        "sgd": optax.sgd(0.1), "sgd(momentum=0.9)": optax.sgd(0.1, momentum=0.9),
        "adam": optax.adam(0.1), "adagrad": optax.adagrad(0.1), "amsgrad": optax.amsgrad(0.1),
        "lamb": optax.lamb(0.1), "adabelief": optax.adabelief(0.1), "lars": optax.lars(0.1),
        "rmsprop(centered=True)": optax.rmsprop(0.1, centered=True),
    }  # fmt: skip
    for name, tx in foreign.items():
        assert measured[name] == round(_bytes(tx, 10_000) / 10_000, 2), name
    limits = (pathlib.Path(__file__).parents[1] / "docs" / "limits.md").read_text()
    assert printed.strip() in limits
    with pytest.raises(ValueError, match="--memory is of optimizers"):
        run("list", "schedules", "--memory")


def _bytes(tx, size):
    return sum(np.asarray(x).nbytes for x in jax.tree.leaves(tx.init(np.zeros(size, np.float32))))


def test_schedules_draws_and_saves(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "folder" / "picture.png"
    calls = ["2 * warmup(cosine_decay(0.1, 90), 10)", "reduce_on_plateau"]
    run("schedules", *calls, "--output", str(picture), "--steps", "50")
    shown = capsys.readouterr().out
    assert "cosine_decay(init_value=0.1, decay_steps=90" in shown
    assert "nothing observed" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    run(
        "schedules",
        "one_cycle",
        "--set",
        "peak_value=0.5",
        "anneal=linear",
        "--output",
        str(picture),
    )
    shown = capsys.readouterr().out
    assert "one_cycle(peak_value=0.5, total_steps=100" in shown
    assert "anneal='linear'" in shown
    assert " 0.5 │" in shown


@pytest.mark.parametrize("name", lj.SCHEDULES)
def test_every_name_alone_is_drawn(name):
    s = read_schedule(name)
    assert s.name == name
    assert np.all(np.isfinite(s([0, 10, common_horizon([s])])))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["one_cycel"], ValueError, "did you mean 'one_cycle'"),
        (["zzz"], ValueError, "unknown schedule 'zzz'. Known: constant, linear"),
        (["linear", "--set", "peak=1"], ValueError, "unknown argument of linear 'peak'. Known: in"),
        (["linear", "--set", "init_value"], ValueError, "--set takes ARGUMENT=VALUE"),
        (["linear", "--set", "init_value=x"], TypeError, "init_value must be a number, got 'x'"),
        (["linear", "--set", "transition_steps=0"], ValueError, "transition_steps must be"),
        (["linear", "--steps", "0"], ValueError, "--steps must be at least 1, got 0"),
        (["__import__('os')"], ValueError, "unknown schedule '__import__'"),
        (["linear(0, 1, 2).name"], ValueError, "cannot read"),
        (["3"], ValueError, "'3' is no schedule"),
    ],
)
def test_mistakes_are_named(arguments, error, message):
    with pytest.raises(error) as caught:
        run("schedules", *arguments)
    assert message in str(caught.value)


def test_horizons():
    warm = lj.warmup(lj.cosine_decay(0.1, 90), 10)
    assert horizon(warm) == 100
    assert horizon(lj.per_epoch(lj.step_decay(0.1, every=2), 7)) == 70
    assert horizon(lj.sequence([0.1, lj.linear(0.1, 0, 30)], [20])) == 50
    assert horizon(2.0 * warm) == 100
    assert horizon(lj.warm_restarts(0.1, 10, 2)) == 70
    assert common_horizon([lj.constant(0.1), lj.one_cycle(0.1, 250)]) == 250
    assert common_horizon([lj.constant(0.1)]) == 100


def test_braille_puts_dots_where_the_values_are():
    rising = braille.curve(np.linspace(0, 1, 8), width=4, height=2)
    assert rising == ["⠀⠀⡠⠊", "⡠⠊⠀⠀"]
    assert braille.curve([1.0, 1.0], width=2, height=1) == ["⣀⣀"]
    assert braille.curve([np.nan, np.nan], width=2, height=1) == ["⠀⠀"]
    drawing = braille.plot([0.0, 2.5], steps=40, width=10, height=3).splitlines()
    assert drawing[0].startswith("2.5 │")
    assert drawing[2].startswith("  0 │")
    assert drawing[-1].endswith("40")


def test_plot_schedules():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from lropt_jax.plotting import plot_schedules

    figure = plot_schedules({"a": lj.linear(1.0, 0.0, 30), "b": 0.5}, log=True)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(y, np.linspace(1, 0, 31)[:30], atol=1e-6)
    assert x[-1] == 29  # the last of 30 updates
    given = Figure().subplots()
    assert plot_schedules([lj.constant(1.0), lj.constant(1.0)], steps=5, ax=given) is given.figure
    labels = [text.get_text() for text in given.get_legend().get_texts()]
    assert labels == ["constant(value=1)", "constant(value=1) (2)"]
    with pytest.raises(ValueError, match="must hold at least one"):
        plot_schedules([])
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        plot_schedules(lj.constant(1.0), steps=0)


@pytest.mark.parametrize("name", lj.SCHEDULES)
def test_a_constructor_is_drawn_by_its_example(name):
    pytest.importorskip("matplotlib")
    constructor = lj.SCHEDULES[name]
    (axes,) = lj.plot_schedules({name: constructor}).axes
    counts, values = axes.lines[0].get_data()
    example = constructor.example()
    assert example.name == name
    np.testing.assert_allclose(values, example(counts), rtol=1e-6)
    assert counts[-1] == common_horizon([example]) - 1
    if name != "constant" and not example.observes:
        assert np.ptp(values) > 0  # it shows something


def test_many_or_unlike_schedules_have_a_panel_each():
    pytest.importorskip("matplotlib")
    figure = lj.plot_schedules(lj.SCHEDULES)
    assert [axes.get_title("left") for axes in figure.axes] == list(lj.SCHEDULES)
    ends = {axes.get_title("left"): axes.lines[0].get_xdata()[-1] for axes in figure.axes}
    assert ends["cosine_decay"] == 99
    assert ends["warm_restarts"] == 89
    for axes in figure.axes:  # and none with a last stroke of its own
        jumps = np.abs(np.diff(axes.lines[0].get_ydata()))
        others = np.delete(jumps, np.flatnonzero(jumps == jumps.max()))
        assert jumps[-1] <= max(others.max(initial=0), 1e-6), axes.get_title("left")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns where the layout collapses
        figure.savefig(io.BytesIO())

    def panels(*schedules, **given):
        return len(lj.plot_schedules(list(schedules), **given).axes)

    warm, momentum = lj.one_cycle(0.01, 100), lj.one_cycle_momentum(total_steps=100)
    assert panels(warm, lj.one_cycle(0.02, 100)) == 1
    assert panels(warm, momentum) == 2  # one would be flat
    assert panels(warm, lj.one_cycle(0.01, 10_000)) == 2  # one would be a stroke
    assert panels(*[0.1] * 6) == 1
    assert panels(*[0.1] * 7) == 7
    given = matplotlib_axes()
    assert lj.plot_schedules([warm, momentum], ax=given) is given.figure
    assert len(given.lines) == 2
    long = lj.plot_schedules([warm, momentum], steps=30, log=True)
    assert {axes.lines[0].get_xdata()[-1] for axes in long.axes} == {29}
    assert {axes.get_yscale() for axes in long.axes} == {"log"}


def matplotlib_axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_anything_that_gives_a_number_for_a_count_is_drawn():
    pytest.importorskip("matplotlib")

    def drops(count):
        return 0.1 if count < 5 else 0.01  # plain Python

    several = [0.1, drops, optax.cosine_decay_schedule(0.1, 10), lambda count: np.float32(0.05)]
    (axes,) = lj.plot_schedules(several, steps=10).axes
    curves = [line.get_ydata() for line in axes.lines]
    expected = [
        np.full(10, 0.1),
        np.where(np.arange(10) < 5, 0.1, 0.01),
        0.05 * (1 + np.cos(np.pi * np.arange(10) / 10)),
        np.full(10, 0.05),
    ]
    np.testing.assert_allclose(curves, expected, atol=1e-7)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0] == "0.1"
    assert "drops" in labels[1]

    @lj.schedule
    def mine(count, peak):
        return peak

    for wrong, words in ((mine, r"mine\(\.\.\.\)"), ([[1.0, 2.0]], "a number or a function")):
        with pytest.raises(TypeError, match=words):
            lj.plot_schedules(wrong)
