"""Small networks for signals and texts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn


class SignalConvolutions(nn.Module):
    """Three one-dimensional convolutions, each halving the signal, then a linear layer.

    Attributes:
      classes: the number of classes.
      channels: of each convolution.
    """

    classes: int = 10
    channels: int = 25

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of signals of shape (batch, length)."""
        x = x[..., None]
        for size in (5, 3, 3):
            x = nn.relu(nn.Conv(self.channels, (size,), strides=2, padding=1)(x))
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


class SignalRecurrence(nn.Module):
    """A gated recurrent unit that reads a signal value by value; the last state is classified.

    Attributes:
      classes: the number of classes.
      width: of the state.
    """

    classes: int = 10
    width: int = 32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of signals of shape (batch, length)."""
        states: jax.Array = nn.RNN(nn.GRUCell(self.width))(x[..., None])  # type: ignore[assignment]
        return nn.Dense(self.classes)(states[:, -1])


class NeighbourTokens(nn.Module):
    """The next token from the embeddings of the last few, side by side (Bengio et al. 2003).

    Attributes:
      vocabulary: the number of tokens.
      embedding: numbers a token.
      width: of the hidden layer.
    """

    vocabulary: int
    embedding: int = 16
    width: int = 128

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of contexts of shape (batch, tokens)."""
        x = nn.Embed(self.vocabulary, self.embedding)(x).reshape(len(x), -1)
        return nn.Dense(self.vocabulary)(nn.tanh(nn.Dense(self.width)(x)))


class Transformer(nn.Module):
    """A causal transformer with normalisation before each part and learned positions.

    Attributes:
      vocabulary: the number of tokens.
      length: of a window, at most.
      width: of the residual stream.
      layers: attention and a two-layer net of four times the width each.
      heads: of attention.
    """

    vocabulary: int
    length: int = 32
    width: int = 32
    layers: int = 2
    heads: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of windows, (batch, length), for each position: (batch, length, vocabulary)."""
        causal = nn.make_causal_mask(x)
        places = nn.Embed(self.length, self.width)(jnp.arange(x.shape[1]))
        x = nn.Embed(self.vocabulary, self.width)(x) + places[None]
        for _ in range(self.layers):
            attention = nn.MultiHeadDotProductAttention(self.heads)
            x = x + attention(nn.LayerNorm()(x), mask=causal)
            hidden = nn.Dense(4 * self.width)(nn.LayerNorm()(x))
            x = x + nn.Dense(self.width)(nn.gelu(hidden))
        return nn.Dense(self.vocabulary)(nn.LayerNorm()(x))
