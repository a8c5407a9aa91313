"""Muon for the hidden matrices and AdamW for everything else, as one optimizer.

Muon (K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks", 2024) makes
the momentum of a matrix nearly orthogonal before each step, so it is defined for matrices only.
"""

from collections.abc import Iterable
from typing import Any

from torch.nn import Parameter
from torch.optim import AdamW, Muon, Optimizer

from optlab.errors import UserError


class MuonWithAdamW(Optimizer):
    """``torch.optim.Muon`` and ``torch.optim.AdamW`` behind one ``step``.

    Muon trains every weight of two dimensions except the last one, which belongs to the output
    layer. That includes the first layer, whose inputs here are pixels and not an embedding. AdamW
    trains the output layer, convolutions (four dimensions) and all biases. Both have the same
    learning rate and weight decay: Muon's steps are scaled to the size of AdamW's
    (``match_rms_adamw``; J. Liu and others, "Muon is scalable for LLM training", 2025).

    Args:
        params: the network's parameters, in the order of the network.
        lr: learning rate of both.
        momentum, nesterov, ns_steps: of Muon, which makes a step orthogonal in ``ns_steps``
            iterations.
        betas, eps: of AdamW.
        weight_decay: decoupled, of both; the default is PyTorch's for Muon.

    Raises:
        UserError: there is no hidden matrix among the parameters.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
    ):
        matrices, others = divide(params)
        both: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        own: dict[str, Any] = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
        usual: dict[str, Any] = {"betas": betas, "eps": eps}
        super().__init__([{"params": matrices}, {"params": others}], {**both, **own, **usual})
        self.parts = (
            Muon(matrices, **both, **own, adjust_lr_fn="match_rms_adamw"),
            AdamW(others, **both, **usual, fused=True),
        )
        # The groups of the parts themselves, so that they read what a scheduler writes here.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:  # type: ignore[override]
        """One step of both optimizers."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both optimizers."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def divide(params: Iterable[Parameter]) -> tuple[list[Parameter], list[Parameter]]:
    """The parameters for Muon and those for AdamW, both in their order.

    Raises:
        UserError: there is none for Muon.
    """
    everything = list(params)
    matrices = [p for p in everything if p.dim() == 2][:-1]
    if not matrices:
        raise UserError("muon trains hidden matrices, and this network has none; take adamw")
    chosen = set(map(id, matrices))
    return matrices, [p for p in everything if id(p) not in chosen]
