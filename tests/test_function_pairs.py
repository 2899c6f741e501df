"""Tasks out of pairs (init, apply), with the signatures that people and Haiku give them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from lropt_jax import adam, classification_task, fit, regression_task
from lropt_jax.tasks.adapters.base import Network
from lropt_jax.tasks.adapters.registry import LIBRARIES, Library, adapt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5, 3.0], np.float32)
W = jnp.arange(4.0)


def _only_params() -> Any:
    return lambda key, x: jax.random.normal(key, x.shape[1:]), lambda params, x: x @ params


def _no_example() -> Any:
    return lambda key: jax.random.normal(key, (4,)), lambda w, inputs: inputs @ w


def _noise() -> Any:
    def apply(params: Any, x: Any, scale: float = 1.0, *, rng: Any = None) -> Any:
        return x @ params + (0 if rng is None else scale * jax.random.normal(rng, (len(x),)))

    return _only_params()[0], apply


def _haiku() -> Any:
    """`transform_with_state`: init(rng, *args), apply(params, state, rng, *args)."""

    def init(rng: Any, *args: Any, **kwargs: Any) -> Any:
        return {"w": jax.random.normal(rng, args[0].shape[1:])}, {"calls": jnp.zeros((), int)}

    def apply(params: Any, state: Any, rng: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] @ params["w"], {"calls": state["calls"] + (rng is not None)}

    return init, apply


def _mode_and_state_by_name() -> Any:
    def apply(params: Any, x: Any, is_training: bool, model_state: Any) -> Any:
        return x @ params, model_state + is_training

    return lambda key, x: (jnp.zeros(x.shape[1:]), jnp.zeros((), int)), apply


@pytest.mark.parametrize(
    ("make", "steps"),
    [(_only_params, 0), (_no_example, 0), (_haiku, 200), (_mode_and_state_by_name, 200)],
)
def test_pairs_train(make: Any, steps: int) -> None:
    task = regression_task(make(), {"train": (X, Y), "valid": (X, Y)}, batch_size=25)
    result = fit(task, adam(0.1), 200)
    assert result.history["valid_r2"][-1] > 0.99
    assert [int(s) for s in jax.tree.leaves(result.model_state)] == ([steps] if steps else [])
    out = task.predict(result.params, result.model_state, X)  # type: ignore[misc]
    np.testing.assert_allclose(out, Y, atol=0.5)


def test_the_key_is_none_in_evaluation_and_new_in_each_step() -> None:
    task = regression_task(_noise(), (X, Y), batch_size=25)
    batch = {"x": X, "y": Y}
    losses = [float(task.loss(W, {}, batch, jax.random.key(s))[0]) for s in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    np.testing.assert_allclose(task.predict(W, {}, X), X @ np.asarray(W), rtol=1e-5)  # type: ignore[misc]


def test_pairs_of_one_library_are_pairs_too() -> None:
    module = nn.Dense(3)
    labels = RNG.integers(0, 3, 50)
    task = classification_task((module.init, module.apply), (X, labels), batch_size=25)
    params, state = task.init(jax.random.key(0))
    assert state == {}
    np.testing.assert_allclose(task.predict(params, state, X), module.apply(params, X))  # type: ignore[misc]


def test_equal_pairs_share_compiled_programs() -> None:
    pair = _only_params()
    one, two = (regression_task(pair, (X, Y), 25) for _ in range(2))
    assert one.loss == two.loss
    assert one.loss != regression_task(_only_params(), (X, Y), 25).loss


def test_a_state_that_init_forgets_is_named() -> None:
    init, _ = _only_params()
    with pytest.raises(ValueError, match=r"init must return \(params, state\)"):
        regression_task((init, _haiku()[1]), (X, Y))


def test_another_library_is_one_more_entry() -> None:
    class Linear:
        weights = W

    class LinearNetwork:
        def __init__(self, model: Linear):
            self.model = model

        def init(self, key: Any, x: Any) -> Any:
            return self.model.weights, {}

        def apply(self, params: Any, model_state: Any, x: Any, key: Any) -> Any:
            return x @ params, model_state

        def variables(self, params: Any, model_state: Any) -> Any:
            return params

    def adapts(model: Any) -> Network:
        return LinearNetwork(model)

    with pytest.raises(TypeError, match="linen module"):
        adapt(Linear())
    LIBRARIES.append(Library(lambda model: isinstance(model, Linear), adapts))
    try:
        task = regression_task(Linear(), (X, Y), 25)
    finally:
        LIBRARIES.pop()
    np.testing.assert_allclose(task.predict(W, {}, X), X @ np.asarray(W), rtol=1e-5)  # type: ignore[misc]
