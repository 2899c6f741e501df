"""What a page says of where it was made: the versions, and the machine's kind."""

from __future__ import annotations

import importlib.metadata
import os
import platform

PACKAGES = ("lropt-jax", "jax", "jaxlib", "optax", "flax", "numpy")


def versions() -> dict[str, str]:
    """What ran: the versions of Python and the packages, and the machine's kind."""
    import jax

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    devices = jax.local_devices()
    kind = devices[0].device_kind
    found["devices"] = f"{len(devices)} x {kind} ({platform.machine()}, {os.cpu_count()} cores)"
    return found
