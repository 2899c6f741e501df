"""Sweeps: hundreds of configurations as one program."""

from lropt_jax.sweeps.deciding.rules import pbt as pbt
from lropt_jax.sweeps.deciding.rules import successive_halving as successive_halving
from lropt_jax.sweeps.deciding.studies import search as search
from lropt_jax.sweeps.engine import sweep as sweep
from lropt_jax.sweeps.planning.space import choice as choice
from lropt_jax.sweeps.planning.space import grid as grid
from lropt_jax.sweeps.planning.space import integer as integer
from lropt_jax.sweeps.planning.space import log_grid as log_grid
from lropt_jax.sweeps.planning.space import log_uniform as log_uniform
from lropt_jax.sweeps.planning.space import uniform as uniform
from lropt_jax.sweeps.results.best_of_n import expected_best as expected_best
from lropt_jax.sweeps.results.result import SweepResult as SweepResult
from lropt_jax.sweeps.results.result import load_sweep as load_sweep
