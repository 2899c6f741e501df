"""A run begun in PyTorch or in Optax goes on here, and back."""

from lropt_jax.optimizers.carrying.optax_reading import from_optax as from_optax
from lropt_jax.optimizers.carrying.torch_reading import from_torch as from_torch
from lropt_jax.optimizers.carrying.torch_writing import to_torch as to_torch
