"""What is promised on an accelerator, on a GPU where there is one: `pytest -m gpu tests/gpu`.

The same code runs on this machine's CPU, so that it is not first tried where it counts.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lropt_jax import adam, adamw, classification_task, fit, mlp, sweep
from lropt_jax.sweeps.running import strategy as strategies
from lropt_jax.tasks.models import cnn
from lropt_jax.training.fast_forms import rewrites
from lropt_jax.training.lanes import Feed
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from tests.sweep_problems import DIVERGES, Stopped, assert_same, fragile, run, stop_after

RATES = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Any:
    """One device; all that the test makes lies on it."""
    try:
        found = jax.local_devices(backend=request.param)[0]
    except RuntimeError:
        pytest.skip(f"there is no {request.param}")
    with jax.default_device(found):
        yield found


def images(examples: int = 32, side: int = 12) -> Any:
    random = np.random.default_rng(0)
    x = random.normal(size=(examples, side, side, 1)).astype(np.float32)
    return {"x": x, "y": (x.mean((1, 2, 3)) > 0).astype(np.int32)}


@pytest.mark.parametrize("strategy", ["vmap", "map", "map:2"])
def test_neighbours_do_not_matter(device: Any, strategy: str) -> None:
    """A lane's result is the same to the last bit beside whatever lanes, in whatever order."""
    arguments = {"devices": [device], "strategy": strategy, "optimizer": fragile}
    whole = run({"learning_rate": RATES}, **arguments)
    back = run({"learning_rate": RATES[::-1]}, **arguments)
    assert_same(whole, back, range(6), range(5, -1, -1))
    beside = run({"learning_rate": [*RATES[:3], DIVERGES]}, **arguments)
    assert beside.status[3, 0] == "diverged"
    assert_same(whole, beside, range(3))


@pytest.mark.parametrize("saves", [1, 3])
def test_a_killed_sweep_goes_on_to_the_same_bits(
    device: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    space, arguments = {"learning_rate": RATES}, {"devices": [device], "directory": tmp_path}
    with monkeypatch.context() as patch:
        stop_after(patch, saves)
        with pytest.raises(Stopped):
            run(space, **arguments)
    assert_same(run(space, devices=[device]), run(space, **arguments))


@pytest.mark.filterwarnings("ignore:.*trained again")
@pytest.mark.parametrize("keep", [None, 1])
def test_a_trained_model_is_the_sweeps_own_to_the_last_bit(device: Any, keep: int | None) -> None:
    result = run({"learning_rate": RATES}, devices=[device], keep=keep)
    model = result.trained()
    assert float(model.history["valid_loss"][-1]) == result.best().value


def test_only_a_cpus_convolutions_are_rewritten(device: Any) -> None:
    """An accelerator gets the program that the model's author wrote."""
    task = classification_task(cnn(2, width=8), {"train": images(), "valid": None}, 8)
    population = Population(task, adam, {"learning_rate": 0.1}, Layout("vmap", (device,)))
    rates = {"learning_rate": np.full(2, 0.1, np.float32)}
    lanes = population.start(jax.random.split(jax.random.key(0), 2), rates)
    feed = Feed(np.zeros((2, 1, 8), np.int32))
    program = population._run.lower(lanes, feed, task.train, np.ones(1, np.int32)).as_text()
    assert rewrites([device]) == (device.platform == "cpu")
    assert ("select_and_scatter" in program) == (device.platform != "cpu")


def test_the_width_follows_the_devices_memory(device: Any, monkeypatch: Any) -> None:
    asked = strategies._device_memory([device])
    assert asked > 1e8
    stats = device.memory_stats()
    if device.platform == "gpu":
        assert asked <= stats["bytes_limit"]
    wide = run({"learning_rate": RATES * 2}, devices=[device], width=None)
    assert set(wide.width) == {12}
    monkeypatch.setattr(strategies, "_device_memory", lambda devices: 16_000.0)
    narrow = run({"learning_rate": RATES * 2}, devices=[device], width=None)
    assert max(narrow.width) < 12
    np.testing.assert_allclose(wide.values["valid_loss"], narrow.values["valid_loss"], rtol=1e-4)


def test_bfloat16_computes_in_it_and_keeps_float32(device: Any) -> None:
    data = {"train": images(64), "valid": images(64)}
    task = classification_task(mlp((32, 2)), data, 16, dtype=jnp.bfloat16)
    fitted = fit(task, adam(1e-2), steps=30, eval_every=10)
    assert {leaf.dtype for leaf in jax.tree.leaves(fitted.params)} == {jnp.dtype("float32")}
    assert fitted.history["valid_loss"][-1] < fitted.history["valid_loss"][0]
    result = sweep(
        task, adam, {"learning_rate": [1e-3, 1e-2]}, steps=20, devices=[device], progress=False
    )
    assert (result.status == "finished").all()
    text = jax.jit(task.loss).lower(fitted.params, {}, dict(task.train), jax.random.key(0))
    assert "bf16" in text.as_text()


def test_a_donated_state_is_used_up_and_gives_the_same_numbers(device: Any) -> None:
    params = {"w": jnp.ones((64, 64)), "b": jnp.zeros(64)}
    tx = adamw(1e-2)
    gradients = jax.tree.map(lambda p: p + 0.5, params)
    kept, donated = tx.init(params), tx.init(params)
    plain = jax.jit(tx.update)
    spending = jax.jit(tx.update, donate_argnums=1)
    for _ in range(3):
        before = jax.tree.leaves(donated)
        first, kept = plain(gradients, kept, params)
        second, donated = spending(gradients, donated, params)
        jax.tree.map(np.testing.assert_array_equal, first, second)
        assert any(leaf.is_deleted() for leaf in before)
    jax.tree.map(np.testing.assert_array_equal, kept, donated)
    assert all(set(leaf.devices()) == {device} for leaf in jax.tree.leaves(donated))
