"""Optimizers: one family a file, each exact to its reference, every number data."""

from lropt_jax.optimizers.adaptive_gradients import adadelta as adadelta
from lropt_jax.optimizers.adaptive_gradients import adagrad as adagrad
from lropt_jax.optimizers.adaptive_gradients import rmsprop as rmsprop
from lropt_jax.optimizers.adaptive_gradients import scale_by_adadelta as scale_by_adadelta
from lropt_jax.optimizers.adaptive_gradients import scale_by_adagrad as scale_by_adagrad
from lropt_jax.optimizers.adaptive_gradients import scale_by_rmsprop as scale_by_rmsprop
from lropt_jax.optimizers.adaptive_moments import adam as adam
from lropt_jax.optimizers.adaptive_moments import adamw as adamw
from lropt_jax.optimizers.adaptive_moments import scale_by_adam as scale_by_adam
from lropt_jax.optimizers.gradient_descent import scale_by_momentum as scale_by_momentum
from lropt_jax.optimizers.gradient_descent import sgd as sgd
from lropt_jax.optimizers.gradient_descent import sgdw as sgdw
