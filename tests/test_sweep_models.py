"""The trained models of a sweep: kept or trained again, the same to the last bit."""

from __future__ import annotations

import copy
import pickle
import warnings

import jax
import numpy as np
import optax
import pytest
from numpy.testing import assert_array_equal

from lropt_jax import (
    adam,
    choice,
    fit,
    grid,
    load_sweep,
    log_grid,
    log_uniform,
    pbt,
    reduce_on_plateau,
    sgd,
    successive_halving,
    sweep,
)
from lropt_jax.training.population import Population
from tests.sweep_problems import (
    DIVERGES,
    QUIET,
    Stopped,
    assert_same,
    fragile,
    run,
    stop_after,
    task,
)
from tests.test_sweep_executors import Here
from tests.test_sweep_growing import assert_equal

SPACE = {"learning_rate": log_grid(0.003, 1.0, 6)}


def assert_same_model(first, second):
    a, b = (jax.tree.leaves((f.params, f.model_state, f.opt_state)) for f in (first, second))
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype
        assert_array_equal(x, y)
    assert list(first.history) == list(second.history)
    for name, values in first.history.items():
        assert_array_equal(values, second.history[name])


@pytest.fixture
def no_training(monkeypatch):
    """No update is made from here on."""

    def forbid():
        def train(self, lanes, feed, updates):
            raise AssertionError("trained")

        monkeypatch.setattr(Population, "run", train)
        warnings.simplefilter("error")

    with warnings.catch_warnings():
        yield forbid


def by_hand(rate, seed, steps=20, key=0, make=optax.adam):
    """The parameters that a plain loop trains."""
    from lropt_jax.training.lanes import BatchOrder

    problem = task()
    init_key, lane_key = jax.random.split(jax.random.fold_in(jax.random.key(key), seed))
    params, _ = problem.init(init_key)
    tx = make(rate)
    state = tx.init(params)
    order = BatchOrder(np.asarray(jax.random.key_data(lane_key)), 48, problem.batch_size)(0, steps)
    for indices in order:
        batch = {k: v[indices] for k, v in problem.train.items()}
        grads = jax.grad(lambda p, b=batch: problem.loss(p, {}, b, None)[0])(params)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("kept", [False, True])
def test_it_is_what_a_plain_loop_trains(kept):
    result = run(SPACE, seeds=[5, 3], keep=2 if kept else None)
    best = result.best()
    with warnings.catch_warnings():
        warnings.simplefilter("error" if kept else "ignore")
        model = result.trained(seed=3)
    expected = by_hand(best["learning_rate"], 3)
    for name, value in model.params.items():
        np.testing.assert_allclose(value, expected[name], rtol=2e-4, atol=1e-5)
    loss = np.mean(task().evaluate(model.params, {}, task().valid)["loss"])
    np.testing.assert_allclose(model.history["valid_loss"][-1], loss, rtol=1e-5)
    assert_array_equal(model.history["step"], result.steps)


def test_by_default_the_best_of_the_first_seed(no_training):
    result = run(SPACE, seeds=[7, 2], keep=1)
    no_training()
    assert_same_model(result.trained(), result.trained(result.best().trial, 7))


@pytest.mark.parametrize("strategy", ["vmap", "map", "map:2", "shared"])
@pytest.mark.parametrize("where", ["here", "two devices", "executor"])
def test_trained_again_it_is_the_kept_one(strategy, where):
    places = {"here": {"devices": 1}, "two devices": {"devices": 2}, "executor": {}}

    def call(**keep):
        given = {"executor": Here()} if where == "executor" else places[where]
        return run(SPACE, seeds=2, strategy=strategy, **given, **keep)

    kept, plain = call(keep=6), call()
    assert_same(kept, plain)
    for trial, seed in [(0, 1), (3, 0), (5, 1)]:
        with pytest.warns(UserWarning, match=rf"no model of trial {trial} and seed {seed}.*again"):
            again = plain.trained(trial, seed)
        assert_same_model(kept.trained(trial, seed), again)


def test_keeping_changes_no_bit_and_holds_the_best_alone(no_training):
    kept = run(SPACE, seeds=2, keep=2)
    assert_equal(kept, run(SPACE, seeds=2))
    order = np.argsort(kept.means("valid_loss"), kind="stable")
    no_training()
    for trial in order[:2]:
        for seed in (0, 1):
            kept.trained(int(trial), seed)
    with pytest.raises(UserWarning, match="again"):
        kept.trained(int(order[2]))


