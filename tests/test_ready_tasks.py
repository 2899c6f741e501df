"""The ready tasks by their numbers: against scikit-learn, Optax and by hand."""

from __future__ import annotations

from typing import Any

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from flax import linen as nn
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from lropt_jax import (
    Dataset,
    Task,
    adam,
    classification_task,
    fit,
    language_model_task,
    regression_task,
    sgd,
)
from lropt_jax.tasks.task import check_task, summarized

RNG = np.random.default_rng(0)
N, WIDTH = 60, 5
X = RNG.normal(size=(N, WIDTH))


class Heads(nn.Module):
    """A linear map to outputs of some shape."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = int(np.prod(self.shape))
        return nn.Dense(size)(x.reshape(len(x), -1)).reshape(len(x), *self.shape)


def _measured(task: Task, split: Any, params: Any, state: Any) -> dict[str, float]:
    """The metrics of a split, averaged and summarized as the loops do."""
    values = task.evaluate(params, state, jax.tree.map(jnp.asarray, split))
    means = {name: v.mean(0) for name, v in values.items()}
    return {k: float(v) for k, v in summarized(means, task.summarize).items()}


def _outputs(task: Task, x: Any) -> tuple[Any, Any, np.ndarray]:
    params, state = task.init(jax.random.key(0))
    return params, state, np.asarray(task.predict(params, state, x), float)  # type: ignore[misc]


def _loss(task: Task, params: Any, state: Any) -> float:
    batch = jax.tree.map(jnp.asarray, task.train)
    return float(task.loss(params, state, batch, jax.random.key(1))[0])


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_regression_equals_scikit_learn(shape: tuple[int, ...]) -> None:
    """Also of targets far from 0, one that never changes, and whole numbers."""
    y = 1000 + RNG.normal(size=(N, *shape))
    if len(shape) == 2:
        y[:, 0, 1] = 7.0
    task = regression_task(Heads(shape), Dataset.of(X, y, valid=20), batch_size=30)
    check_task(task)
    params, state, _ = _outputs(task, X)
    for split in task.splits.values():
        flat = np.asarray(split["y"], float).reshape(len(split["y"]), -1)
        for scale in (1.0, 0.0):  # at 0 each target's mean, which one of them always is
            bias = jnp.asarray(flat.mean(0) + 0.5 * scale, jnp.float32)
            fitted = {"Dense_0": {"kernel": scale * params["Dense_0"]["kernel"], "bias": bias}}
            out = np.asarray(task.predict(fitted, state, split["x"]), float)  # type: ignore[misc]
            out = out.reshape(flat.shape)
            found = _measured(task, split, fitted, state)
            errors = metrics.mean_squared_error(flat, out)
            np.testing.assert_allclose(found["loss"], errors, rtol=1e-3)
            share = metrics.r2_score(flat, out)
            np.testing.assert_allclose(found["r2"], share, rtol=2e-3, atol=2e-3)
            batch = jax.tree.map(jnp.asarray, split)
            loss = task.loss(fitted, state, batch, jax.random.key(0))[0]
            np.testing.assert_allclose(loss, errors, rtol=1e-3)


@pytest.mark.parametrize(("outputs", "targets"), [((1,), ()), ((), (1,)), ((3, 1), (3,))])
def test_a_last_axis_of_one_is_no_difference(
    outputs: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    """Outputs (batch, 1) and targets (batch,) must not be broadcast to a square."""
    y = RNG.integers(0, 9, size=(N, *targets))
    task = regression_task(Heads(outputs), (X, y), batch_size=N)
    params, state, out = _outputs(task, X)
    expected = np.mean((out.reshape(N, -1) - y.reshape(N, -1)) ** 2)
    np.testing.assert_allclose(_loss(task, params, state), expected, rtol=1e-5)
    assert task.evaluate(params, state, task.train)["loss"].shape == (N,)


def test_labels_by_position_equal_optax() -> None:
    y = RNG.integers(0, 4, size=(N, 3, 2))
    task = classification_task(Heads((3, 2, 4)), (X, y), batch_size=N)
    check_task(task)
    params, state, out = _outputs(task, X)
    losses = optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(out), jnp.asarray(y))
    found = _measured(task, task.train, params, state)
    np.testing.assert_allclose(_loss(task, params, state), losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["loss"], losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["accuracy"], np.mean(out.argmax(-1) == y), rtol=1e-5)


@pytest.mark.parametrize("weights", [None, "balanced"])
def test_labels_in_a_column_are_labels(weights: Any) -> None:
    """As a table has them: an axis of 1 more."""
    y = RNG.integers(0, 3, size=N)
    row, column = (
        classification_task(Heads((3,)), (X, labels), batch_size=20, class_weights=weights)
        for labels in (y, y[:, None])
    )
    check_task(column)
    params, state, _ = _outputs(row, X)
    np.testing.assert_array_equal(*(_loss(task, params, state) for task in (row, column)))
    ours, theirs = (_measured(task, task.train, params, state) for task in (row, column))
    assert ours == theirs
    drawn = classification_task(Heads((1, 3)), (X, y[:, None]), batch_size=N)  # one position
    check_task(drawn)


@pytest.mark.parametrize("kind", [bool, int, float])
def test_yes_or_no_labels_equal_scikit_learn(kind: Any) -> None:
    y = (RNG.uniform(size=(N, 4)) < [0.1, 0.3, 0.6, 0.9]).astype(kind)
    task = classification_task(Heads((4,)), (X, y), batch_size=N)
    check_task(task)
    params, state, out = _outputs(task, X)
    chances = 1 / (1 + np.exp(-out))
    found = _measured(task, task.train, params, state)
    loss = np.mean([metrics.log_loss(a, b) for a, b in zip(y.T, chances.T, strict=True)])
    np.testing.assert_allclose([found["loss"], _loss(task, params, state)], loss, rtol=1e-5)
    np.testing.assert_allclose(found["accuracy"], np.mean((out > 0) == y), rtol=1e-5)
    f1 = metrics.f1_score(y.astype(bool), out > 0, average="micro")
    np.testing.assert_allclose(found["f1"], f1, rtol=1e-5)
    assert sorted(found) == ["accuracy", "f1", "loss"]


@pytest.mark.parametrize("outputs", [(), (1,)])
def test_one_output_says_yes_or_no(outputs: tuple[int, ...]) -> None:
    y = (X[:, 0] > 0.8).astype(int)
    task = classification_task(Heads(outputs), (X, y), batch_size=20)
    params, state, out = _outputs(task, X)
    loss = metrics.log_loss(y, 1 / (1 + np.exp(-out.reshape(-1))))
    np.testing.assert_allclose(_measured(task, task.train, params, state)["loss"], loss, rtol=1e-5)
    result = fit(task, adam(0.05), 300)
    assert _measured(task, task.train, result.params, result.model_state)["f1"] > 0.9


def test_f1_of_nothing_found_is_nought() -> None:
    task = classification_task(Heads((2,)), (X, np.zeros((N, 2), int)), batch_size=N)
    params = {"Dense_0": {"kernel": jnp.zeros((WIDTH, 2)), "bias": -jnp.ones(2)}}
    assert _measured(task, task.train, params, {})["f1"] == 0


def test_one_hot_rows_are_asked_about() -> None:
    labels = RNG.integers(0, 3, N)
    y = np.eye(3)[labels]
    with pytest.raises(ValueError, match=r"argmax\(-1\) or multilabel=False"):
        classification_task(Heads((3,)), (X, y))
    one = classification_task(Heads((3,)), (X, y), batch_size=N, multilabel=False)
    other = classification_task(Heads((3,)), (X, labels), batch_size=N)
    params, state, _ = _outputs(one, X)
    assert _loss(one, params, state) == _loss(other, params, state)
    yes_or_no = classification_task(Heads((3,)), (X, y), batch_size=N, multilabel=True)
    assert yes_or_no.metric_names == ["accuracy", "f1", "loss"]


WEIGHTS = [0.5, 1.0, 4.0]


@pytest.mark.parametrize("given", [WEIGHTS, np.array(WEIGHTS), {0: 0.5, 2: 4}])
@pytest.mark.parametrize("positions", [(), (2,)])
def test_class_weights_are_a_weighted_mean(given: Any, positions: tuple[int, ...]) -> None:
    y = RNG.choice(3, size=(N, *positions), p=[0.6, 0.3, 0.1])
    model = Heads((*positions, 3))
    task = classification_task(model, (X, y), batch_size=N, class_weights=given)
    check_task(task)
    params, state, out = _outputs(task, X)
    loss = metrics.log_loss(
        y.reshape(-1),
        np.asarray(jax.nn.softmax(out)).reshape(-1, 3),
        sample_weight=np.asarray(WEIGHTS)[y.reshape(-1)],
    )
    np.testing.assert_allclose(_loss(task, params, state), loss, rtol=1e-5)
    found = _measured(task, task.train, params, state)
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(found["accuracy"], np.mean(out.argmax(-1) == y), rtol=1e-5)
    assert task.metric_names == ["accuracy", "loss"]


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    y = RNG.choice(3, size=N, p=[0.6, 0.3, 0.1])
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=y)
    one, other = (
        classification_task(Heads((3,)), (X, y), N, class_weights=w) for w in ("balanced", balanced)
    )
    params, state, _ = _outputs(one, X)
    np.testing.assert_allclose(_loss(one, params, state), _loss(other, params, state), rtol=1e-6)


def test_a_batch_without_weight_has_no_loss_and_a_finite_gradient() -> None:
    task = classification_task(
        Heads((2,)), (X, np.arange(N) % 2), batch_size=2, class_weights=[0.0, 1.0]
    )
    params, state, _ = _outputs(task, X)
    batch = {"x": jnp.asarray(X[:2], jnp.float32), "y": jnp.zeros(2, int)}
    loss, grads = jax.value_and_grad(lambda p: task.loss(p, state, batch, jax.random.key(0))[0])(
        params
    )
    assert loss == 0
    assert all(np.all(g == 0) for g in jax.tree.leaves(grads))


def test_augmentation_is_of_training_batches_alone_and_keeps_dropout_apart() -> None:
    def shifted(batch: Any, key: Any) -> Any:
        return {"x": batch["x"] + jax.random.normal(key, (1, 1)), "y": batch["y"]}

    y = RNG.integers(0, 3, N)
    plain, moved = (classification_task(Heads((3,)), (X, y), N, augment=f) for f in (None, shifted))
    params, state, _ = _outputs(plain, X)
    batch = jax.tree.map(jnp.asarray, plain.train)
    losses = [moved.loss(params, state, batch, jax.random.key(s))[0] for s in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert losses[0] != _loss(plain, params, state)
    assert _measured(moved, moved.train, params, state) == _measured(
        plain, plain.train, params, state
    )
    assert (
        cloudpickle.loads(cloudpickle.dumps(moved)).loss(params, state, batch, jax.random.key(1))[0]
        == losses[0]
    )


def test_mixed_labels_are_distributions() -> None:
    """Mixup by hand: 0.7 of each example and 0.3 of its mirror image in the batch."""

    def mixed(batch: Any, key: Any) -> Any:
        one_hot = jax.nn.one_hot(batch["y"], 3)
        return jax.tree.map(lambda a: 0.7 * a + 0.3 * a[::-1], {"x": batch["x"], "y": one_hot})

    y = RNG.integers(0, 3, N)
    task = classification_task(Heads((3,)), (X, y), N, augment=mixed)
    params, state, _ = _outputs(task, X)
    x, soft = (0.7 * a + 0.3 * a[::-1] for a in (X, np.eye(3)[y]))
    out = task.predict(params, state, jnp.asarray(x, jnp.float32))  # type: ignore[misc]
    expected = optax.softmax_cross_entropy(out, jnp.asarray(soft, jnp.float32)).mean()
    np.testing.assert_allclose(_loss(task, params, state), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("augment", "error", "words"),
    [
        (3, TypeError, ["augment", "(batch, key)"]),
        (lambda batch: batch, ValueError, ["augment fails", "float32[20,5]"]),
        (lambda batch, key: batch["x"], ValueError, ["augment must return", "float32[20,5]"]),
    ],
)
def test_bad_augmentations_are_one_clear_error(augment: Any, error: Any, words: list[str]) -> None:
    with pytest.raises(error) as caught:
        regression_task(Heads(()), (X, X[:, 0]), 20, augment=augment)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_half_precision_computes_in_it_and_keeps_what_the_optimizer_sees() -> None:
    y = X @ RNG.normal(size=(WIDTH, 2))
    task = regression_task(Heads((2,)), (X, y), 20, dtype="bfloat16")
    params, state, out = _outputs(task, X)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float32"}
    assert np.array_equal(out, np.asarray(jnp.asarray(out, jnp.bfloat16), float))
    grads = jax.grad(lambda p: task.loss(p, state, task.train, jax.random.key(0))[0])(params)
    assert {a.dtype.name for a in jax.tree.leaves(grads)} == {"float32"}
    result = fit(task, adam(0.1), 200)
    assert _measured(task, task.train, result.params, result.model_state)["r2"] > 0.99


@pytest.mark.parametrize("dtype", ["int32", "float64", "half a float", 3])
def test_a_dtype_that_is_none_is_refused(dtype: Any) -> None:
    with pytest.raises(ValueError, match="dtype"):
        regression_task(Heads(()), (X, X[:, 0]), 20, dtype=dtype)


class Bigram(nn.Module):
    """Each letter's distribution after the last one."""

    letters: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Embed(self.letters, self.letters)(x)


