"""lropt_jax: optimizers, learning-rate schedules, range tests, sweeps and honest comparisons."""

from lropt_jax.hyperparameters import TunableState as TunableState
from lropt_jax.hyperparameters import hyperparams as hyperparams
from lropt_jax.hyperparameters import observe as observe
from lropt_jax.hyperparameters import set_hyperparams as set_hyperparams
from lropt_jax.hyperparameters import tunable as tunable
from lropt_jax.schedules import Schedule as Schedule
from lropt_jax.schedules import constant as constant
from lropt_jax.schedules import cosine_decay as cosine_decay
from lropt_jax.schedules import exponential_decay as exponential_decay
from lropt_jax.schedules import linear as linear
from lropt_jax.schedules import schedule as schedule
from lropt_jax.schedules import step_decay as step_decay
from lropt_jax.schedules import warmup as warmup

__version__ = "0.1.0"
