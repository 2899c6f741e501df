"""Schedules: formulas by family, each a pytree whose numbers are data."""

from lropt_jax.schedules.base import Schedule as Schedule
from lropt_jax.schedules.base import as_schedule as as_schedule
from lropt_jax.schedules.base import constant as constant
from lropt_jax.schedules.base import feedback_schedule as feedback_schedule
from lropt_jax.schedules.base import schedule as schedule
from lropt_jax.schedules.composition import warmup as warmup
from lropt_jax.schedules.decay import cosine_decay as cosine_decay
from lropt_jax.schedules.decay import exponential_decay as exponential_decay
from lropt_jax.schedules.decay import linear as linear
from lropt_jax.schedules.decay import step_decay as step_decay