def test_windows_of_tokens_cover_each_target_once_and_splits_do_not_touch() -> None:
    tokens = np.arange(203)
    task = language_model_task(Bigram(203), tokens, length=8, batch_size=4)
    assert task.num_examples == {"train": 20, "valid": 2, "test": 2}
    for name, first, last in (("train", 0, 163), ("valid", 163, 183), ("test", 183, 203)):
        split = task.splits[name]
        np.testing.assert_array_equal(split["y"], split["x"] + 1)
        whole = (last - first - 1) // 8 * 8
        np.testing.assert_array_equal(split["x"].ravel(), np.arange(first, first + whole))
        assert split["x"].dtype == np.int32


def test_a_language_model_learns_the_entropy_of_a_chain() -> None:
    """Two letters that stay with probability .9: the entropy is .325 nats, by hand."""
    tokens = np.cumsum(RNG.uniform(size=40_000) > 0.9) % 2
    task = language_model_task(Bigram(2), tokens.astype(np.uint8), length=50, batch_size=32)
    assert task.metric_names == ["accuracy", "loss", "perplexity"]
    history = fit(task, adam(0.1), 200).history
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    np.testing.assert_allclose(history["valid_loss"][-1], entropy, atol=0.03)
    np.testing.assert_allclose(history["valid_accuracy"][-1], 0.9, atol=0.02)
    np.testing.assert_allclose(
        history["valid_perplexity"][-1], np.exp(history["valid_loss"][-1]), rtol=1e-5
    )


