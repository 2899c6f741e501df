"""Draws the pictures of the gallery before the pages are read: one of each schedule, one of each
optimizer. Those that are there already are kept; `rm -r docs/_pictures` draws all anew."""

from __future__ import annotations

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
                lropt_jax.plot_schedules(make, ax=axes)
                axes.legend_.remove()
                axes.set(ylabel="")
                axes.figure.savefig(path)
    for name, make in lropt_jax.OPTIMIZERS.items():
        path = folder / f"optimizer-{name}.png"
        if not path.exists():
            lropt_jax.plot_paths({name: make}).savefig(path)


def setup(app):
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True}
