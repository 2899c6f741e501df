"""Networks to compare optimizers on, as Flax linen modules."""

from lropt_jax.models.mlp import mlp as mlp
