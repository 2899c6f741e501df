"""lropt_jax: optimizers, learning-rate schedules, range tests, sweeps and honest comparisons."""

import importlib as _importlib
import typing as _typing

from lropt_jax.hyperparameters.access import hyperparams as hyperparams
from lropt_jax.hyperparameters.access import observe as observe
from lropt_jax.hyperparameters.access import set_hyperparams as set_hyperparams
from lropt_jax.hyperparameters.access import starting_now as starting_now
from lropt_jax.hyperparameters.building import tunable as tunable
from lropt_jax.hyperparameters.evaluation import evaluation_params as evaluation_params
from lropt_jax.hyperparameters.evaluation import register_evaluation as register_evaluation
from lropt_jax.hyperparameters.layered import by_layer as by_layer
from lropt_jax.hyperparameters.state import TunableState as TunableState
from lropt_jax.optimizers import OPTIMIZERS as OPTIMIZERS
from lropt_jax.optimizers import adabelief as adabelief
from lropt_jax.optimizers import adadelta as adadelta
from lropt_jax.optimizers import adagrad as adagrad
from lropt_jax.optimizers import adam as adam
from lropt_jax.optimizers import adamax as adamax
from lropt_jax.optimizers import adamw as adamw
from lropt_jax.optimizers import amsgrad as amsgrad
from lropt_jax.optimizers import lamb as lamb
from lropt_jax.optimizers import lars as lars
from lropt_jax.optimizers import local_gains as local_gains
from lropt_jax.optimizers import nadam as nadam
from lropt_jax.optimizers import nadamw as nadamw
from lropt_jax.optimizers import qhadam as qhadam
from lropt_jax.optimizers import qhadamw as qhadamw
from lropt_jax.optimizers import qhm as qhm
from lropt_jax.optimizers import rmsprop as rmsprop
from lropt_jax.optimizers import rprop as rprop
from lropt_jax.optimizers import scale_by_adabelief as scale_by_adabelief
from lropt_jax.optimizers import scale_by_adadelta as scale_by_adadelta
from lropt_jax.optimizers import scale_by_adagrad as scale_by_adagrad
from lropt_jax.optimizers import scale_by_adam as scale_by_adam
from lropt_jax.optimizers import scale_by_adamax as scale_by_adamax
from lropt_jax.optimizers import scale_by_amsgrad as scale_by_amsgrad
from lropt_jax.optimizers import scale_by_lamb as scale_by_lamb
from lropt_jax.optimizers import scale_by_lars as scale_by_lars
from lropt_jax.optimizers import scale_by_local_gains as scale_by_local_gains
from lropt_jax.optimizers import scale_by_momentum as scale_by_momentum
from lropt_jax.optimizers import scale_by_nadam as scale_by_nadam
from lropt_jax.optimizers import scale_by_qhadam as scale_by_qhadam
from lropt_jax.optimizers import scale_by_qhm as scale_by_qhm
from lropt_jax.optimizers import scale_by_rmsprop as scale_by_rmsprop
from lropt_jax.optimizers import scale_by_rprop as scale_by_rprop
from lropt_jax.optimizers import scale_by_swats as scale_by_swats
from lropt_jax.optimizers import sgd as sgd
from lropt_jax.optimizers import sgdw as sgdw
from lropt_jax.optimizers import swats as swats
from lropt_jax.optimizers.accumulation import AccumulateState as AccumulateState
from lropt_jax.optimizers.accumulation import accumulate as accumulate
from lropt_jax.optimizers.carrying import from_optax as from_optax
from lropt_jax.optimizers.carrying import from_torch as from_torch
from lropt_jax.optimizers.carrying import to_torch as to_torch
from lropt_jax.optimizers.citations import citation as citation
from lropt_jax.optimizers.masks import no_bias_norm as no_bias_norm
from lropt_jax.schedules import SCHEDULES as SCHEDULES
from lropt_jax.schedules import Schedule as Schedule
from lropt_jax.schedules import batch_size_from as batch_size_from
from lropt_jax.schedules import constant as constant
from lropt_jax.schedules import cosine_decay as cosine_decay
from lropt_jax.schedules import cyclic as cyclic
from lropt_jax.schedules import exponential_decay as exponential_decay
from lropt_jax.schedules import feedback_schedule as feedback_schedule
from lropt_jax.schedules import inverse_sqrt as inverse_sqrt
from lropt_jax.schedules import inverse_time_decay as inverse_time_decay
from lropt_jax.schedules import linear as linear
from lropt_jax.schedules import natural_exp_decay as natural_exp_decay
from lropt_jax.schedules import one_cycle as one_cycle
from lropt_jax.schedules import one_cycle_momentum as one_cycle_momentum
from lropt_jax.schedules import per_epoch as per_epoch
from lropt_jax.schedules import piecewise_constant as piecewise_constant
from lropt_jax.schedules import polynomial as polynomial
from lropt_jax.schedules import reduce_on_plateau as reduce_on_plateau
from lropt_jax.schedules import schedule as schedule
from lropt_jax.schedules import sequence as sequence
from lropt_jax.schedules import step_decay as step_decay
from lropt_jax.schedules import time_decay as time_decay
from lropt_jax.schedules import warm_restarts as warm_restarts
from lropt_jax.schedules import warmup as warmup
from lropt_jax.schedules import warmup_stable_decay as warmup_stable_decay
from lropt_jax.tasks.adapters import classification_task as classification_task
from lropt_jax.tasks.adapters import language_model_task as language_model_task
from lropt_jax.tasks.adapters import regression_task as regression_task
from lropt_jax.tasks.data import Dataset as Dataset
from lropt_jax.tasks.data import load_data as load_data
from lropt_jax.tasks.task import Task as Task
from lropt_jax.training.config import config as config
from lropt_jax.training.fitting import fit as fit
from lropt_jax.training.fitting import train as train
from lropt_jax.training.moments import Moment as Moment
from lropt_jax.training.stopping import early_stopping as early_stopping
from lropt_jax.training.trained import Fit as Fit
from lropt_jax.training.trained import load_fit as load_fit
from lropt_jax.validation import installed as _installed

