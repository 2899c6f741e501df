"""What is public is documented."""

from __future__ import annotations

import lropt_jax


def test_everything_public_is_documented_with_an_example():
    without = []
    for name in dir(lropt_jax):
        thing = getattr(lropt_jax, name)
        if name.startswith("_") or not callable(thing) or isinstance(thing, type):
            continue
        doc = thing.__doc__ or ""
        if ">>>" not in doc:
            without.append(name)
    assert without == []


def test_what_is_loaded_lazily_is_there():
    for name in ("models", "mlp", "cnn", "vgg11", "resnet18", "plot_schedules"):
        assert getattr(lropt_jax, name) is not None
