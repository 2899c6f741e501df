"""What is made before the pages are read: pictures of the gallery, copies of the notebooks.

Pictures that are there already are kept; `rm -r docs/_pictures` draws all anew.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def draw(app):
    """Everything that `gallery.md` shows."""
    import matplotlib
    from matplotlib.figure import Figure

    import lropt_jax
    from lropt_jax.plotting.style import RC

    folder = Path(app.srcdir) / "_pictures"
    folder.mkdir(exist_ok=True)
    for name, make in lropt_jax.SCHEDULES.items():
        path = folder / f"schedule-{name}.svg"
        if not path.exists():
            with matplotlib.rc_context(RC):
                axes = Figure(figsize=(3.4, 2.0), layout="constrained").subplots()
                if name == "reduce_on_plateau":
                    axes.plot(_at_a_plateau(make))
                    axes.set_xlabel("observations")
                else:
                    lropt_jax.plot_schedules(make, ax=axes)
                    axes.legend_.remove()
                axes.set(ylabel="")
                axes.figure.savefig(path)
    for name, make in lropt_jax.OPTIMIZERS.items():
        path = folder / f"optimizer-{name}.png"
        if not path.exists():
            lropt_jax.plot_paths({name: make}).savefig(path)


def _at_a_plateau(make):
    """What the schedule gives while a loss falls for a third of the time, and then no more."""
    import jax.numpy as jnp

    import lropt_jax

    state, rates = lropt_jax.sgd(make(0.1, factor=0.5, patience=10)).init(jnp.zeros(1)), []
    for count in range(80):
        rates.append(float(lropt_jax.hyperparams(state)["learning_rate"]))
        state = lropt_jax.observe(state, 1.0 / min(1 + count, 25))
    return rates


def copy_notebooks(app):
    """The executed notebooks, as pages."""
    source = Path(app.srcdir).parent / "notebooks"
    shutil.copytree(source, Path(app.srcdir) / "notebooks", dirs_exist_ok=True)


def setup(app):
    app.connect("builder-inited", draw)
    app.connect("builder-inited", copy_notebooks)
    return {"parallel_read_safe": True}
