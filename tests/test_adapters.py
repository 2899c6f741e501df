"""Tasks out of Flax modules, linen and nnx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from lropt_jax import Dataset, Task, classification_task
from lropt_jax.tasks.adapters.objectives import cross_entropy
from lropt_jax.tasks.task import check_task

CLASSES, WIDTH, BATCH = 3, 5, 8


class Linen(nn.Module):
    """Batch-norm and dropout, told by `train` whether to."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.relu(nn.Dense(16)(x))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.Dropout(self.rate, deterministic=not train)(x)
        return nn.Dense(CLASSES)(x)


class Nnx(nnx.Module):
    """The same net."""

    def __init__(self, rngs: nnx.Rngs, rate: float = 0.5) -> None:
        self.layers = nnx.List([nnx.Linear(WIDTH, 16, rngs=rngs), nnx.Linear(16, 3, rngs=rngs)])
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(rate, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.norm(nnx.relu(self.layers[0](x)))
        return self.layers[1](self.dropout(x))


def _nnx_without_dropout(rngs: nnx.Rngs) -> Nnx:
    return Nnx(rngs, rate=0.0)


def _data(n: int = 40) -> Dataset:
    rng = np.random.default_rng(0)

    def split(n: int) -> dict[str, np.ndarray]:
        y = rng.integers(0, CLASSES, n).astype(np.int32)
        x = rng.normal(size=(n, WIDTH)).astype(np.float32)
        x[np.arange(n), y] += 3
        return {"x": x, "y": y}

    return Dataset(split(n), split(12), split(12))


MODELS = {"linen": Linen(), "nnx": Nnx}


@pytest.fixture(params=MODELS)
def task(request: pytest.FixtureRequest) -> Task:
    return classification_task(MODELS[request.param], _data(), batch_size=BATCH)


def _batch(task: Task) -> Any:
    return jax.tree.map(lambda x: jnp.asarray(x[:BATCH]), task.train)


def test_the_functions_fit_together(task: Task) -> None:
    check_task(task)
    values = task.evaluate(*task.init(jax.random.key(0)), _batch(task))
    assert {k: (v.shape, v.dtype) for k, v in values.items()} == {
        "loss": ((BATCH,), jnp.float32),
        "accuracy": ((BATCH,), jnp.float32),
    }


def test_a_population_trains_in_one_scan(task: Task) -> None:
    """vmap over lanes of a scan over steps: the state's structure and dtypes stay as they are."""
    tx = optax.adam(0.02)
    train = jax.tree.map(jnp.asarray, task.train)

    def run(key: jax.Array) -> Any:
        params, state = task.init(key)

        def step(carry: Any, key: jax.Array) -> Any:
            params, state, opt = carry
            index = jax.random.choice(key, 40, (BATCH,))
            batch = jax.tree.map(lambda x: x[index], train)
            grads = jax.grad(task.loss, has_aux=True)
            g, (state, _) = grads(params, state, batch, key)
            updates, opt = tx.update(g, opt)
            return (optax.apply_updates(params, updates), state, opt), None

        carry = (params, state, tx.init(params))
        (params, new, _), _ = jax.lax.scan(step, carry, jax.random.split(key, 150))
        return state, new, task.evaluate(params, new, task.test)["accuracy"].mean()

    before, after, accuracy = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), 2))
    assert np.all(accuracy > 0.8), accuracy
    assert len(jax.tree.leaves(after)) == 2  # the batch-norm's mean and variance, nothing else
    assert all(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True))


def test_a_population_can_be_sharded(task: Task) -> None:
    """shard_map over two devices of vmap over lanes: the same losses as without it."""
    mesh = jax.make_mesh((2,), ("lanes",), axis_types=(jax.sharding.AxisType.Auto,))
    lanes, batch = jax.sharding.PartitionSpec("lanes"), _batch(task)

    def losses(keys: jax.Array) -> Any:
        def one(key: jax.Array) -> Any:
            loss, (state, _) = task.loss(*task.init(key), batch, key)
            return loss, state

        return jax.vmap(one)(keys)

    keys = jax.random.split(jax.random.key(0), 4)
    sharded = jax.shard_map(losses, mesh=mesh, in_specs=lanes, out_specs=lanes, check_vma=False)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        jax.jit(sharded)(keys),
        jax.jit(losses)(keys),
    )


def test_a_step_is_a_pure_function_of_its_key(task: Task) -> None:
    params, state = task.init(jax.random.key(0))
    loss = jax.jit(task.loss)
    one, two, other = (
        loss(params, state, _batch(task), jax.random.key(seed)) for seed in (1, 1, 2)
    )
    assert one[0] == two[0]
    jax.tree.map(np.testing.assert_array_equal, one[1], two[1])
    assert one[0] != other[0]


def test_raw_keys_are_taken_too(task: Task) -> None:
    params, state = task.init(jax.random.PRNGKey(0))
    jax.tree.map(np.testing.assert_array_equal, params, task.init(jax.random.key(0))[0])
    old = task.loss(params, state, _batch(task), jax.random.PRNGKey(3))[0]
    assert old == task.loss(params, state, _batch(task), jax.random.key(3))[0]