def test_the_best_by_another_metric(no_training):
    result = run(SPACE, seeds=2, keep=1, keep_by=("valid_accuracy", "max"))
    means = result.means("valid_accuracy")
    no_training()
    assert result.best().metric == "valid_accuracy"
    assert result.best().trial == int(np.nanargmax(means))
    result.trained()


def test_diverged_trials_are_never_kept(tmp_path, no_training):
    rates = [DIVERGES, 0.1, DIVERGES, 0.2, 100.0, 0.05, 0.3]
    result = run({"learning_rate": rates}, fragile, keep=9, directory=tmp_path, steps=200)
    finished = int((result.status == "finished").all(axis=1).sum())
    assert len(list((tmp_path / "models").iterdir())) == finished < len(rates)
    no_training()
    result.trained()


def test_where_nothing_finished_nothing_is_kept():
    result = run({"learning_rate": [DIVERGES, 2 * DIVERGES]}, fragile, keep=1)
    with pytest.raises(ValueError, match="no configuration finished"):
        result.trained()


@pytest.mark.parametrize("executor", [False, True])
def test_in_a_directory(tmp_path, no_training, executor):
    def call():
        where = {"executor": Here()} if executor else {"devices": 1}
        return run(SPACE, seeds=2, keep=2, directory=tmp_path, **where)

    first = call()
    assert len(list((tmp_path / "models").iterdir())) == 4
    model = first.trained()
    no_training()
    again = call()
    assert again.trained_now == 0
    assert_same_model(again.trained(), model)


@pytest.mark.parametrize("saves", range(8))
def test_killed_it_keeps_the_same(tmp_path, monkeypatch, saves):
    whole = run(SPACE, seeds=2, keep=2)
    with monkeypatch.context() as patch:
        stop_after(patch, saves)
        with pytest.raises(Stopped):
            run(SPACE, seeds=2, keep=2, directory=tmp_path)
    resumed = run(SPACE, seeds=2, keep=2, directory=tmp_path)
    assert len(list((tmp_path / "models").iterdir())) == 4
    assert_same_model(whole.trained(), resumed.trained())
    assert resumed.trained_now <= 12 * 20


def test_a_finished_sweep_is_asked_to_keep_afterwards(tmp_path, no_training):
    plain = run(SPACE, seeds=2, directory=tmp_path)
    kept = run(SPACE, seeds=2, keep=2, directory=tmp_path)
    assert_same(plain, kept)
    assert kept.trained_now == 4 * 20
    assert kept.model_steps == plain.model_steps
    no_training()
    assert_same_model(kept.trained(), run(SPACE, seeds=2, keep=2, directory=tmp_path).trained())


def test_it_grows_and_keeps_the_best_of_all(tmp_path, no_training):
    space = {"learning_rate": log_uniform(0.003, 1.0)}
    run(space, trials=3, keep=2, directory=tmp_path)
    grown = run(space, trials=9, seeds=2, keep=2, directory=tmp_path)
    one = run(space, trials=9, seeds=2, keep=2)
    assert_equal(grown, one)
    no_training()
    order = np.argsort(one.means("valid_loss"), kind="stable")
    for trial in order[:2]:
        for seed in (0, 1):
            assert_same_model(grown.trained(int(trial), seed), one.trained(int(trial), seed))


def test_a_damaged_model_is_trained_again(tmp_path):
    first = run(SPACE, keep=1, directory=tmp_path)
    model = first.trained()
    (file,) = (tmp_path / "models").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="again"):
        assert_same_model(first.trained(), model)


HALVING = successive_halving(eta=2, min_steps=5)


