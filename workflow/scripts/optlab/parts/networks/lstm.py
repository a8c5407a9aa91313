"""A recurrent network for texts: embedding, LSTM layers, output layer.

Dropout is on what layers pass on, never on what a layer passes to its next step (W. Zaremba and
others, arXiv:1409.2329).
"""

from typing import cast

from torch import Tensor, nn

from optlab.catalogue import networks
from optlab.errors import UserError


def build(
    shape: tuple[int, ...], outputs: int, layers: int, units: int, dropout: float
) -> nn.Module:
    """The network with this number of layers and of units in each.

    Raises:
        UserError: the examples are no texts.
    """
    if reason := networks.lstm_cannot(shape, {}):
        raise UserError(reason)
    return Lstm(outputs, layers, units, dropout)


class Lstm(nn.Module):
    """Symbols int64 [examples, symbols] -> logits [examples, symbols, outputs]."""

    def __init__(self, outputs: int, layers: int, units: int, dropout: float):
        super().__init__()
        between = dropout if layers > 1 else 0.0  # PyTorch warns where there is nothing between
        self.embedding = nn.Embedding(outputs, units)
        self.recurrent = nn.LSTM(units, units, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(units, outputs)

    def forward(self, symbols: Tensor) -> Tensor:
        states, _ = self.recurrent(self.dropout(self.embedding(symbols)))
        return cast(Tensor, self.head(self.dropout(states)))
