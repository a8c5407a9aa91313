"""Imports of torchvision, and of what needs it, beside a CPU build of torch."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")
_declared: list[Any] = []  # libraries whose declarations hold as long as the objects live


def importing(load: Callable[[], T]) -> T:
    """What ``load`` imports, although torchvision's compiled operators cannot be loaded.

    Where torch is a CPU build, the operators of torchvision's wheel lack CUDA's libraries, and the
    import fails because two of them are unknown. Declaring these two is enough for data sets,
    transforms and networks. It is done only after a failure, because declaring an existing operator
    is an error.
    """
    try:
        return load()
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or _declared:
            raise
        # By name: reading a study imports this module, but must not need PyTorch.
        library = import_module("torch.library").Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
    return load()
