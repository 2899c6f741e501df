"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
from flax import linen as nn

from lropt_jax.tasks.models.layers import Dropout, check_dropout, dense
from lropt_jax.validation import is_scalar


def mlp(
    features: Sequence[int] = (100, 100, 10),
    activation: Callable[[jax.Array], jax.Array] = nn.relu,
    dropout: float | Sequence[float] = 0.0,
    batch_norm: bool = False,
) -> nn.Module:
    """A multilayer perceptron; inputs of any shape are flattened.

    Each hidden layer is dense, then batch-norm if asked for, then the activation, then dropout if
    asked for. The last layer is dense alone. Kernels start LeCun-normal, biases at 0 (Flax's
    defaults).

    When to use:
      As a first net, and on tables. Start with two hidden layers of 100. Not for images
      beyond digits.

    Args:
      features: the width of each layer, the last being the number of classes. The default, on
        MNIST-1D, is the net of this package's main comparison.
      activation: of the hidden layers.
      dropout: the probability that a hidden unit is dropped, in [0, 1), rounded to a multiple of
        1/256; or one for each hidden layer.
      batch_norm: whether hidden layers are normalised over the batch; their running statistics
        have momentum 0.9.

    Raises:
      ValueError: for no layers, a width below 1, or a rate outside of [0, 1).

    See also:
      `cnn`, `classification_task`.

    Example:
      >>> import jax
      >>> from lropt_jax.tasks.models import mlp
      >>> model = mlp((75, 45, 10), dropout=(0.5, 0.3), batch_norm=True)
      >>> variables = model.init(jax.random.key(0), jax.numpy.zeros((1, 28, 28)))
      >>> model.apply(variables, jax.numpy.zeros((2, 28, 28))).shape
      (2, 10)
    """
    given = features if isinstance(features, Sequence) else ()
    if not given or not all(is_scalar(width) and width >= 1 for width in given):
        raise ValueError(f"features must be one or more widths >= 1, got {features!r}")
    hidden = len(features) - 1
    rates = tuple(dropout) if isinstance(dropout, Sequence) else (dropout,) * hidden
    if len(rates) != hidden:
        raise ValueError(
            f"dropout must be a number, or one for each of the {hidden} hidden layers, "
            f"got {dropout!r}"
        )
    check_dropout(*rates)
    return MLP(tuple(features), activation, rates, batch_norm)


class MLP(nn.Module):
    """The module of `mlp`, which says what the fields mean."""

    features: tuple[int, ...]
    activation: Callable[[jax.Array], jax.Array]
    dropout: tuple[float, ...]
    batch_norm: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of shape (batch, features[-1])."""
        x = x.reshape(len(x), -1)
        for width, rate in zip(self.features[:-1], self.dropout, strict=True):
            x = dense(width)(x)
            if self.batch_norm:
                x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            x = self.activation(x)
            x = Dropout(rate)(x, train)
        return dense(self.features[-1])(x)