@pytest.mark.parametrize("rule", [HALVING, pbt(every=5), pbt(every=10, fraction=0.5)])
def test_after_a_rule_has_decided(rule):
    kept, plain = run(SPACE, seeds=2, prune=rule, keep=6), run(SPACE, seeds=2, prune=rule)
    finished = np.flatnonzero((kept.status == "finished").all(axis=1))
    assert len(finished)
    for trial in finished:
        with pytest.warns(UserWarning, match="again"):
            again = plain.trained(int(trial), 1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_same_model(kept.trained(int(trial), 1), again)


def test_a_pruned_model_is_as_it_was_when_it_was_pruned():
    result = run(SPACE, prune=HALVING)
    trial = int(np.flatnonzero(result.reached[:, 0] == 1)[0])
    short = run(SPACE, steps=5, keep=6)
    with pytest.warns(UserWarning, match="5 updates"):
        model = result.trained(trial)
    kept = short.trained(trial)
    for name, value in kept.params.items():
        assert_array_equal(model.params[name], value)


def test_a_schedule_that_observes_and_groups_of_programs():
    def optimizer(make, peak):
        return make(reduce_on_plateau(peak, factor=0.5, patience=0))

    space = {"make": choice(sgd, adam), "peak": grid(0.05, 0.5), "batch_size": choice(8, 16)}
    kept = run(space, optimizer, keep=8, steps=40)
    plain = run(space, optimizer, steps=40)
    for trial in range(0, 8, 3):
        with pytest.warns(UserWarning, match="again"):
            assert_same_model(plain.trained(trial), kept.trained(trial))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"keep": 0}, "keep must be a whole number >= 1 or None, got 0"),
        ({"keep": 1.5}, "keep must be"),
        ({"keep_by": ("valid_loss", "min")}, "give keep=k"),
        ({"keep": 1, "keep_by": ("valid_los", "min")}, "did you mean 'valid_loss'"),
        ({"keep": 1, "keep_by": ("valid_loss", "best")}, "mode must be 'min' or 'max'"),
        ({"keep": 1, "keep_by": 3}, r"keep_by must be \(metric, mode\), got 3"),
    ],
)
def test_bad_input(arguments, words, no_training):
    no_training()
    with pytest.raises(ValueError, match=words):
        run(SPACE, **arguments)


def test_which_models_there_are():
    result = run(SPACE, seeds=[4], keep=1)
    with pytest.raises(ValueError, match=r"trial must be in \[0, 6\), got 6"):
        result.trained(6)
    with pytest.raises(ValueError, match=r"seed must be one of \[4\], got 0"):
        result.trained(seed=0)


def test_results_travel_without_their_task(tmp_path):
    result = run(SPACE, keep=1)
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert_equal(other, result)
        with pytest.raises(ValueError, match="without its task"):
            other.trained()


def test_saved_and_loaded(tmp_path):
    space = {"make": choice(sgd, adam), "learning_rate": [0.01, 0.1], "batch_size": choice(8, 16)}
    result = sweep(
        task(),
        lambda make, learning_rate: make(learning_rate),
        space,
        seeds=2,
        final_splits=("test",),
        **QUIET,
        strategy="vmap",
    )
    result.save(tmp_path / "some.folder")
    back = load_sweep(tmp_path / "some.folder")
    assert_equal(back, result)
    assert back.best() == result.best()
    assert back.best().configuration == result.best().configuration
    assert back.width == result.width
    assert back.strategy == result.strategy
    assert back.to_pandas().equals(result.to_pandas())
    with pytest.raises(ValueError, match="without its task"):
        back.trained()
    lineage = run(SPACE, prune=pbt(every=5))
    lineage.save(tmp_path)
    assert load_sweep(tmp_path).lineage == lineage.lineage


def test_what_cannot_be_loaded(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds no result"):
        load_sweep(tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Stopped):
            run(SPACE, directory=tmp_path)
    with pytest.raises(ValueError, match="has not finished: call sweep"):
        load_sweep(tmp_path)
    run(SPACE, directory=tmp_path)
    (tmp_path / "result.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"result\.npz cannot be read"):
        load_sweep(tmp_path)


def test_joined_results_have_the_models_of_both():
    a, b = run({"learning_rate": [0.1]}, keep=1), run({"learning_rate": [0.2]}, keep=1)
    both = a.joined(b)
    assert_same_model(both.trained(1), b.trained(0))
    assert_same_model(both.trained(0), a.trained(0))


def test_the_best_makes_the_optimizer():
    space = {"learning_rate": [0.01, 0.1], "b1": 0.8, "batch_size": choice(8, 16)}
    best = run(space).best()
    assert set(best) == {"learning_rate", "b1"}
    adam(**best)
    assert best["batch_size"] in (8, 16)
    assert best.configuration == {**best, "batch_size": best["batch_size"]}
    with pytest.raises(KeyError, match=r"'trial' is no hyperparameter.*attribute: \.trial"):
        best["trial"]


def test_a_trained_model_is_evaluated_and_goes_on(no_training):
    result = run(SPACE, keep=1, final_splits=("test",))
    model, best = result.trained(), result.best()
    found = model.evaluate("test")
    np.testing.assert_allclose(found["loss"], result.final["test_loss"][best.trial, 0], rtol=1e-5)
    assert model.step == 20
    further = fit(task(), adam(**best), 40, start=model)
    assert further.step == 40
