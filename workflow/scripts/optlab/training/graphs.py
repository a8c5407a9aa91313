"""A training step as one CUDA graph: recorded once, then started by a single call.

A small network's step on a GPU is a hundred short kernels, and starting them one by one takes
longer than they run. This was written without a GPU at hand: what surrounds the recording is
tested on a CPU, the recording itself in tests that need CUDA and have not been run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

WARM_UP = 3  # steps of the training that are taken one kernel at a time before one is recorded

Work = Callable[[], Tensor]


class Recorder(Protocol):
    """What makes a function that does some work again, reading the same tensors as before."""

    def warm(self, work: Work) -> Tensor:
        """Do the work as it will be recorded, so that libraries and states are set up."""

    def record(self, work: Work) -> Work:
        """Record the work without doing it."""


class Cuda:
    """Records a CUDA graph. Dropout stays random: PyTorch gives each replay its own numbers."""

    def __init__(self) -> None:
        self._stream = _side_stream(torch.cuda.current_device())

    def warm(self, work: Work) -> Tensor:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = work()
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def record(self, work: Work) -> Work:
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                result = work()
        except BaseException:
            torch.cuda.set_stream(before)  # which PyTorch forgets where the end of it fails too
            raise

        def replay() -> Tensor:
            graph.replay()
            return result.clone()

        return replay


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """One stream for all recordings of a process: libraries keep a workspace for each."""
    return torch.cuda.Stream(device)


class Graphed:
    """A step that is recorded once and replayed for every batch of its size.

    The warm-up consists of steps of the training, so that there is nothing to undo. A smaller
    batch, as the last one of an epoch, is taken as if there were no graph. Where recording fails
    all steps are, and a line in the log says why.

    Args:
        take: takes one step on one batch; its optimizer is ``capturable``.
        optimizer: its learning rate is read anew at each step where ``varying``.
    """

    def __init__(
        self,
        take: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        varying: bool,
        recorder: Recorder | None = None,
    ):
        self._take, self._recorder = take, recorder or Cuda()
        self._optimizer, self._varying = optimizer, varying
        self._rates: list[Tensor] = []  # what steps read in place of the groups' learning rates
        self._largest, self._left, self._failed = torch.Size([0]), WARM_UP, False
        self._x = self._y = torch.empty(0)  # what the recorded step reads
        self._given: Tensor | None = None  # the batch before
        self._replay: Work | None = None

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        if not self._varying:
            return self._step(x, y)
        with self._rates_in_place(x.device):
            return self._step(x, y)

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        if self._replay is None and x.numel() > self._largest.numel():
            self._largest, self._left = x.shape, WARM_UP  # one that goes on may begin with less
        if self._failed or x.shape != self._largest:
            return self._take(x, y)
        same = x is self._given  # the full batch is the same tensor at every step
        borrowed = self._given is self._x  # the recorded step reads it itself
        self._given = x
        if self._left > 0:
            self._left -= 1
            return self._recorder.warm(lambda: self._take(x, y))
        if self._replay is None or (borrowed and not same):
            self._x, self._y = (x, y) if same else (x.clone(), y.clone())
            self._replay = self._record()
        elif not same:
            self._x.copy_(x)
            self._y.copy_(y)
        return self._take(x, y) if self._replay is None else self._replay()

    def _record(self) -> Work | None:
        """The recorded step; None where it cannot be recorded."""
        try:
            return self._recorder.record(lambda: self._take(self._x, self._y))
        except Exception as error:
            self._failed = True
            for group in self._optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None  # it may lie where nothing has been computed
            # While recording, PyTorch's own error follows on the one that says what is wrong.
            reason = str(error.__context__ or error).partition("\n")[0]
            print(f"no CUDA graph, steps are taken kernel by kernel: {reason}", flush=True)
            return None

    @contextmanager
    def _rates_in_place(self, device: torch.device) -> Iterator[None]:
        """The optimizer's learning rates as tensors, which a recorded step reads anew.

        All steps read them there, so that a run that goes on, whose recording begins at another
        step, goes on with the same numbers. They are float32: fused steps take no other type.
        """
        groups = self._optimizer.param_groups
        numbers = [group["lr"] for group in groups]
        if not self._rates:
            self._rates = [torch.empty((), device=device) for _ in groups]
        for group, rate, number in zip(groups, self._rates, numbers, strict=True):
            group["lr"] = rate.fill_(number)
        try:
            yield
        finally:
            for group, number in zip(groups, numbers, strict=True):
                group["lr"] = number