def test_evaluation_uses_running_statistics_and_no_dropout(task: Task) -> None:
    params, state = task.init(jax.random.key(0))
    batch = _batch(task)
    whole = task.evaluate(params, state, batch)["loss"]
    alone = task.evaluate(params, state, jax.tree.map(lambda x: x[:1], batch))["loss"]
    np.testing.assert_allclose(whole[:1], alone, rtol=1e-5)
    moved = jax.tree.map(lambda s: s + 1, state)
    assert not np.allclose(whole, task.evaluate(params, moved, batch)["loss"])


def test_it_survives_cloudpickle(task: Task) -> None:
    copy = cloudpickle.loads(cloudpickle.dumps(task))
    args = (*task.init(jax.random.key(0)), _batch(task), jax.random.key(1))
    assert task.loss(*args)[0] == copy.loss(*args)[0]


@pytest.mark.parametrize("model", [Linen(), Nnx], ids=["linen", "nnx"])
def test_equal_models_share_compiled_programs(model: Any) -> None:
    one, two = (classification_task(model, _data(), BATCH) for _ in range(2))
    assert one.loss == two.loss
    assert hash(one.loss) == hash(two.loss)
    assert one.loss != classification_task(Linen(rate=0.1), _data(), BATCH).loss


def test_linen_and_nnx_agree() -> None:
    """The same weights give the same loss, gradients, statistics and evaluation."""
    a = classification_task(Linen(rate=0.0), _data(), BATCH)
    b = classification_task(_nnx_without_dropout, _data(), BATCH)
    params, state = b.init(jax.random.key(0))
    dense = params["layers"]
    linen = (
        {"Dense_0": dense[0], "Dense_1": dense[1], "BatchNorm_0": params["norm"]},
        {"batch_stats": {"BatchNorm_0": state["norm"]}},
    )
    key, batch = jax.random.key(1), _batch(a)
    grad = jax.value_and_grad
    (loss_a, (state_a, _)), grads_a = grad(a.loss, has_aux=True)(*linen, batch, key)
    (loss_b, (state_b, _)), grads_b = grad(b.loss, has_aux=True)(params, state, batch, key)
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)  # noqa: E731
    close(loss_a, loss_b)
    jax.tree.map(close, state_a["batch_stats"]["BatchNorm_0"], state_b["norm"])
    jax.tree.map(close, grads_a["Dense_0"], grads_b["layers"][0])
    jax.tree.map(close, grads_a["BatchNorm_0"], grads_b["norm"])
    jax.tree.map(close, a.evaluate(*linen, batch), b.evaluate(params, state, batch))


@pytest.mark.parametrize(
    ("argument", "in_training"),
    [
        ("train", True),
        ("training", True),
        ("is_training", True),
        ("deterministic", False),
        ("use_running_average", False),
    ],
)
def test_the_mode_argument_is_found(argument: str, in_training: bool) -> None:
    source = f"""
class Model(nn.Module):
    @nn.compact
    def __call__(self, x, {argument}):
        assert {argument} is (SEEN[-1] == {in_training})
        return nn.Dense({CLASSES})(x)
"""
    seen = [False]
    names = {"nn": nn, "SEEN": seen, "__name__": __name__}
    exec(source, names)
    task = classification_task(names["Model"](), _data(), BATCH)  # type: ignore[operator]
    params, state = task.init(jax.random.key(0))
    task.evaluate(params, state, _batch(task))
    seen.append(True)
    task.loss(params, state, _batch(task), jax.random.key(0))


def test_a_linen_module_may_ask_whether_there_is_a_stream_for_dropout() -> None:
    class Asks(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            x = nn.Dropout(0.5, deterministic=not self.has_rng("dropout"))(x)
            return nn.Dense(CLASSES)(x)

    task = classification_task(Asks(), _data(), BATCH)
    params, state = task.init(jax.random.key(0))
    losses = [task.loss(params, state, _batch(task), jax.random.key(i))[0] for i in range(2)]
    assert losses[0] != losses[1]
    assert jnp.all(jnp.isfinite(task.evaluate(params, state, _batch(task))["loss"]))


def test_two_streams_of_one_linen_module_differ() -> None:
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array, train: bool) -> jax.Array:
            x = nn.Dense(CLASSES)(x)
            if not train:
                return x
            a, b = (jax.random.normal(self.make_rng(s), x.shape) for s in ("dropout", "noise"))
            return jnp.where(jnp.all(a == b), jnp.nan, x + a + b)

    task = classification_task(Noisy(), _data(), BATCH)
    params, state = task.init(jax.random.key(0))
    assert jnp.isfinite(task.loss(params, state, _batch(task), jax.random.key(0))[0])


