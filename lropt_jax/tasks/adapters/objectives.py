"""What the ready tasks minimise and measure, of a model's outputs and the targets."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Softmax cross-entropy of each label, at least in float32.

    Args:
      logits: shape (..., classes).
      labels: whole numbers in [0, classes), shape (...); or a distribution over the classes for
        each, floats of the shape of the logits.
    """
    logits = _wide(logits)
    likelihood = jax.nn.log_softmax(logits)
    if _is_soft(labels, logits):
        return -jnp.sum(labels * likelihood, axis=-1)
    # A select, not an index: the gradient of a gather is a scatter, which is slow on a CPU.
    loss: jax.Array = -jnp.sum(jnp.where(_hits(labels, logits), likelihood, 0), axis=-1)
    return loss


@dataclasses.dataclass(frozen=True)
class Softmax:
    """Cross-entropy of one class for each label; labels may have trailing axes (positions).

    Attributes:
      weights: of each class, or None. As in PyTorch the loss is then the weighted mean, over a
        batch when training and over a whole split when evaluating.
      perplexity: whether the exponential of the loss is a metric, too.
    """

    weights: tuple[float, ...] | None = None
    perplexity: bool = False

    def loss(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """The mean over examples and positions."""
        targets = _as_outputs(targets, outputs)
        losses = cross_entropy(outputs, targets)
        if self.weights is None:
            return losses.mean()
        weights = self._of(targets, _wide(outputs))
        return jnp.sum(weights * losses) / _nonzero(jnp.sum(weights))

    def metrics(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        """The loss, and how often the likeliest class is the right one."""
        targets = _as_outputs(targets, outputs)
        losses = cross_entropy(outputs, targets)
        right = (jnp.argmax(outputs, axis=-1) == targets).astype(losses.dtype)
        metrics = {"accuracy": _over_positions(right)}
        if self.weights is None:
            return metrics | {"loss": _over_positions(losses)}
        weights = self._of(targets, _wide(outputs))
        return metrics | {
            "_loss": _over_positions(weights * losses),
            "_weight": _over_positions(weights),
        }

    def check(self, name: str, targets: Any, outputs: tuple[int, ...]) -> None:
        """Raises `ValueError` for labels that the model has no output for."""
        low, high, classes = int(targets.min()), int(targets.max()), outputs[-1]
        if low < 0 or high >= classes:
            raise ValueError(
                f"labels must be in [0, {classes}), the model's number of classes; those of "
                f"{name} go from {low} to {high}"
            )

    @property
    def summarize(self) -> Any:
        """What is made of a split's means."""
        if self.weights is not None:
            return weighted_loss
        return perplexity if self.perplexity else None

    def _of(self, labels: jax.Array, logits: jax.Array) -> jax.Array:
        """The weight of each label."""
        weights = jnp.asarray(self.weights, logits.dtype)
        hits = labels if _is_soft(labels, logits) else _hits(labels, logits)
        return jnp.sum(hits * weights.reshape((1,) * labels.ndim + (-1,)), axis=-1)


def weighted_loss(means: dict[str, Any]) -> dict[str, Any]:
    """The weighted mean of the losses of a split."""
    return {"loss": means["_loss"] / _nonzero(means["_weight"])}


def perplexity(means: dict[str, Any]) -> dict[str, Any]:
    """The exponential of the mean loss."""
    return {"perplexity": jnp.exp(means["loss"])}


@dataclasses.dataclass(frozen=True)
class Sigmoid:
    """Cross-entropy of labels that are each 0 or 1, whatever the others are."""

    def loss(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """The mean over examples and labels."""
        return self._losses(outputs, targets).mean()

    def metrics(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        """The loss, how many labels are right, and what F1 is made of."""
        losses = self._losses(outputs, targets)
        said, is_so = outputs > 0, targets.reshape(outputs.shape) > 0.5
        parts = {
            "loss": losses,
            "accuracy": said == is_so,
            "_true_positives": said & is_so,
            "_errors": said != is_so,
        }
        return {name: _over_positions(x.astype(losses.dtype)) for name, x in parts.items()}

    def check(self, name: str, targets: Any, outputs: tuple[int, ...]) -> None:
        """Raises `ValueError` for labels other than 0 and 1."""
        if not bool(((targets == 0) | (targets == 1)).all()):
            raise ValueError(
                f"y of {name} must be 0 or 1 everywhere, since the model's outputs have its "
                f"shape; got {targets.dtype} from {targets.min()} to {targets.max()}"
            )

    @property
    def summarize(self) -> Any:
        """F1 over all labels of all examples."""
        return f1

    def _losses(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        logits = _wide(outputs)
        labels = targets.reshape(logits.shape).astype(logits.dtype)
        losses: jax.Array = optax.sigmoid_binary_cross_entropy(logits, labels)
        return losses


def f1(means: dict[str, Any]) -> dict[str, Any]:
    """The harmonic mean of precision and recall; 0 where there are neither."""
    twice = 2 * means["_true_positives"]
    return {"f1": twice / _nonzero(twice + means["_errors"])}


@dataclasses.dataclass(frozen=True)
class SquaredError:
    """The mean squared error, and the share of the variance that is explained.

    Attributes:
      center: a value near each target's mean, that the variance is computed around.
    """

    center: tuple[float, ...]

    def loss(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """The mean over examples and targets."""
        return jnp.mean(self._errors(outputs, targets) ** 2)

    def metrics(self, outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
        """The loss, and what R² is made of."""
        squares = self._errors(outputs, targets) ** 2
        center = jnp.asarray(self.center, squares.dtype)
        deviations = targets.reshape(squares.shape).astype(squares.dtype) - center[None]
        return {
            "loss": squares.mean(axis=1),
            "_squares": squares,
            "_deviations": deviations,
            "_squared_deviations": deviations**2,
        }

    def check(self, name: str, targets: Any, outputs: tuple[int, ...]) -> None:
        """Raises `ValueError` for targets that are not finite."""
        bad = int((~np.isfinite(np.asarray(targets))).sum())
        if bad:
            raise ValueError(
                f"y of {name} must be finite, {bad} of its {targets.size} values are not"
            )

    @property
    def summarize(self) -> Any:
        """R² over a whole split."""
        return r2

    def _errors(self, outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """(batch, targets)."""
        flat = _wide(outputs).reshape(len(outputs), -1)
        return flat - targets.reshape(flat.shape).astype(flat.dtype)


def r2(means: dict[str, Any]) -> dict[str, Any]:
    """The coefficient of determination, the mean over the targets.

    Of a target that never changes it is 1 where it is met and else 0, as in scikit-learn.
    """
    error, around = means["_squares"], means["_squared_deviations"]
    variance = around - means["_deviations"] ** 2
    changes = variance > 10 * np.finfo(variance.dtype).eps * around
    share = 1 - error / jnp.where(changes, variance, 1)
    return {"r2": jnp.mean(jnp.where(changes, share, (error == 0).astype(share.dtype)))}


def center_of(targets: Any) -> tuple[float, ...]:
    """The mean of each target over the examples."""
    flat = np.asarray(targets).reshape(len(targets), -1)
    return tuple(flat.mean(axis=0, dtype=np.float64).tolist())


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _over_positions(x: jax.Array) -> jax.Array:
    """The mean over all axes but that of the examples."""
    return x.reshape(len(x), -1).mean(axis=1)


def _nonzero(x: jax.Array) -> jax.Array:
    """A divisor: 1 where it is 0, so that nothing over nothing is nothing."""
    return jnp.where(x == 0, 1, x)


def _hits(labels: jax.Array, logits: jax.Array) -> jax.Array:
    classes = jnp.arange(logits.shape[-1]).reshape((1,) * labels.ndim + (-1,))
    return labels[..., None] == classes


def _as_outputs(labels: jax.Array, outputs: jax.Array) -> jax.Array:
    """Labels in the shape of the outputs' positions: those of one column have an axis more."""
    return labels if _is_soft(labels, outputs) else labels.reshape(outputs.shape[:-1])


def _is_soft(labels: jax.Array, logits: jax.Array) -> bool:
    return labels.shape == logits.shape and jnp.issubdtype(labels.dtype, jnp.floating)
