"""Parameter groups: the weights that an optimizer treats differently."""

import inspect
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from optlab.errors import UserError

Named = Mapping[str, Tensor]
KINDS = ("bias", "norm")  # words with a meaning of their own; others are patterns of names
FLAG = "use_muon"  # key of a group by which Muon and its relatives tell hidden matrices


def of(
    named: Named, model: nn.Module, cls: Any, no_weight_decay: Sequence[str]
) -> list[Tensor] | list[dict[str, Any]]:
    """The parameters as an optimizer takes them: a list, or groups if it treats some differently.

    Args:
        named: parameters by name.
        model: the network, whose layers say what they are.
        cls: the optimizer's class.
        no_weight_decay: ``bias``, ``norm`` (of normalization layers), or patterns of names.

    Raises:
        UserError: a word fits no parameter, or the network has no hidden matrix for Muon.
    """
    groups: list[dict[str, Any]] = [{"params": named}]
    if flagged(cls):
        groups = _split(groups, _hidden(named, model), {FLAG: True}, {FLAG: False})
    if no_weight_decay:
        groups = _split(groups, _undecayed(named, model, no_weight_decay), {"weight_decay": 0.0})
    if len(groups) == 1 and groups[0].keys() == {"params"}:
        return list(named.values())
    return [{**group, "params": list(group["params"].values())} for group in groups]


def flagged(cls: Any) -> bool:
    """Whether a class expects the key `FLAG` in each group, as far as its source says."""
    try:
        return any(f"'{FLAG}'" in text or f'"{FLAG}"' in text for text in _sources(cls))
    except (OSError, TypeError):
        return False


def _sources(cls: Any) -> list[str]:
    classes = [
        c
        for c in getattr(cls, "__mro__", ())
        if not c.__module__.startswith(("torch.", "builtins"))
    ]
    return [inspect.getsource(c.__init__) for c in classes if "__init__" in vars(c)]


def _split(
    groups: Sequence[Mapping[str, Any]],
    chosen: set[str],
    keys: Mapping[str, Any],
    others: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Each group divided into the chosen parameters, which get ``keys``, and the rest."""
    found = []
    for group in groups:
        for inside, more in ((True, keys), (False, others or {})):
            params = {n: p for n, p in group["params"].items() if (n in chosen) == inside}
            if params:
                found.append({**group, "params": params, **more})
    return found


def _hidden(named: Named, model: nn.Module) -> set[str]:
    """Hidden matrices and filters: not embeddings, nor the last one, which gives the outputs."""
    tables = {
        f"{layer}.{name}" if layer else name
        for layer, module in model.named_modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for name, _ in module.named_parameters(recurse=False)
    }
    matrices = [name for name, p in named.items() if p.dim() >= 2 and name not in tables][:-1]
    if not matrices:
        raise UserError("this optimizer trains hidden matrices, and the network has none")
    return set(matrices)


def _undecayed(named: Named, model: nn.Module, words: Sequence[str]) -> set[str]:
    """The names of the parameters that the words name."""
    norms = {
        f"{layer}.{name}" if layer else name
        for layer, module in model.named_modules()
        if "Norm" in type(module).__name__
        for name, _ in module.named_parameters(recurse=False)
    }
    found: set[str] = set()
    for word in words:
        if word == "bias":
            chosen = {name for name in named if name.rpartition(".")[2].startswith("bias")}
        elif word == "norm":
            chosen = norms & named.keys()
        else:
            chosen = {name for name in named if fnmatchcase(name, word)}
        if not chosen and word not in KINDS:
            some = ", ".join(list(named)[:6])
            raise UserError(f"no_weight_decay: '{word}' fits no parameter of {some}, …")
        found |= chosen
    return found
