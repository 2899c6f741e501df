"""The references: other packages' optimizers, run on the cases of `tests/golden`."""

from __future__ import annotations

import importlib
import math
import pathlib
import sys
import types
import warnings
from collections.abc import Callable
from importlib.metadata import distribution, version
from typing import Any

import numpy as np
import torch

from tests.golden.optimizer_cases import Case, gradient, noise, rate, start

PACKAGES = {
    "torch": "torch",
    "torch_sgd_on_scaled": "torch",
    "timm": "timm",
    "adabelief_pytorch": "adabelief-pytorch",
    "qhoptim": "qhoptim",
    "pytorch_optimizer": "pytorch_optimizer",
}


def versions() -> dict[str, str]:
    return {package: version(package) for package in sorted(set(PACKAGES.values()))}


def trajectory(case: Case) -> list[list[np.ndarray]]:
    """The parameters after each step of the reference, in float64."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # torch's NAdam keeps its product in the default type
    try:
        return _trajectory(case)
    finally:
        torch.set_default_dtype(default)


def _trajectory(case: Case) -> list[list[np.ndarray]]:
    params = [torch.tensor(p, requires_grad=True) for p in start(case.leaves)]
    optimizer = _make(case, params)
    out = []
    for step, noise_now in enumerate(noise(case.leaves)):
        learning_rate = rate(case, step) if case.scheduled else case.learning_rate
        if case.scheduled:
            optimizer.param_groups[0]["lr"] = learning_rate
        now = [p.detach().numpy() for p in params]
        for p, g in zip(params, gradient(now, noise_now), strict=True):
            p.grad = torch.tensor(g, dtype=torch.float64)
        if case.reference == "torch_sgd_on_scaled":
            _scale_as_lars(case, optimizer, params, learning_rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # qhoptim's deprecated overloads
            optimizer.step()
        out.append([p.detach().numpy().copy() for p in params])
    return out


def _scale_as_lars(case: Case, optimizer: Any, params: Any, learning_rate: float) -> None:
    """LARS's gradient with the rate inside, for a momentum step of `torch.optim.SGD(lr=1)`."""
    optimizer.param_groups[0]["lr"] = 1.0
    beta = case.numbers["weight_decay"]
    for p in params:
        w, g = p.detach(), p.grad
        local = case.numbers["trust_coefficient"] * w.norm() / (g.norm() + beta * w.norm())
        p.grad = learning_rate * local * (g + beta * w)


def _renamed(case: Case, names: dict[str, str]) -> dict[str, Any]:
    numbers = {names.get(k, k): v for k, v in case.numbers.items() if k not in ("b1", "b2")}
    return {"lr": case.learning_rate, **numbers}


def _betas(case: Case, b1: float = 0.9, b2: float = 0.999) -> tuple[float, float]:
    return case.numbers.get("b1", b1), case.numbers.get("b2", b2)


def _make(case: Case, params: Any) -> Any:
    return _MAKERS[case.reference](case, params)


def _torch(case: Case, params: Any) -> Any:
    optim, betas = torch.optim, {"betas": _betas(case)}
    l2 = {"l2": "weight_decay"}
    match case.name:
        case "sgd":
            return optim.SGD(params, **_renamed(case, l2))
        case "adagrad":
            return optim.Adagrad(params, **_renamed(case, l2))
        case "adadelta":
            return optim.Adadelta(params, **_renamed(case, l2))
        case "rmsprop":
            return optim.RMSprop(params, **_renamed(case, l2 | {"decay": "alpha"}))
        case "adam":
            return optim.Adam(params, **betas, **_renamed(case, l2))
        case "adamw":
            return optim.AdamW(params, **betas, **_renamed(case, {}))
        case "amsgrad" if "weight_decay" in case.numbers:
            return optim.AdamW(params, amsgrad=True, **betas, **_renamed(case, {}))
        case "amsgrad":
            return optim.Adam(params, amsgrad=True, **betas, **_renamed(case, l2))
        case "nadam":
            return optim.NAdam(params, **betas, **_renamed(case, l2))
        case "nadamw":
            numbers = {"weight_decay": 1e-2} | _renamed(case, {})
            return optim.NAdam(params, decoupled_weight_decay=True, **betas, **numbers)
        case "adamax":
            return optim.Adamax(params, **betas, **_renamed(case, l2))
        case "rprop":
            numbers = case.numbers
            etas = numbers.get("eta_minus", 0.5), numbers.get("eta_plus", 1.2)
            sizes = numbers.get("min_step", 1e-6), numbers.get("max_step", 50.0)
            return optim.Rprop(params, lr=case.learning_rate, etas=etas, step_sizes=sizes)
    raise KeyError(case.name)


