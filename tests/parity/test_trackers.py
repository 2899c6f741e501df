"""The recipes for trackers run, offline, and what they wrote is what was trained."""

from __future__ import annotations

import importlib
import pathlib
import struct
from collections.abc import Iterator

import pytest

from tests import guides


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_weights_and_biases(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    pytest.importorskip("wandb")
    names = guides.run("trackers.md", blocks=3, section="Weights & Biases")
    result, moment = names["result"], names["moment"]
    written = [_history(path) for path in tmp_path.rglob("*.wandb")]
    expected = [list(moment.history["valid_loss"])]
    expected += [list(losses.mean(axis=0)) for losses in result.values["valid_loss"]]
    steps = list(result.steps)
    assert sorted(written) == [(steps, pytest.approx(losses)) for losses in sorted(expected)]


def _history(path: pathlib.Path) -> tuple[list[int], list[float]]:
    """The steps and the losses of an offline run."""
    records = importlib.import_module("wandb.proto.wandb_internal_pb2")
    steps, losses = [], []
    for data in _records(path.read_bytes()):
        record = records.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            row = {i.key or i.nested_key[0]: i.value_json for i in record.history.item}
            steps.append(int(row["_step"]))
            losses.append(float(row["valid_loss"]))
    return steps, losses


def _records(content: bytes) -> Iterator[bytes]:
    """LevelDB's log format: records of blocks of 32 KiB, after a header of 7 bytes."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part of one
            yield parts
            parts = b""


def test_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = pytest.importorskip("mlflow")
    names = guides.run("trackers.md", blocks=3, section="MLflow")
    result, moment = names["result"], names["moment"]
    client = mlflow.MlflowClient()
    runs = {run.info.run_name: run for run in client.search_runs(["0"])}
    assert set(runs) == {"adam", "sweep", "trial 0", "trial 1", "trial 2"}
    losses = client.get_metric_history(runs["adam"].info.run_id, "valid_loss")
    assert [m.step for m in losses] == list(moment.history["step"])
    assert [m.value for m in losses] == pytest.approx(moment.history["valid_loss"])
    assert float(runs["trial 2"].data.params["learning_rate"]) == 0.1
    means = result.values["valid_accuracy"][2].mean(axis=0)
    last = client.get_metric_history(runs["trial 2"].info.run_id, "valid_accuracy")
    assert [m.value for m in last] == pytest.approx(means)
