"""`tune`: the answer, its evidence, its cost, and what it does with bad luck."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax
from lropt_jax import adam, choice, cosine_decay, fit, linear, log_uniform, sgd, tune
from lropt_jax.comparisons.match import FRESH_SEEDS
from lropt_jax.comparisons.proposals import place
from lropt_jax.comparisons.recipes import Scheduled
from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.sweeps.planning.space import listed
from lropt_jax.tuning.contenders import BASELINE
from lropt_jax.tuning.nearby import around_point
from lropt_jax.tuning.words import _against_baseline, short, warnings
from tests.compilations import counted
from tests.problems import regression

QUICK = {"steps": 20, "seeds": 2, "progress": False}


@pytest.fixture(scope="module")
def found():
    """A tuning with all there is, of which most tests ask something."""
    return tune(
        regression(), steps=40, budget=24, seeds=3, key=1, progress=False, baseline=adam(1e-4)
    )


def test_the_code_runs_when_it_is_pasted_and_is_what_was_tuned(found):
    namespace = {}
    exec(f"import lropt_jax\ntx = {found.code}", namespace)
    assert found.recommendation.code == found.code
    pasted, ours = (fit(regression(), tx, found.steps) for tx in (namespace["tx"],
                                                                  found.optimizer()))  # fmt: skip
    for mine, theirs in zip(*map(jax.tree.leaves, (pasted.params, ours.params)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)
    other = fit(regression(), found.optimizer(steps=80), 80)
    assert np.isfinite(other.history["valid_loss"][-1])


def test_the_recommendation_is_a_sentence_with_its_evidence(found):
    said = str(found.recommendation)
    assert said.startswith(f"Use {found.best['optimizer']} under a")
    assert "on 3 fresh seeds" in said
    assert "doubling the budget would be expected to gain" in said
    assert "better than your baseline by" in said
    assert re.search(r"valid accuracy [\d.]+%( \[[\d.]+, [\d.]+\])? on 3 fresh", said)
    assert said.count(" points") == 2  # than the baseline, and by a doubled budget
    assert f"\n\n    {found.code}" in said
    assert found.code in repr(found)
    assert {"optimizer", "learning_rate", "schedule", "warmup_steps"} <= set(found.best)
    assert found.best["schedule"] in ("constant", "linear", "cosine", "one_cycle")
    assert found.chosen in found.finalists
    assert found.chosen.mean == pytest.approx(np.mean(found.chosen.values))
    assert "Atlas" in found.learned_from
    assert "hand-made" not in " ".join(found.warnings)
    assert "hand-made prior" in " ".join(warnings(dataclasses.replace(found, learned_from=None)))


def test_everything_is_counted_and_the_budget_holds(found):
    range_tests = sum(test.losses.size for test in found.range_tests.values())
    assert len(found.range_tests) == 2
    tried = sum(t.updates for t in found.tried if t.status != "diverged")
    lost = sum(t.status == "diverged" for t in found.tried) * found.steps
    last = sum(len(f.values) for f in found.finalists) * found.steps
    assert found.model_steps == range_tests + tried + lost + last
    assert range_tests + tried + lost <= 24 * found.steps
    assert 24 * found.steps - (range_tests + tried + lost) < 2 * found.steps  # it is used
    assert "24 trainings" in found.plan
    assert "480 model-steps more" in found.plan  # 3 tied and the baseline, 3 seeds, 40 updates
    again = [t for t in found.tried if len(t.values) > 1]
    assert {len(t.values) for t in again} == {3}


def test_fresh_seeds_are_fresh_and_the_same_for_all(found):
    assert 2 <= len(found.finalists) <= 4
    assert found.finalists[-1].name == "baseline"
    for finalist in found.finalists:
        assert finalist.result.seeds == [FRESH_SEEDS + i for i in range(3)]
        assert finalist.test("valid_accuracy") is not None
    names = [n for r in found.board.results.values() for n in (*r.values, *r.final)]
    assert not any("test" in name for name in names)


@pytest.mark.parametrize(
    ("gain", "surely", "says"),
    [
        ([0.10, 0.11, 0.12], True, "it is better than your baseline by 11.0 [8.5, 13.5] points"),
        ([0.10, 0.11, 0.12], False, "points, which may be chance where 3 pairs are compared"),
        ([-0.10, -0.11, -0.12], False, "it is worse than your baseline by 11.0 [8.5, 13.5] p"),
        ([-0.1, 0.0, 0.12], False, "it cannot be told from your baseline (better by 1 [-27, 28] p"),
    ],
)
def test_words_and_interval_of_the_baseline_agree(gain, surely, says):
    """Nobody reads that two cannot be told apart beside an interval without 0."""
    base = SimpleNamespace(contender=SimpleNamespace(name=BASELINE), values=np.full(3, 0.5))
    chosen = SimpleNamespace(contender=SimpleNamespace(name="adam"), values=0.5 + np.array(gain))
    tuning = SimpleNamespace(
        finalists=[chosen, chosen, base], chosen=chosen, alike=[] if surely else [base],
        metric="valid_accuracy", mode="max",
    )  # fmt: skip
    assert says in _against_baseline(tuning)


def test_the_model_is_the_one_that_was_judged(found):
    model = found.trained()
    last = model.history["valid_accuracy"][-1]
    assert last == pytest.approx(found.chosen.values[0], abs=1e-7)
    other = found.trained(FRESH_SEEDS + 2)
    assert other.history["valid_accuracy"][-1] == pytest.approx(found.chosen.values[2], abs=1e-7)
    with pytest.raises(ValueError, match="seed must be one of"):
        found.trained(5)


def test_the_table_holds_all_that_was_tried(found):
    table = found.table()
    assert len(table) == len(found.tried) + 1
    values = table["valid_accuracy"].to_numpy()
    known = values[np.isfinite(values)]
    assert np.all(np.diff(known) <= 0)
    assert (table["fresh_mean"].notna()).sum() == len(found.finalists)
    row = table[table["origin"] == "baseline"].iloc[0]
    assert row["fresh_low"] <= row["fresh_mean"] <= row["fresh_high"]


def test_regret_has_an_interval(found):
    for gain in (found.regret, found.doubling):
        assert 0 <= gain.low <= gain.value <= gain.high
    assert found.doubling.value <= found.regret.value


def test_the_report_says_it_all(found, tmp_path):
    page = found.report(tmp_path / "report").read_text()
    assert found.code.replace("'", "&#39;") in page
    for words in ("On fresh seeds", "baseline", "Is it worth searching further?", "What was not"):
        assert words in page
    assert page.count("<figure>") == 4  # the curve, the basins, two range tests
    assert page.count("3 fresh seeds. A longer run") + page.count("rest on 3 seeds") == 1
    assert f"<td>{100 * max(t.value for t in found.tried):.4g}</td>" in page
    assert (tmp_path / "report" / "table.csv").exists()


def test_the_test_split_decides_nothing():
    task = regression()
    poisoned = dataclasses.replace(task, test={**task.test, "y": task.test["y"] + np.nan})
    first, second = (tune(t, budget=4, **QUICK) for t in (task, poisoned))
    assert first.best == second.best
    assert np.isfinite(first.chosen.test("valid_loss")).all()
    assert np.isnan(second.chosen.test("valid_loss")).all()


@pytest.mark.parametrize("budget", [1, "2e0", "1", "25 steps"])
def test_tiny_budgets_have_an_answer(budget):
    result = tune(regression(), budget=budget, **QUICK)
    assert 1 <= len(result.tried) <= 2
    assert result.code
    assert result.chosen.finished
    assert any("only" in line for line in result.warnings)


def test_without_a_test_split_it_chooses_all_the_same():
    result = tune(dataclasses.replace(regression(), test=None), budget=2, **QUICK)
    assert result.chosen.test("valid_loss") is None
    assert "test_mean" not in result.table()


def test_another_metric_in_the_other_direction():
    task = regression()

    def evaluate(params, state, batch):
        loss = task.evaluate(params, state, batch)["loss"]
        return {"loss": loss, "goodness": -loss}

    other = dataclasses.replace(task, evaluate=evaluate)
    with pytest.raises(ValueError, match="mode must be given"):
        tune(other, budget=2, metric="valid_goodness", **QUICK)
    by_loss = tune(other, budget=4, metric="valid_loss", **QUICK)
    by_goodness = tune(other, budget=4, metric="goodness", mode="max", **QUICK)
    assert by_loss.best == by_goodness.best
    assert by_goodness.mode == "max"
    np.testing.assert_allclose(by_loss.regret.value, by_goodness.regret.value, rtol=1e-6)


def _broken(evaluate_too=False):
    task = regression()

    def loss(params, state, batch, key):
        value, rest = task.loss(params, state, batch, key)
        return value * jnp.nan, rest

    return dataclasses.replace(task, loss=loss)


def test_where_everything_diverges_it_says_so():
    result = tune(_broken(), budget=4, **QUICK)
    assert "all" in result.recommendation
    assert "diverged" in result.recommendation
    assert result.best == {}
    assert result.code == ""
    assert {t.origin for t in result.tried} == {"list", "smaller"} or len(result.tried) == 4
    with pytest.raises(ValueError, match="nothing to recommend"):
        result.optimizer()
    with pytest.raises(ValueError, match="nothing to recommend"):
        result.trained()
    assert len(result.table()) == len(result.tried)


def test_a_metric_that_is_not_finite_is_named(tmp_path):
    task = regression()

    def evaluate(params, state, batch):
        return {"loss": task.evaluate(params, state, batch)["loss"] * jnp.nan}

    result = tune(dataclasses.replace(task, evaluate=evaluate), budget=2, **QUICK)
    assert "valid_loss is not finite for any" in result.recommendation
    assert "Nothing to recommend" in result.report(tmp_path).read_text()


def test_with_nothing_to_learn_the_list_has_rates_of_its_own():
    def loss(params, state, batch, key):
        noise = jax.random.normal(key, ())
        return 0.0 * jnp.sum(params["w"]) + noise, (state, {})

    task = dataclasses.replace(regression(), loss=loss)
    result = tune(task, budget=16, steps=60, seeds=2, progress=False)
    assert any("suggests no rate" in line for line in result.warnings)
    assert result.code


def _tuned(learning_rate, scale):
    return optax.chain(optax.scale(scale), optax.sgd(learning_rate))


def test_candidates_of_ones_own_are_tried_and_may_win():
    space = {"learning_rate": log_uniform(1e-3, 0.3), "scale": [0.5, 1.0]}
    result = tune(regression(), budget=8, candidates={"mine": (_tuned, space)}, memory=0.0, **QUICK)
    tried = {t.contender for t in result.tried}
    assert tried == {"sgd", "mine"}
    assert len({t.configuration["scale"] for t in result.tried if t.contender == "mine"}) == 2
    own = [t for t in result.tried if t.contender == "mine" and t.origin == "space"]
    assert len(own) >= 1
    only = tune(regression(), budget=3, candidates={"mine": (optax.sgd, {"learning_rate": [0.1]})},
                memory=0.0, metric="valid_loss", **QUICK)  # fmt: skip
    assert sum(t.contender == "mine" for t in only.tried) == 1  # there is one point of it


def test_a_candidate_that_wins_is_written_as_one_would(monkeypatch):
    candidates = {"mine": (optax.sgd, {"learning_rate": log_uniform(0.05, 0.2)})}
    monkeypatch.setattr("lropt_jax.tuning.protocol.shipped", lambda: (None, ()))
    result = tune(regression(), budget=6, candidates=candidates, **QUICK)
    assert result.code.startswith("optax.sgd(learning_rate=0.")
    assert result.best["optimizer"] == "mine"
    model = fit(regression(), eval(result.code, {"optax": optax}), 20)
    assert np.isfinite(model.history["valid_loss"][-1])
    assert "hand-made" not in " ".join(result.warnings)


def test_memory_leaves_out_what_is_too_large():
    result = tune(regression(), budget=4, memory=1, **QUICK)
    assert {t.contender for t in result.tried} <= {"nesterov", "rmsprop", "sgd"}
    assert result.board.contenders["nesterov"].memory == pytest.approx(1.0, abs=0.01)
    everyone = tune(regression(), budget=1, **QUICK).board.contenders
    assert everyone["adamw"].memory == pytest.approx(2.0, abs=0.01)


def test_the_baseline_is_kept_where_nothing_is_better(monkeypatch):
    monkeypatch.setattr("lropt_jax.tuning.protocol.shipped", lambda: (None, ()))
    poor = {"poor": (sgd, {"learning_rate": log_uniform(1e-9, 1e-8)})}
    result = tune(
        regression(), budget=2, candidates=poor, baseline=lambda: sgd(0.1), metric="valid_loss",
        **QUICK,
    )  # fmt: skip
    assert result.recommendation.startswith("Keep your baseline")
    assert result.code == "baseline"
    assert result.best == {"optimizer": "baseline"}
    assert np.isfinite(fit(regression(), result.optimizer(), 5).history["train_loss"][-1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"budget": 0}, "budget must be a whole number of trainings"),
        ({"budget": "5 apples"}, "budget must be"),
        ({"budget": "-1min"}, "budget must be"),
        ({"budget": True}, "budget must be"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"metric": "valid_acuracy"}, "unknown metric 'valid_acuracy'; did you mean"),
        ({"metric": "valid_loss", "mode": "low"}, "mode must be 'min' or 'max'"),
        ({"memory": -1}, "memory must be a number >= 0"),
        ({"memory": "1"}, "memory must be a number >= 0"),
        ({"candidates": [sgd]}, "candidates must map names"),
        ({"candidates": {"mine": sgd}}, r"candidates\['mine'\] must be \(factory, space\)"),
        ({"candidates": {"mine": (sgd, {"rate": [0.1]})}}, r"candidates\['mine'\].*'rate'"),
        ({"candidates": {"mine": (sgd, {})}}, r"candidates\['mine'\]"),
        ({"candidates": {"adamw": (sgd, {"learning_rate": [0.1]})}}, "a name of the list"),
        ({"candidates": {"baseline": (sgd, {"learning_rate": [0.1]})}}, "must not be named"),
        ({"baseline": sgd}, "needs learning_rate"),
        ({"baseline": 0.1}, "baseline must be a transformation"),
        ({"baseline": lambda: 3}, "baseline must return a transformation, got int"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_compiled(arguments, words):
    with pytest.raises(ValueError, match=words):
        tune(regression(), **{**QUICK, **arguments})


def test_a_task_without_a_validation_split_is_refused():
    task = dataclasses.replace(regression(), valid=None)
    with pytest.raises(ValueError, match=r"needs a task with a valid split.*this one has none"):
        tune(task, **QUICK)
    with pytest.raises(ValueError, match="task must be a Task, got function"):
        tune(regression.__wrapped__, **QUICK)


def test_the_plan_is_said_first(capsys):
    result = tune(regression(), steps=20, budget=2, seeds=2)
    said = capsys.readouterr()
    assert said.err.startswith(result.plan)
    assert said.out == ""
    assert lropt_jax.Tuning is type(result)


def test_a_second_call_compiles_nothing():
    task = regression()
    for key in (0, 1):
        with counted() as compilations:
            tune(task, budget=2, key=key, **QUICK)
    assert not compilations
    cosine = {"shape": cosine_decay, "steps": 10}
    one, same, other = (Scheduled(adam, {"b2": b2}, **cosine) for b2 in (0.9, 0.9, 0.99))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_it_says_where_nothing_was_learned(found):
    assert found.chosen.mean > 2 * np.mean(found.untrained)  # accuracies
    assert "nothing was learned" not in str(found.recommendation)
    as_before = dataclasses.replace(found)
    as_before.__dict__["untrained"] = found.chosen.values + 1e-3  # an accuracy
    said = str(as_before.recommendation)
    assert ", no better than before training (" in said
    assert "nothing was learned" in said
    as_before.__dict__["untrained"] = None  # cannot be told
    assert "nothing was learned" not in str(as_before.recommendation)


def by_layers(optimizer, learning_rate, layers):
    return optimizer(learning_rate / len(layers))


def test_candidates_of_any_kind(tmp_path):
    candidates = {
        "lists": (by_layers, {
            "optimizer": [sgd], "learning_rate": log_uniform(0.01, 1.0),
            "layers": choice([8], [8, 4]),
        }),
        "schedules": (sgd, {"learning_rate": [cosine_decay(0.3, 20), linear(0.1, 0.0, 20)]}),
    }  # fmt: skip
    found = tune(regression(), budget=10, candidates=candidates, memory=0, **QUICK)
    tried = {name: [t for t in found.tried if t.contender == name] for name in candidates}
    assert all(tried.values())
    assert {len(t.configuration["layers"]) for t in tried["lists"]} == {1, 2}
    frame = found.table()
    assert set(candidates) < set(frame["optimizer"])
    assert sgd in set(frame["config_optimizer"])
    assert found.report(tmp_path).exists()
    names = {"lropt_jax": lropt_jax, "candidates": candidates}
    for t in found.tried:
        code = found.board.contenders[t.contender].code(t.configuration)
        eval(code, {**names, "tests": __import__(__name__)}).init({"w": jnp.ones(2)})
        words = short(found.board.contenders[t.contender].words(t.configuration))
        assert "<function" not in words


def test_neighbours_of_a_point_stay_in_its_own_space():
    spaces = [
        {"make": adam, "rate": log_uniform(0.001, 0.1)},
        {"make": sgd, "rate": log_uniform(1, 9)},
    ]
    tried = {"make": sgd, "rate": 2.0}
    own = listed(spaces)[place(spaces, tried)]
    for point in draw(around_point(own, tried), 8):
        assert point["make"] is sgd
        assert 1 <= point["rate"] <= 9


def test_without_time_there_is_no_model():
    found = tune(regression(), budget="1e-6s", steps=20, seeds=2, progress=False)
    with pytest.raises(ValueError, match="no trained model: Nothing was trained"):
        found.trained()
