"""How an optimizer wants to be used, as its class says: published optimizers differ in it.

What is read here is the signature and the source of a class, so that nothing has to be tried, and
a resumed run does the same as one that was never interrupted.
"""

import ast
import inspect
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from optlab.errors import UserError


@dataclass(frozen=True)
class Protocol:
    """What a step of an optimizer needs.

    Attributes:
        closure: the step evaluates the loss itself, any number of times, as that of L-BFGS does.
        first_step: the step calls ``first_step``, which expects gradients, and then the closure, as
            sharpness-aware minimization does (P. Foret and others, arXiv:2010.01412).
        create_graph: gradients can be differentiated, for second derivatives.
        backward: the name of the method by which the optimizer computes gradients itself;
            ``fused_backward`` also changes the weights, as LOMO does (arXiv:2306.09782).
        modes: it has ``train()`` and ``eval()``, which exchange the weights that are trained for
            those that are evaluated, as schedule-free optimizers do (arXiv:2405.15682).
    """

    closure: bool = False
    first_step: bool = False
    create_graph: bool = False
    backward: str = ""
    modes: bool = False

    @property
    def apart(self) -> bool:
        """Whether a step uses the gradients that were computed before, and computes none itself."""
        return not (self.closure or self.backward)


def of(cls: type) -> Protocol:
    """The protocol of a class.

    Raises:
        UserError: it needs what a run does not have.
    """
    return _read(cast(Any, cls))


@cache
def _read(cls: Any) -> Protocol:
    if cls.__module__.startswith(("torch.optim.", "optlab.")):
        return Protocol(closure=_needs_closure(cls))
    if hasattr(cls, "pc_backward"):
        several = "combines the gradients of several losses (pc_backward), and a run has one"
        raise UserError(f"{cls.__name__} {several}")
    methods = [name for name in ("fused_backward", "backward") if callable(_method(cls, name))]
    return Protocol(
        closure=_needs_closure(cls),
        first_step=callable(_method(cls, "first_step")),
        create_graph="create_graph" in _source(cls),
        backward=methods[0] if methods else "",
        modes=all(callable(_method(cls, name)) for name in ("train", "eval")),
    )


def _method(cls: type, name: str) -> Any:
    return getattr(cls, name, None)


def _needs_closure(cls: type) -> bool:
    step = inspect.unwrap(cls.step)  # type: ignore[attr-defined]
    for name, given in list(inspect.signature(step).parameters.items())[1:]:
        required = given.default is given.empty and given.kind is given.POSITIONAL_OR_KEYWORD
        if "closure" in name:
            return required or _demands(_tree(step), name)
        if required:
            raise UserError(f"the step of {cls.__name__} needs '{name}', which a run does not have")
    return False


def _tree(function: Any) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(_source(function)))
    except SyntaxError:
        return ast.Module([], [])


def _demands(node: ast.AST, name: str) -> bool:
    """Whether code cannot do without ``name``: it refuses None, or calls it without looking."""
    test = getattr(node, "test", None)
    if isinstance(node, ast.If) and _mentions(test, name):
        refuses = any(isinstance(inner, ast.Raise) for inner in node.body)
        return refuses and not _is_there(test)
    if isinstance(node, ast.IfExp | ast.BoolOp) and _mentions(node, name):
        return False
    if isinstance(node, ast.Assert) and _mentions(test, name):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
        return True
    return any(_demands(inner, name) for inner in ast.iter_child_nodes(node))


def _mentions(node: Any, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


def _is_there(test: Any) -> bool:
    """Whether a condition holds where something is given: ``closure``, ``closure is not None``."""
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    compared = test.ops if isinstance(test, ast.Compare) else []
    return not negated and not any(isinstance(operator, ast.Is | ast.Eq) for operator in compared)


def _source(of: Any) -> str:
    """The source of a function, or of a class and those that it is made from; empty if unknown."""
    parts = of.__mro__ if isinstance(of, type) else [of]
    found = []
    for part in parts:
        if not part.__module__.startswith(("torch.", "builtins")):
            try:
                found.append(inspect.getsource(part))
            except (OSError, TypeError):
                continue
    return "\n".join(found)


def backward_of(optimizer: Any) -> Callable[[Tensor], None] | None:
    """What computes gradients in place of a plain ``backward``; None where nothing does."""
    protocol = of(type(optimizer))
    if protocol.backward == "fused_backward":
        return lambda value: optimizer.fused_backward(value, optimizer.param_groups[0]["lr"])
    if protocol.backward:
        return getattr(optimizer, protocol.backward)
    return _with_graph if protocol.create_graph else None


def _with_graph(value: Tensor) -> None:
    with warnings.catch_warnings():  # of cycles of references, which end with the gradients
        warnings.filterwarnings("ignore", message="Using backward.* with create_graph=True")
        value.backward(create_graph=True)


def give_first_gradients(optimizer: Any, gradient: Callable[[], Any]) -> None:
    """Let ``first_step`` compute the gradients that it expects, where nothing has before it."""
    first = optimizer.first_step

    def first_step(*arguments: Any, **keywords: Any) -> Any:
        groups = optimizer.param_groups
        if all(p.grad is None for group in groups for p in group["params"]):
            with torch.enable_grad():
                gradient()
        return first(*arguments, **keywords)

    optimizer.first_step = first_step


def set_mode(optimizer: Any, training: bool) -> bool:
    """Put the weights in place that are trained, or those that are evaluated.

    Returns:
        Whether they may be different ones.
    """
    if modes := of(type(optimizer)).modes:
        (optimizer.train if training else optimizer.eval)()
    return modes
