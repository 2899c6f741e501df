"""Files of events, read back by TensorBoard's own reader and by its HParams page."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator as accumulator

from lropt_jax import (
    Dataset,
    adam,
    adamw,
    choice,
    classification_task,
    compare,
    cosine_decay,
    fit,
    mlp,
    sgd,
    sweep,
    uniform,
)
from tests import guides


@pytest.fixture(scope="module")
def task() -> Any:
    rng = np.random.default_rng(0)
    data = Dataset.of(rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 2, 60))
    return classification_task(mlp((8, 2)), data, batch_size=10)


def _curves(folder: pathlib.Path) -> dict[str, tuple[list[int], list[float]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = accumulator.EventAccumulator(str(folder))
        reader.Reload()
    scalars = {name: reader.Scalars(name) for name in reader.Tags()["scalars"]}
    return {name: ([e.step for e in x], [e.value for e in x]) for name, x in scalars.items()}


def _page(folder: pathlib.Path) -> tuple[Any, dict[str, Any]]:
    """What TensorBoard shows as HParams: the experiment, and its session groups by name."""
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import (
        api_pb2,
        backend_context,
        get_experiment,
        list_session_groups,
    )

    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder))
    runs.Reload()
    provider = data_provider.MultiplexerDataProvider(runs, str(folder))
    at = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=str(folder)))
    asked = context.RequestContext()
    request = api_pb2.GetExperimentRequest()
    experiment = get_experiment.Handler(asked, at, "", request).run()
    states = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_RUNNING, api_pb2.STATUS_UNKNOWN]
    request = api_pb2.ListSessionGroupsRequest(slice_size=99, allowed_statuses=states)
    groups = list_session_groups.Handler(asked, at, "", request).run().session_groups
    return experiment, {group.sessions[0].name: group for group in groups}


def test_a_history_comes_back(task: Any, tmp_path: pathlib.Path) -> None:
    result = fit(task, adam(cosine_decay(0.1, 6)), 6, eval_every=2)
    result.to_tensorboard(tmp_path / "board")
    curves = _curves(tmp_path / "board")
    assert set(curves) == set(result.history) - {"step"}
    for name, (steps, values) in curves.items():
        assert steps == [2, 4, 6]
        np.testing.assert_allclose(values, result.history[name], rtol=1e-6)
    experiment, groups = _page(tmp_path / "board")
    assert {info.name.tag for info in experiment.metric_infos} == set(curves)
    (group,) = groups.values()
    assert group.hparams["learning_rate"].number_value == pytest.approx(0.075)
    assert group.hparams["b1"].number_value == 0.9  # and not that of float32


def test_it_is_written_anew(task: Any, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "events.out.tfevents.1.host"
    other.write_bytes(b"")
    for steps in (2, 4):
        fit(task, sgd(0.1), steps, eval_every=2).to_tensorboard(str(tmp_path))
    assert _curves(tmp_path)["train_loss"][0] == [2, 4]
    assert other.exists()
    with pytest.raises(ValueError, match=r"directory must be a folder, got the file '.*host'"):
        fit(task, sgd(0.1), 2).to_tensorboard(other)


def test_a_home_is_found(task: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fit(task, sgd(0.1), 2).to_tensorboard("~/board") == tmp_path / "board"
    assert _curves(tmp_path / "board")


def test_a_sweep_comes_back(
    task: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    space = {"learning_rate": [0.1, 1e30], "mask": choice(["no_bias_norm", None])}
    result = sweep(task, adamw, space, seeds=[0, 7], steps=6, eval_every=2, progress=False)
    caplog.clear()
    result.to_tensorboard(tmp_path)
    assert "NaN" not in caplog.text  # a lane that diverged is no news
    experiment, groups = _page(tmp_path)
    assert {info.name for info in experiment.hparam_infos} == {
        *("learning_rate", "mask", "seed", "status")
    }
    assert set(groups) == {f"trial-{t}/seed-{s}" for t in range(4) for s in (0, 7)}
    for t, configuration in enumerate(result.trials):
        for s, seed in enumerate(result.seeds):
            group = groups[f"trial-{t}/seed-{seed}"]
            rate = group.hparams["learning_rate"].number_value
            assert rate == configuration["learning_rate"]
            assert group.hparams["mask"].string_value == str(configuration["mask"])
            assert group.hparams["seed"].number_value == seed
            assert group.hparams["status"].string_value == result.status[t, s]
            shown = {m.name.tag: m.value for m in group.metric_values}
            curves = _curves(tmp_path / f"trial-{t}" / f"seed-{seed}")
            for name, values in result.values.items():
                np.testing.assert_allclose(curves[name][1], values[t, s], rtol=1e-6)
                np.testing.assert_allclose(shown[name], values[t, s, -1], rtol=1e-6)
    assert (result.status == "diverged").any()


def test_a_comparison_comes_back(task: Any, tmp_path: pathlib.Path) -> None:
    optimizers = {"a": (sgd, {"learning_rate": [0.01, 0.1]}), "b": (adam, {"learning_rate": [0.1]})}
    result = compare(task, optimizers, steps=4, seeds=2, tuning_seeds=1, progress=False)
    result.to_tensorboard(tmp_path)
    _, groups = _page(tmp_path)
    expected = set()
    for name, contestant in result.contestants.items():
        for phase, part in (("tune", contestant.tuning), ("retrain", contestant.retraining)):
            for t, s in np.ndindex(*part.status.shape):
                run = f"{name}/{phase}/trial-{t}/seed-{part.seeds[s]}"
                expected.add(run)
                group = groups[run].hparams
                assert (group["optimizer"].string_value, group["phase"].string_value) == (
                    name,
                    phase,
                )
                rate = part.trials[t]["learning_rate"]
                assert group["learning_rate"].number_value == pytest.approx(rate)
                curve = _curves(tmp_path / run)["train_loss"][1]
                np.testing.assert_allclose(curve, part.values["train_loss"][t, s], rtol=1e-6)
    assert set(groups) == expected


def test_what_was_measured_at_the_end_is_there(task: Any, tmp_path: pathlib.Path) -> None:
    result = sweep(task, sgd, {"learning_rate": [0.1]}, steps=4, eval_every=2, progress=False)
    measured = dataclasses.replace(result, final={"test_loss": np.array([[0.25]])})
    measured.to_tensorboard(tmp_path)
    assert _curves(tmp_path / "trial-0" / "seed-0")["final/test_loss"] == ([4], [0.25])
    experiment, _ = _page(tmp_path)
    assert "final/test_loss" in {info.name.tag for info in experiment.metric_infos}


def test_spaces_with_other_names_share_a_page(task: Any, tmp_path: pathlib.Path) -> None:
    def made(optimizer: Any, learning_rate: Any, momentum: Any = None) -> Any:
        return sgd(learning_rate, momentum) if optimizer == "sgd" else adam(learning_rate)

    spaces = [
        {"optimizer": choice("sgd"), "learning_rate": 0.1, "momentum": uniform(0.5, 0.9)},
        {"optimizer": choice("adam"), "learning_rate": 0.01},
    ]
    result = sweep(task, made, spaces, trials=4, steps=2, progress=False)
    result.to_tensorboard(tmp_path)
    experiment, groups = _page(tmp_path)
    names = {info.name for info in experiment.hparam_infos}
    assert {"optimizer", "learning_rate", "momentum"} <= names
    has = [bool("momentum" in g.hparams) for _, g in sorted(groups.items())]
    assert has == ["momentum" in trial for trial in result.trials]


def test_without_the_writer_nothing_is_begun(
    task: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = fit(task, sgd(0.1), 2)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    words = r"to_tensorboard needs tensorboardX: pip install 'lropt-jax\[tensorboard\]'"
    with pytest.raises(ImportError, match=words):
        result.to_tensorboard(tmp_path / "board")
    assert not (tmp_path / "board").exists()


@pytest.mark.slow
def test_the_page_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = guides.run("trackers.md", blocks=3, section="TensorBoard")
    live, history = _curves(tmp_path / "runs" / "live"), names["moment"].history
    np.testing.assert_allclose(live["valid_loss"][1], history["valid_loss"], rtol=1e-6)
    assert len(_page(tmp_path / "runs" / "adam")[1]) == 6
