"""A small causal transformer for texts, as GPT-2 (A. Radford and others, 2019).

Embeddings of symbols and of their positions, which are learned; blocks of attention and of an MLP
with GELU, each behind a layer normalisation and beside a shortcut; a last normalisation and the
output layer. Initial weights are GPT-2's: normal with deviation 0.02, and for layers that add to a
shortcut divided by the root of their number; biases are zero. Unlike GPT-2's, the output layer has
weights of its own: a vocabulary of characters is small.
"""

import math
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from optlab.catalogue import networks
from optlab.errors import UserError

DEVIATION = 0.02  # of initial weights


def build(
    shape: tuple[int, ...], outputs: int, layers: int, heads: int, units: int, dropout: float
) -> nn.Module:
    """The network with this number of blocks, of heads in each, and of units.

    Raises:
        UserError: the examples are no texts, or the heads cannot share the units.
    """
    if reason := networks.gpt_cannot(shape, {"heads": heads, "units": units}):
        raise UserError(reason)
    return Gpt(shape[0], outputs, layers, heads, units, dropout)


class Gpt(nn.Module):
    """Symbols int64 [examples, symbols] -> logits [examples, symbols, outputs]."""

    def __init__(
        self, context: int, outputs: int, layers: int, heads: int, units: int, dropout: float
    ):
        super().__init__()
        last = DEVIATION / math.sqrt(2 * layers)
        self.symbols, self.positions = _embedding(outputs, units), _embedding(context, units)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(heads, units, dropout, last) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(units), _linear(units, outputs)

    def forward(self, symbols: Tensor) -> Tensor:
        positions = self.positions.weight[: symbols.shape[-1]]
        x = self.blocks(self.dropout(self.symbols(symbols) + positions))
        return cast(Tensor, self.head(self.norm(x)))


class Block(nn.Module):
    """Attention and an MLP, each normalised before and added to its input.

    ``last`` is the deviation of the weights of their last layers.
    """

    def __init__(self, heads: int, units: int, dropout: float, last: float):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(units), Attention(heads, units, dropout, last)
        self.norm2, self.inner = nn.LayerNorm(units), _linear(units, 4 * units)
        self.outer, self.dropout = _linear(4 * units, units, last), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        hidden = functional.gelu(self.inner(self.norm2(x)), approximate="tanh")
        return cast(Tensor, x + self.dropout(self.outer(hidden)))


class Attention(nn.Module):
    """Each symbol looks at itself and at those before it."""

    def __init__(self, heads: int, units: int, dropout: float, last: float):
        super().__init__()
        self.inputs, self.outer = _linear(units, 3 * units), _linear(units, units, last)
        self.dropout = nn.Dropout(dropout)
        self._heads, self._rate = heads, dropout

    def forward(self, x: Tensor) -> Tensor:
        # [examples, symbols, units] -> [examples, heads, symbols, units of a head]
        query, key, value = (
            part.unflatten(-1, (self._heads, -1)).transpose(-3, -2)
            for part in self.inputs(x).chunk(3, dim=-1)
        )
        seen = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self._rate if self.training else 0.0, is_causal=True
        )
        return cast(Tensor, self.dropout(self.outer(seen.transpose(-3, -2).flatten(-2))))


def _embedding(number: int, units: int) -> nn.Embedding:
    layer = nn.Embedding(number, units)
    nn.init.normal_(layer.weight, std=DEVIATION)
    return layer


def _linear(inputs: int, outputs: int, deviation: float = DEVIATION) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=deviation)
    nn.init.zeros_(layer.bias)
    return layer