def test_tokens_by_split() -> None:
    parts = {"train": np.arange(33) % 5, "test": list(range(5)) * 3}
    task = language_model_task(Bigram(5), parts, 4, batch_size=2)
    assert task.num_examples == {"train": 8, "test": 3}
    check_task(task)


@pytest.mark.parametrize(
    ("tokens", "length", "words"),
    [
        (np.ones(100), 4, ["tokens", "whole numbers", "float64"]),
        (np.ones((10, 10), int), 4, ["tokens", "(10, 10)"]),
        (np.ones(100, int), 0, ["length", "0"]),
        (np.ones(100, int), 10, ["valid", "11 tokens", "got 10"]),
        (np.full(100, 2**31), 4, ["labels must be in [0, 5)", "2147483648"]),
        (np.full(100, 5), 4, ["labels must be in [0, 5)", "5 to 5"]),
        (np.full(100, -1), 4, ["labels must be in [0, 5)", "-1"]),
        ({"valid": np.ones(100, int)}, 4, ["train split"]),
        ({"train": np.ones(100, int), "vaild": np.ones(100, int)}, 4, ["vaild", "valid"]),
        ("some text", 4, ["tokens", "numpy.frombuffer(text.encode(), numpy.uint8)"]),
        (b"some text", 4, ["tokens", "numpy.frombuffer(text, numpy.uint8)"]),
    ],
)
def test_bad_tokens_are_one_clear_error(tokens: Any, length: int, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        language_model_task(Bigram(5), tokens, length, 2)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_ids_that_would_wrap_are_refused_whatever_the_task() -> None:
    ids = RNG.integers(0, 2**40, size=(N, 3))
    with pytest.raises(ValueError, match="int32 cannot hold"):
        regression_task(Heads(()), (ids, X[:, 0]))


def _frame() -> pd.DataFrame:
    return pd.DataFrame(X, columns=list("abcde")).assign(yes=X[:, 0] > 0)


@pytest.mark.parametrize(
    "data",
    [
        (X, X[:, 0] > 0),
        [X, X[:, 0] > 0],
        (X.tolist(), (X[:, 0] > 0).tolist()),
        {"x": X, "y": X[:, 0] > 0},
        {"train": (X, X[:, 0] > 0), "valid": {"x": X[:9], "y": X[:9, 0] > 0}, "test": None},
        (_frame(), _frame()["yes"]),
        Dataset.of(_frame(), _frame()["yes"].astype("category").cat.codes),
        (jnp.asarray(X), jnp.asarray(X[:, 0] > 0)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_data_in_every_form(data: Any) -> None:
    task = classification_task(Heads((2,)), data, batch_size=16)
    check_task(task)
    assert fit(task, sgd(0.1), 3).history["train_loss"][-1] < 2


def test_inputs_may_be_a_mapping_of_arrays() -> None:
    class Both(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> jax.Array:
            return nn.Dense(1)(x["a"]) + nn.Embed(9, 1)(x["b"][:, 0])

    x = {"a": X, "b": RNG.integers(0, 9, (N, 1))}
    task = regression_task(Both(), Dataset.of(x, X[:, 0], valid=0.2), batch_size=16)
    assert task.train["x"]["b"].dtype == np.int32
    assert fit(task, adam(0.1), 200).history["valid_r2"][-1] > 0.9


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: regression_task(Heads((2,)), (X, X[:, 0])), ["(batch)", "(60,)", "(1, 2)"]),
        (lambda: regression_task(Heads((2, 1)), (X, X)), ["(batch, 5)", "(1, 2, 1)"]),
        (lambda: regression_task(Heads(()), (X, X[:, 0] > 0)), ["classification_task"]),
        (lambda: regression_task(Heads(()), (X, X[:, 0] / 0 * 0)), ["finite", "60 of its 60"]),
        (lambda: regression_task(Heads(()), (X, X[:, 0] * 1j)), ["real", "complex128"]),
        (lambda: regression_task(Heads(()), (X, ["a"] * N)), ["y of train", "numpy.unique"]),
        (lambda: regression_task(Heads(()), X), ["(X, y)", "ndarray"]),
        (lambda: regression_task(Heads(()), {"training": (X, X)}), ["'training'", "'train'"]),
        (lambda: regression_task(Heads(()), {"valid": (X, X)}), ["no train split"]),
        (lambda: classification_task(Heads((3,)), (X, X[:, 0])), ["whole-number", "regression"]),
        (
            lambda: classification_task(Heads((3,)), (X, np.ones(N))),
            ["whole-number", "astype(int)"],
        ),
        (lambda: classification_task(Heads((5,)), (X, X)), ["0 or 1 everywhere"]),
        (lambda: classification_task(Heads((3,)), (X[:0], X[:0, 0] > 0)), ["train is empty"]),
        (
            lambda: regression_task(Heads(()), {"train": (X, X[:, 0]), "valid": (X[:0], X[:0, 0])}),
            ["valid is empty"],
        ),
        (lambda: classification_task(Heads((3,)), (X, X[:9, 0] > 0)), ["same number of examples"]),
        (lambda: classification_task(Heads((2,)), (X, np.eye(60, 3) > 0)), ["(batch, 3)"]),
        (lambda: _weighted([1, 2]), ["class_weights", "3 finite"]),
        (lambda: _weighted([1, 2, -1]), ["class_weights", "-1"]),
        (lambda: _weighted([0, 0, 0]), ["class_weights", "all be 0"]),
        (lambda: _weighted("even"), ["class_weights", "balanced", "even"]),
        (lambda: _weighted({3: 1.0}), ["class_weights", "[0, 3)"]),
        (
            lambda: classification_task(Heads((1,)), (X, X[:, 0] > 0), class_weights=[1, 2]),
            ["class_weights", "one class each"],
        ),
    ],
)
def test_what_does_not_fit_is_one_clear_error(make: Any, words: list[str]) -> None:
    with np.errstate(all="ignore"), pytest.raises(ValueError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def _weighted(weights: Any) -> Task:
    return classification_task(Heads((3,)), (X, np.arange(N) % 3), class_weights=weights)


def test_examples_are_divided_in_proportion_and_always_alike() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 10])
    x = np.arange(100.0).reshape(100, 1)
    data = Dataset.of(x, y, valid=20, test=0.3)
    for split, size in zip(data, (50, 20, 30), strict=True):
        assert np.bincount(split["y"]).tolist() == [0.6 * size, 0.3 * size, 0.1 * size]
        np.testing.assert_array_equal(split["y"], y[split["x"][:, 0].astype(int)])
    together = np.concatenate([split["x"][:, 0] for split in data])
    np.testing.assert_array_equal(np.sort(together), np.arange(100))
    again, other = (Dataset.of(x, y, valid=20, test=0.3, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(again.train["x"], data.train["x"])
    assert not np.array_equal(other.train["x"], data.train["x"])


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"valid": 0}, ["valid", "0"]),
        ({"valid": 1.5}, ["valid", "1.5"]),
        ({"test": True}, ["test", "True"]),
        ({"valid": 40, "test": 20}, ["nothing", "60"]),
        ({"test": 0.001}, ["test=0.001", "empty"]),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes: Any, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        Dataset.of(X, X[:, 0], **sizes)
    assert all(word in str(caught.value) for word in words), str(caught.value)