def test_what_a_linen_module_sows_does_not_grow() -> None:
    """In a collection of any name; what is carried from step to step stays."""

    class Sows(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
            seen = self.variable("counts", "seen", lambda: jnp.zeros((), jnp.int32))
            if train:
                seen.value += 1
            self.sow("losses", "size", jnp.mean(x**2))
            return nn.Dense(CLASSES)(nn.BatchNorm(use_running_average=not train)(x))

    task = classification_task(Sows(), _data(), BATCH)
    check_task(task)
    params, state = task.init(jax.random.key(0))
    assert set(state) == {"batch_stats", "counts"}
    _, (state, _) = task.loss(params, state, _batch(task), jax.random.key(0))
    assert int(state["counts"]["seen"]) == 1


def test_nnx_layers_draw_different_masks_and_may_take_rngs_in_the_call() -> None:
    class Two(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.dense = nnx.Linear(WIDTH, CLASSES, rngs=rngs)
            self.one, self.two = nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
            self.three = nnx.Dropout(0.5)

        def __call__(self, x: jax.Array, rngs: nnx.Rngs) -> jax.Array:
            ones = jnp.ones((100,))
            masks = self.one(ones), self.two(ones), self.three(ones, rngs=rngs)
            same = [jnp.all(masks[i] == masks[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
            bad = jnp.any(jnp.stack(same)) & jnp.any(masks[0] != ones)
            return jnp.where(bad, jnp.nan, self.dense(x))

    task = classification_task(Two, _data(), BATCH)
    check_task(task)
    params, state = task.init(jax.random.key(0))
    assert jax.tree.leaves(state) == []
    assert jnp.isfinite(task.loss(params, state, _batch(task), jax.random.key(0))[0])
    assert jnp.all(jnp.isfinite(task.evaluate(params, state, _batch(task))["loss"]))


def test_cross_entropy_equals_optax(x64: None) -> None:
    logits = 30 * jax.random.normal(jax.random.key(0), (20, 7))
    labels = jax.random.randint(jax.random.key(1), (20,), 0, 7)
    theirs = optax.softmax_cross_entropy_with_integer_labels
    ours = cross_entropy(logits, labels)
    np.testing.assert_allclose(ours, theirs(logits, labels), rtol=1e-12, atol=1e-12)
    grads = [jax.grad(lambda x, f=f: f(x, labels).sum())(logits) for f in (cross_entropy, theirs)]
    np.testing.assert_allclose(*grads, rtol=1e-12, atol=1e-12)


def test_cross_entropy_is_float32_for_half_precision_logits() -> None:
    logits = jnp.array([[1.0, 2.0]], jnp.bfloat16)
    assert cross_entropy(logits, jnp.array([0])).dtype == jnp.float32


def _with(**split: Any) -> Dataset:
    return Dataset(split, None, None)  # type: ignore[arg-type]


X, Y = np.ones((40, WIDTH), np.float32), np.zeros(40, np.int32)


@pytest.mark.parametrize(
    ("model", "data", "error", "words"),
    [
        (Linen(), _with(x=X), ValueError, ["train", '"x" and "y"', "['x']"]),
        (Linen(), _with(x=X, y=Y / 2), ValueError, ["y of train", "whole-number", "float64"]),
        (Linen(), _with(x=X, y=np.stack([Y, Y], 1)), ValueError, ["y of train", "(40, 2)"]),
        (Linen(), _with(x=Y, y=Y), ValueError, ["x of train", "(40,)"]),
        (Linen(), _with(x=X, y=Y + 3), ValueError, ["labels", "[0, 3)", "train", "3 to 3"]),
        (Linen(), _with(x=X, y=Y - 1), ValueError, ["labels", "-1"]),
        (Linen(), _with(x=X[:9], y=Y), ValueError, ["train", "[9,5]", "[40]"]),
        (Linen(), {"train": 1}, ValueError, ["train", '"x" and "y"', "int"]),
        (Linen(), None, ValueError, ["train", "load_data", "NoneType"]),
        (nn.Conv(3, (3, 3)), _data(), ValueError, ["fails on inputs of shape (1, 5)"]),
        (Nnx, _with(x=X[:, :4], y=Y), ValueError, ["fails on inputs of shape (1, 4)"]),
        (nn.Embed(3, 3), _with(x=Y[:, None], y=Y), ValueError, ["(batch, classes)", "(1, 1, 3)"]),
        (Linen, _data(), TypeError, ["linen module", "rngs -> nnx module"]),
        (3, _data(), TypeError, ["linen module", "3"]),
        (Nnx(nnx.Rngs(0)), _data(), TypeError, ["function rngs -> module", "Nnx"]),
        (lambda rngs: Linen(), _data(), ValueError, ["rngs -> nnx module", "Linen"]),
    ],
)
def test_bad_arguments_are_one_clear_error(
    model: Any, data: Any, error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        classification_task(model, data, BATCH)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("which", ["linen", "nnx"])
def test_a_missing_flax_says_what_to_install(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "flax", None)
    model: Callable[..., Any] = MODELS[which]  # type: ignore[assignment]
    with pytest.raises(ImportError, match=r"lropt-jax\[flax\]"):
        classification_task(model, _data())
