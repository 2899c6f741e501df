"""The Atlas's instruments, before any order is read off them: on rows whose losses are known."""

import json
import re
from importlib import resources

import numpy as np
import pytest
from scipy import stats

import lropt_jax
from lropt_jax import expected_best
from lropt_jax.atlas import basins, scores
from lropt_jax.atlas.losses import Results
from lropt_jax.atlas.page import page_data, write_page
from lropt_jax.atlas.rows import as_parquet, combined, small
from lropt_jax.pages.rendering import style_sheet
from tests.atlas_rows import OPTIMIZERS, made_up
from tests.browser import answers


@pytest.fixture(scope="module")
def frame():
    return made_up()


@pytest.fixture(scope="module")
def results(frame):
    return Results(frame)


def test_a_a_an_optimizer_under_two_names_is_seldom_called_better():
    # Lanes as they come: paired seeds, skewed, one in a hundred lost.
    random = np.random.default_rng(0)
    called = 0
    for _ in range(1000):
        shared = random.normal(size=10)
        lanes = 0.1 * np.exp(0.3 * (shared + random.normal(size=(2, 10))))
        lanes[random.random((2, 10)) < 0.01] = 0.9
        called += scores.better(lanes).any()
    assert stats.beta.ppf(0.95, called + 1, 1000 - called) <= 0.075


def test_the_same_lanes_are_tied():
    lanes = np.random.default_rng(0).normal(size=(1, 10)).repeat(2, axis=0)
    assert not scores.better(lanes).any()
    assert scores.tied(scores.better(lanes), ["qhadam(1, 1)", "adam"]) == ["qhadam(1, 1)", "adam"]


def test_a_b_a_rate_prior_that_is_too_wide_costs_at_few_configurations_only():
    # One curve of the loss over the rate; a prior of 4 decades about its minimum, and one of 7.
    random = np.random.default_rng(1)

    def loss(rates):
        return 0.2 + np.minimum(0.1 * np.log10(rates / 0.01) ** 2, 0.7)

    narrow = [
        expected_best(loss(10 ** random.uniform(-4, 0, 64)), bounds=(0, 1)) for _ in range(40)
    ]
    wide = [
        expected_best(loss(10 ** random.uniform(-5.5, 1.5, 64)), bounds=(0, 1)) for _ in range(40)
    ]
    difference = np.array([w[0] - n[0] for w, n in zip(wide, narrow, strict=True)])
    standard_error = difference.std(axis=0) / np.sqrt(40)
    assert (difference.mean(axis=0)[:4] > 5 * standard_error[:4]).all()
    assert difference.mean(axis=0)[-1] < 0.01 * difference.mean(axis=0)[0]


def test_losses_are_errors_and_none_is_worse_than_having_learned_nothing(frame):
    lost = frame.copy()
    one = (lost.problem == "yeast") & (lost.optimizer == "sgd") & (lost.phase == "retrain")
    lost.loc[one, "test_loss"] = np.nan
    found = Results(lost)
    sgd = found.optimizers.index("sgd")
    assert found.problems == ["digits_linear", "yeast"]
    np.testing.assert_allclose(found.tested("all")[1, sgd], 0.9)
    adamw = found.optimizers.index("adamw")
    rows = found.chosen("digits_linear", "adamw", "all")
    np.testing.assert_allclose(found.tested("all")[0, adamw], 1 - rows.test_accuracy)
    assert len(rows) == 10


def test_the_order_that_was_put_in_comes_out_with_its_tie(results):
    losses = results.tested("all")
    for of_problem in losses:
        order = scores.better(of_problem)
        assert scores.tied(order, results.optimizers) == ["adamw", "nadamw"]
        low, high = scores.rank_intervals(order)
        ranked = dict(zip(results.optimizers, zip(low, high, strict=True), strict=True))
        assert ranked == {"adamw": (1, 2), "nadamw": (1, 2), "sgdw": (3, 3), "sgd": (4, 4)}
    found = scores.over_problems_and_seeds(scores.mean_ranks, losses)
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()
    words = scores.order_words(results.optimizers, found)
    assert re.match(r"No order between n?adamw and n?adamw: their intervals overlap\.", words)


