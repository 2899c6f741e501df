"""Whose code is it, a library's or a person's own?"""

from __future__ import annotations

import functools
import site
import sys
import sysconfig
from pathlib import Path

LIBRARIES = ("lropt_jax", "jax", "jaxlib", "optax", "flax", "chex", "numpy", "scipy")


@functools.cache
def library_roots() -> tuple[Path, ...]:
    """Where Python and installed packages lie."""
    paths = {sysconfig.get_paths()[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(Path(p).resolve() for p in {*paths, *site.getsitepackages()})


@functools.cache
def is_library(module_name: str) -> bool:
    """Whether a module is part of Python or of an installed package."""
    top = module_name.partition(".")[0]
    if top in LIBRARIES or top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return top != "__main__"
    file = getattr(sys.modules.get(module_name), "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    return any(root in path.parents for root in library_roots())
