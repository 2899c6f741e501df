"""The networks against the same ones in PyTorch, with the same weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lropt_jax import models  # noqa: E402

tnn = torch.nn


def _cnn() -> Any:
    return tnn.Sequential(
        *(tnn.Conv2d(1, 32, 3), tnn.ReLU(), tnn.MaxPool2d(2)),
        *(tnn.Conv2d(32, 64, 3), tnn.ReLU(), tnn.MaxPool2d(2)),
        *(tnn.Flatten(), tnn.Linear(1600, 256), tnn.ReLU(), tnn.Linear(256, 10)),
    )


def _vgg11(width: int = 4) -> Any:
    layers: list[Any] = []
    channels = 3
    for multiples in ((1,), (2,), (4, 4), (8, 8), (8, 8)):
        for multiple in multiples:
            out = width * multiple
            convolution = tnn.Conv2d(channels, out, 3, padding=1, bias=False)
            layers += [convolution, tnn.BatchNorm2d(out), tnn.ReLU()]
            channels = out
        layers.append(tnn.MaxPool2d(2))
    return tnn.Sequential(*layers, tnn.Flatten(), tnn.Linear(channels, 10))


class _Block(tnn.Module):  # type: ignore[misc]
    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.conv1 = tnn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.norm1 = tnn.BatchNorm2d(out)
        self.conv2 = tnn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = tnn.BatchNorm2d(out)
        self.short = tnn.Sequential()
        if stride != 1 or channels != out:
            convolution = tnn.Conv2d(channels, out, 1, stride, bias=False)
            self.short = tnn.Sequential(convolution, tnn.BatchNorm2d(out))

    def forward(self, x: Any) -> Any:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.short(x))


def _resnet18(width: int = 4) -> Any:
    convolution = tnn.Conv2d(3, width, 3, padding=1, bias=False)
    layers: list[Any] = [convolution, tnn.BatchNorm2d(width), tnn.ReLU()]
    channels = width
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            layers.append(_Block(channels, width * 2**stage, stride))
            channels = width * 2**stage
    return tnn.Sequential(
        *layers, tnn.AdaptiveAvgPool2d(1), tnn.Flatten(), tnn.Linear(channels, 10)
    )


NETS = {
    "cnn": (models.cnn(dropout=0.0), _cnn, (28, 28, 1)),
    "vgg11": (models.vgg11(width=4), _vgg11, (32, 32, 3)),
    "resnet18": (models.resnet18(width=4), _resnet18, (32, 32, 3)),
}


def _weights(net: Any, image: tuple[int, int] | None) -> list[dict[str, np.ndarray]]:
    """The parameters of each layer that has any, in order, in Flax's layout."""
    found = []
    for layer in net.modules():
        if isinstance(layer, tnn.Conv2d):
            new = {"kernel": layer.weight.detach().permute(2, 3, 1, 0).numpy()}
        elif isinstance(layer, tnn.Linear):
            kernel = layer.weight.detach().T
            if image is not None and kernel.shape[0] == 1600:  # channels first to channels last
                kernel = kernel.reshape(64, *image, -1).permute(1, 2, 0, 3).reshape(1600, -1)
            new = {"kernel": kernel.numpy()}
        elif isinstance(layer, tnn.BatchNorm2d):
            new = {"scale": layer.weight.detach().numpy()}
        else:
            continue
        if layer.bias is not None:
            new["bias"] = layer.bias.detach().numpy()
        found.append(new)
    return found


def _filled(params: Any, weights: list[dict[str, np.ndarray]]) -> Any:
    """`params` with these weights; Flax numbers the layers of a kind in order of their use."""
    by_kind: dict[str, list[Any]] = {"Conv": [], "BatchNorm": [], "Dense": []}
    for layer in weights:
        kind = "BatchNorm" if "scale" in layer else "Conv" if layer["kernel"].ndim == 4 else "Dense"
        by_kind[kind].append(layer)

    def fill(tree: Any) -> Any:
        out = {}
        for name in sorted(tree, key=_use):
            kind = name.split("_")[0]
            out[name] = by_kind[kind].pop(0) if kind in by_kind else fill(tree[name])
        return out

    return fill(params)


def _use(name: str) -> tuple[bool, str, int]:
    kind, number = name.lstrip("_").split("_")
    return kind == "Block", kind, int(number)


@pytest.mark.parametrize("name", NETS)
def test_logits_and_gradients_equal_torchs(name: str) -> None:
    """In training mode, so that batch-norm uses the batch."""
    model, make, shape = NETS[name]
    torch.manual_seed(0)
    net = make()
    images = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    image_size = (5, 5) if name == "cnn" else None

    out = net(torch.from_numpy(images).permute(0, 3, 1, 2))
    weights = _weights(net, image_size)
    out.square().sum().backward()

    abstract = jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(images))
    params = _filled(abstract["params"], weights)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, abstract["params"])
    stats = jax.tree_util.tree_map_with_path(
        lambda path, x: np.full(x.shape, path[-1].key == "var", np.float32),
        abstract.get("batch_stats", {}),
    )

    def loss(params: Any) -> Any:
        variables = {"params": params, "batch_stats": stats}
        logits, state = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return jnp.sum(logits**2), (logits, state)

    grads, (logits, _) = jax.jit(jax.grad(loss, has_aux=True))(params)
    np.testing.assert_allclose(logits, out.detach().numpy(), rtol=1e-3, atol=1e-3)
    # The gradient of the first kernel has gone through all that is above it.
    first = next(layer for layer in net.modules() if isinstance(layer, tnn.Conv2d))
    expected = first.weight.grad.permute(2, 3, 1, 0).numpy()
    ours = grads["Conv_0"]["kernel"]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
