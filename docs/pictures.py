"""Draws the pictures of the gallery before the pages are read."""

from __future__ import annotations

from pathlib import Path


def draw(app):
    """One picture of all schedules."""
    import lropt_jax

    folder = Path(app.srcdir) / "_pictures"
    folder.mkdir(exist_ok=True)
    figure = lropt_jax.plot_schedules([lropt_jax.cosine_decay(0.1, 100)])
    figure.savefig(folder / "schedules.svg")


def setup(app):
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True}
