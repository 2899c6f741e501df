"""Tensors of PyTorch as data: taken as they are, or named with the way to give them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from lropt_jax import Dataset, Task, adam, classification_task, fit, sgd
from lropt_jax.tasks.models import mlp

torch = pytest.importorskip("torch")

X, Y = torch.randn(40, 5), torch.arange(40) % 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("data", [(X, Y), (X.double(), Y.to(torch.uint8)), Dataset.of(X, Y)])
def test_tensors_are_taken(data: Any) -> None:
    task = classification_task(mlp((8, 3)), data, batch_size=10)
    assert {v.dtype.kind for v in task.train.values()} <= set("fiu")
    assert np.isfinite(fit(task, adam(0.01), 3).history["train_loss"]).all()


def test_a_task_by_hand_takes_them_too() -> None:
    def error(w: Any, batch: Any) -> Any:
        return (batch["x"] @ w - batch["y"]) ** 2

    task = Task(
        lambda key: (jnp.zeros(5), {}),
        lambda w, s, batch, key: (error(w, batch).mean(), (s, {})),
        lambda w, s, batch: {"loss": error(w, batch)},
        train={"x": X, "y": Y.float()},
        batch_size=10,
    )
    np.testing.assert_array_equal(task.train["x"], X.numpy())
    assert np.isfinite(fit(task, sgd(0.01), 3).history["train_loss"]).all()


@pytest.mark.parametrize(
    "x", [X.clone().requires_grad_(), X.to(torch.bfloat16), torch.empty((40, 5), device="meta")]
)
def test_what_numpy_cannot_read_is_named_with_the_way(x: Any) -> None:
    with pytest.raises(ValueError) as caught:
        classification_task(mlp((8, 3)), (x, Y))
    words = ["x of train", "torch.Tensor", "detach().cpu().numpy()"]
    assert all(word in str(caught.value) for word in words), str(caught.value)
