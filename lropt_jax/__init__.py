"""lropt_jax: optimizers, learning-rate schedules, range tests, sweeps and honest comparisons."""

import importlib

from lropt_jax.adapters import classification_task as classification_task
from lropt_jax.data import Dataset as Dataset
from lropt_jax.data import load_data as load_data
from lropt_jax.hyperparameters import TunableState as TunableState
from lropt_jax.hyperparameters import hyperparams as hyperparams
from lropt_jax.hyperparameters import observe as observe
from lropt_jax.hyperparameters import set_hyperparams as set_hyperparams
from lropt_jax.hyperparameters import tunable as tunable
from lropt_jax.optimizers import adadelta as adadelta
from lropt_jax.optimizers import adagrad as adagrad
from lropt_jax.optimizers import adam as adam
from lropt_jax.optimizers import adamw as adamw
from lropt_jax.optimizers import rmsprop as rmsprop
from lropt_jax.optimizers import sgd as sgd
from lropt_jax.optimizers import sgdw as sgdw
from lropt_jax.schedules import Schedule as Schedule
from lropt_jax.schedules import constant as constant
from lropt_jax.schedules import cosine_decay as cosine_decay
from lropt_jax.schedules import exponential_decay as exponential_decay
from lropt_jax.schedules import linear as linear
from lropt_jax.schedules import schedule as schedule
from lropt_jax.schedules import step_decay as step_decay
from lropt_jax.schedules import warmup as warmup
from lropt_jax.task import Task as Task

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # The models import Flax, which the rest of the package does without.
    if name == "models":
        return importlib.import_module("lropt_jax.models")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