def test_a_first_that_stands_alone_is_named():
    found = scores.Estimates(np.array([1.0, 2.0]), np.array([1.0, 1.9]), np.array([1.2, 2.1]))
    assert scores.order_words(["a", "b"], found) == "a is first."


def test_problems_that_do_not_agree_are_said_not_to():
    random = np.random.default_rng(0)
    agreeing = np.arange(8.0)[None, :, None] + random.normal(size=(6, 8, 10))
    assert scores.opening(agreeing).startswith("These problems agree")
    assert scores.agreement(agreeing) > 0.8
    assert min(scores.told_by_the_others(agreeing)) > 0.8
    contrary = random.normal(size=(6, 8, 1)) * 10 + random.normal(size=(6, 8, 10))
    assert scores.opening(contrary).startswith("These problems do not agree")
    assert scores.opening(contrary[:1]) == "One problem alone says nothing about others."


def test_the_target_is_the_median_of_the_reruns_of_the_best_reference(results, frame):
    rows = frame[(frame.problem == "yeast") & (frame.phase == "target")]
    tuned = frame[(frame.problem == "yeast") & (frame.phase == "tune")]
    best = tuned.loc[tuned.valid_loss.idxmin()].optimizer
    assert results.target("yeast") == pytest.approx(
        rows[rows.optimizer == best].valid_loss.median()
    )


def test_updates_to_the_target(results):
    times = results.times()
    assert times.shape == (2, 4, 10)
    yeast, adamw = times[1], results.optimizers.index("adamw")
    reached = np.isfinite(yeast[adamw])
    assert 0 < reached.sum() <= 10
    assert set(yeast[adamw][reached]) <= set(np.arange(100.0, 1001.0, 100.0))
    assert np.isinf(yeast[results.optimizers.index("sgd")]).all()
    scored = scores.scores_of(times)
    assert scored[adamw] > scored[results.optimizers.index("sgd")] == 0


def test_short_cuts_that_mislead_are_counted():
    # By defaults, whose rate is ten times too low, nothing changes; a worse name is put first once.
    table = made_up(noise=0.001)
    defaults = (table.phase == "retrain") & (table.trial == -1)
    sgd = defaults & (table.optimizer == "sgd") & (table.problem == "yeast")
    table.loc[sgd, "test_loss"] = 0.0
    found = {row["short cut"]: row for row in basins.reversals(Results(table))}
    assert set(found) == {
        "one seed", "defaults only", "a small tuning budget", "the rate only",
        "a constant schedule",
    }  # fmt: skip
    assert found["defaults only"]["winner is not best"] == 0.5
    assert 0 < found["defaults only"]["pairs reversed"] <= 0.5
    assert found["one seed"]["pairs reversed"] < 0.05


def test_the_basin_of_a_parabola(results):
    found = basins.basin(results, "yeast", "adamw")
    best = found["rates"][np.argmin(found["losses"])]
    assert 0.003 < best < 0.03
    # 0.1 (log10)^2 loses a tenth of 0.7 within 0.84 of a decade on either side.
    assert 1.0 <= found["decades"] <= 2.5
    assert found["sensitivity"] > 0
    by_schedule = basins.by_schedule(results, "yeast", "adamw")
    assert set(by_schedule) == {"constant", "linear", "cosine", "one_cycle"}


def test_a_tuning_curve_falls_and_has_a_band(results):
    mean, low, high = results.tuning_curve("digits_linear", "adamw")
    assert len(mean) == 64
    assert (np.diff(mean) <= 1e-12).all()
    assert (low <= high).all()