def _timm_module(name: str) -> Any:
    """One of timm's optimizers by itself: the package's own import wants torchvision."""
    folder = pathlib.Path(str(distribution("timm").locate_file("timm")))
    for package, path in (("timm", folder), ("timm.optim", folder / "optim")):
        if package not in sys.modules:
            shell = types.ModuleType(package)
            shell.__path__ = [str(path)]
            sys.modules[package] = shell
    return importlib.import_module(f"timm.optim.{name}")


def _timm(case: Case, params: Any) -> Any:
    match case.name:
        case "sgdw":
            return _timm_module("sgdw").SGDW(params, **_renamed(case, {}))
        case "lars":
            numbers = {"eps": 0.0, "weight_decay": 0.0} | _renamed(
                case, {"trust_coefficient": "trust_coeff"}
            )
            return _timm_module("lars").Lars(
                params, momentum=numbers.pop("momentum", 0.9), **numbers, always_adapt=True
            )
        case "lamb":
            numbers = {"weight_decay": 0.0} | _renamed(case, {})
            betas = _betas(case)
            return _timm_module("lamb").Lamb(
                params, betas=betas, max_grad_norm=None, always_adapt=True, **numbers
            )
    raise KeyError(case.name)


def _adabelief(case: Case, params: Any) -> Any:
    from adabelief_pytorch import AdaBelief

    return AdaBelief(
        params,
        betas=_betas(case),
        weight_decouple="l2" not in case.numbers,
        rectify=False,
        print_change_log=False,
        **_renamed(case, {"l2": "weight_decay"}),
    )


def _qhoptim(case: Case, params: Any) -> Any:
    from qhoptim import pyt

    if case.name == "qhm":
        numbers = {"momentum": 0.999, "nu": 0.7} | _renamed(case, {"l2": "weight_decay"})
        kind = "direct" if "weight_decay" in case.numbers else "grad"
        return pyt.QHM(params, weight_decay_type=kind, **numbers)
    numbers = _renamed(case, {"l2": "weight_decay"})
    numbers["nus"] = numbers.pop("nu1", 0.7), numbers.pop("nu2", 1.0)
    numbers["betas"] = _betas(case, b1=0.995)
    if case.name == "qhadamw":
        return pyt.QHAdamW(params, **{"weight_decay": 1e-2} | numbers)
    return pyt.QHAdam(params, **numbers)


def _pytorch_optimizer(case: Case, params: Any) -> Any:
    import pytorch_optimizer

    # It switches when |λ - γ| <= 1e-8 + eps |γ|, with Adam's eps.
    eps = case.numbers.get("eps", 1e-9)
    assert math.isclose(case.numbers.get("switch_rtol", 0.0), eps, abs_tol=1e-8)
    return pytorch_optimizer.SWATS(
        params, lr=case.learning_rate, betas=_betas(case), eps=eps, weight_decay=0.0, foreach=False
    )


def _torch_sgd(case: Case, params: Any) -> Any:
    return torch.optim.SGD(params, lr=1.0, momentum=case.numbers.get("momentum", 0.9))


_MAKERS: dict[str, Callable[[Case, Any], Any]] = {
    "torch": _torch,
    "torch_sgd_on_scaled": _torch_sgd,
    "timm": _timm,
    "adabelief_pytorch": _adabelief,
    "qhoptim": _qhoptim,
    "pytorch_optimizer": _pytorch_optimizer,
}
