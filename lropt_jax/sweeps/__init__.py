"""Sweeps: hundreds of configurations as one program."""

from lropt_jax.sweeps.engine import sweep as sweep
from lropt_jax.sweeps.prune import pbt as pbt
from lropt_jax.sweeps.prune import successive_halving as successive_halving
from lropt_jax.sweeps.results import SweepResult as SweepResult
from lropt_jax.sweeps.space import choice as choice
from lropt_jax.sweeps.space import grid as grid
from lropt_jax.sweeps.space import log_grid as log_grid
from lropt_jax.sweeps.space import log_uniform as log_uniform
from lropt_jax.sweeps.space import uniform as uniform
from lropt_jax.sweeps.studies import search as search
