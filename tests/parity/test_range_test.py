"""Live against torch-lr-finder: the digits net, the same initial weights and batches."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from lropt_jax import adam, classification_task, load_data, lr_range_test, sgd
from lropt_jax.tasks import models
from tests.golden.range_test_case import lane_order

pytest.importorskip("torch_lr_finder")
pytest.importorskip("sklearn")

from tests.parity.range_test_reference import curve

DATA = load_data("digits")
TASK = classification_task(models.mlp((32, 10)), DATA, batch_size=32)
FACTORIES = {"sgd": (sgd, {}), "momentum": (sgd, {"momentum": 0.9}), "adam": (adam, {})}
SEEDS = [0, 5]


CASES = [
    *((name, split, "geometric", 1e-7, 10.0) for name in FACTORIES for split in ("train", "valid")),
    # A linear ladder lingers at high rates, where training amplifies float32's rounding: end lower.
    ("momentum", "train", "linear", 1e-4, 0.2),
    ("adam", "train", "linear", 1e-4, 0.05),
]


@pytest.mark.parametrize(("name", "split", "spacing", "start", "end"), CASES)
def test_every_lane_is_torch_lr_finders_curve_up_to_divergence(name, split, spacing, start, end):
    factory, fixed = FACTORIES[name]
    test = lr_range_test(
        TASK, factory, start, end, seeds=SEEDS, split=split, spacing=spacing, **fixed
    )
    for lane, seed, stop in zip(test.losses, SEEDS, test.diverged_at, strict=True):
        rates, losses = curve(
            initial_weights(seed),
            DATA.train,
            lane_order(seed, len(DATA.train["y"]), 32)(0, 100),
            name,
            start,
            end,
            DATA.valid if split == "valid" else None,
            "exp" if spacing == "geometric" else "linear",
        )
        shared = min(len(losses), stop if stop >= 0 else len(lane))
        np.testing.assert_allclose(test.learning_rates[:shared], rates[:shared], rtol=1e-6)
        np.testing.assert_allclose(lane[:shared], losses[:shared], rtol=1e-4, atol=1e-4)


def initial_weights(seed):
    init_key, _ = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))
    params, _ = TASK.init(init_key)
    layers = [params[name] for name in sorted(params)]
    return [(np.asarray(layer["kernel"]), np.asarray(layer["bias"])) for layer in layers]