__version__ = "0.2.0"

# Whole experiments are loaded when they are first named: whoever needs an optimizer in a loop of
# his own does not wait for them. The models need Flax, which the rest does without.
if _typing.TYPE_CHECKING:
    from lropt_jax.atlas import load_atlas as load_atlas
    from lropt_jax.atlas import profile_scores as profile_scores
    from lropt_jax.comparisons.comparison import Comparison as Comparison
    from lropt_jax.comparisons.protocol import compare as compare
    from lropt_jax.plotting import plot_paths as plot_paths
    from lropt_jax.plotting import plot_schedules as plot_schedules
    from lropt_jax.problems import PROBLEMS as PROBLEMS
    from lropt_jax.problems import problem as problem
    from lropt_jax.range_tests import RangeTest as RangeTest
    from lropt_jax.range_tests import Suggestion as Suggestion
    from lropt_jax.range_tests import lr_range_test as lr_range_test
    from lropt_jax.reproductions import Verdict as Verdict
    from lropt_jax.reproductions import reproduce as reproduce
    from lropt_jax.sweeps import SweepResult as SweepResult
    from lropt_jax.sweeps import choice as choice
    from lropt_jax.sweeps import expected_best as expected_best
    from lropt_jax.sweeps import grid as grid
    from lropt_jax.sweeps import integer as integer
    from lropt_jax.sweeps import load_sweep as load_sweep
    from lropt_jax.sweeps import log_grid as log_grid
    from lropt_jax.sweeps import log_uniform as log_uniform
    from lropt_jax.sweeps import pbt as pbt
    from lropt_jax.sweeps import search as search
    from lropt_jax.sweeps import successive_halving as successive_halving
    from lropt_jax.sweeps import sweep as sweep
    from lropt_jax.sweeps import uniform as uniform
    from lropt_jax.tasks import models as models
    from lropt_jax.tasks.models import cnn as cnn
    from lropt_jax.tasks.models import mlp as mlp
    from lropt_jax.tasks.models import resnet18 as resnet18
    from lropt_jax.tasks.models import vgg11 as vgg11
    from lropt_jax.tuning import Tuning as Tuning
    from lropt_jax.tuning import tune as tune

_LATER = {
    "lropt_jax.atlas": ("load_atlas", "profile_scores"),
    "lropt_jax.comparisons.comparison": ("Comparison",),
    "lropt_jax.comparisons.protocol": ("compare",),
    "lropt_jax.plotting": ("plot_paths", "plot_schedules"),
    "lropt_jax.problems": ("PROBLEMS", "problem"),
    "lropt_jax.range_tests": ("RangeTest", "Suggestion", "lr_range_test"),
    "lropt_jax.reproductions": ("Verdict", "reproduce"),
    "lropt_jax.sweeps": (
        "SweepResult",
        "choice",
        "expected_best",
        "grid",
        "integer",
        "load_sweep",
        "log_grid",
        "log_uniform",
        "pbt",
        "search",
        "successive_halving",
        "sweep",
        "uniform",
    ),
    "lropt_jax.tuning": ("Tuning", "tune"),
    "lropt_jax.tasks.models": ("cnn", "mlp", "models", "resnet18", "vgg11"),
}
_ROOM_OF = {name: room for room, names in _LATER.items() for name in names}

if not _typing.TYPE_CHECKING:

    def __getattr__(name):
        if name not in _ROOM_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = _importlib.import_module(_ROOM_OF[name])
        value = room if name == "models" else getattr(room, name)
        globals()[name] = value
        return value


# All that stands above, but for the rooms of the house.
_of_flax = set() if _installed("flax") else set(_LATER["lropt_jax.tasks.models"])
__all__ = sorted(
    {name for name, value in globals().items() if not isinstance(value, type(_typing))}
    - {name for name in globals() if name.startswith("_")}
    | set(_ROOM_OF) - _of_flax
)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