def test_the_same_rows_give_the_same_page_and_a_line_that_runs(frame, tmp_path):
    frame.attrs = {"data": "abc"}
    first = write_page(page_data(frame), tmp_path / "a.html").read_text()
    assert first == write_page(page_data(frame), tmp_path / "b.html").read_text()
    assert "http://" not in first.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in first
    held = json.loads(re.search(r"const atlas = (\{.*\});", first).group(1))
    assert held["data"] == "abc"
    assert len(held["problems"]) == 2
    row = held["problems"][0]["budgets"]["all"]["rows"]["sgdw"]
    assert hasattr(eval(row["code"], {"lropt_jax": lropt_jax}), "update")


TWO_CLICKS = """
const press = (where, text) => [...document.querySelectorAll(where + " button")].find(b => b.textContent.startsWith(text)).click();
press("#problems", "yeast"); press("#budgets", "8");
const rows = [...document.querySelectorAll("#table tbody tr")];
const before = document.querySelector("#codes code").textContent;
press("#table tbody", "sgdw");
return {line: before, both: [...document.querySelectorAll("#codes code")].length, rows: rows.length,
        tied: rows.filter(r => r.className === "best").length, curves: document.querySelectorAll("#curves path").length,
        basins: document.querySelectorAll("#smalls figure").length, at: location.hash,
        values: document.querySelectorAll("#curves .hits title").length};
"""  # noqa: E501


def test_the_page_answers_in_two_clicks(frame, tmp_path):
    found = page_data(frame)
    page = write_page(found, tmp_path / "a.html").read_text()
    assert style_sheet() in page  # the look of every page
    assert not re.search(
        r"#[0-9a-f]{6}", resources.files("lropt_jax.atlas").joinpath("page.css").read_text()
    )
    said = answers(page, TWO_CLICKS, tmp_path)
    problem = next(p for p in found["problems"] if p["name"] == "yeast")
    at = problem["budgets"]["few"]
    best = min(at["rows"], key=lambda name: at["rows"][name]["loss"][0])
    assert said["line"] == at["rows"][best]["code"]
    assert said["both"] == (1 if best == "sgdw" else 2)
    assert said["rows"] == said["basins"] == len(at["rows"])
    assert said["tied"] == len({best, *at["tied"]})
    assert said["curves"] % 2 == 0  # a band and a line each
    assert said["values"] > 0
    assert said["at"] == "#yeast/few/sgdw"


def test_an_optimizer_that_is_not_known_here_is_shown_too(frame):
    own = frame[frame.optimizer == "sgd"].assign(optimizer="mine")
    import pandas as pd

    found = page_data(pd.concat([frame, own], ignore_index=True))
    assert [o["name"] for o in found["optimizers"]][-1] == "mine"
    code = found["problems"][0]["budgets"]["defaults"]["rows"]["mine"]["code"]
    assert code == "mine: one_cycle, learning_rate=0.001"


def test_rows_as_they_ship_say_the_same_and_are_small(frame, tmp_path):
    path = tmp_path / "yeast.parquet"
    path.write_bytes(as_parquet(small(frame)))
    assert path.read_bytes() == as_parquet(small(frame))
    again = combined([path])
    assert len(again) == len(frame)
    np.testing.assert_allclose(
        Results(again).tested("all"), Results(frame).tested("all"), rtol=1e-6
    )
    np.testing.assert_allclose(Results(again).times(), Results(frame).times())
    assert set(again.optimizer) == set(OPTIMIZERS)


def test_rows_that_have_nothing_to_show_are_refused_in_words(frame):
    with pytest.raises(ValueError, match="the Atlas has no rows"):
        page_data(frame[:0])
    first, second = dict.fromkeys(frame.problem)
    apart = frame[(frame.problem == first) == (frame.optimizer == "sgd")]
    with pytest.raises(ValueError, match=f"on all problems of these rows, {first}, {second}"):
        page_data(apart)
