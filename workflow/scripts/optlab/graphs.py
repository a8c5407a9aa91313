"""A training step as one CUDA graph: recorded once, then started by a single call.

A small network's step on a GPU is a hundred short kernels, and starting them one by one takes
longer than they run. This was written without a GPU at hand: what surrounds the recording is
tested on a CPU, the recording itself in tests that need CUDA and have not been run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        self._stream = torch.cuda.Stream()

    def warm(self, work: Work) -> Tensor:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = work()
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def record(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            result = work()

        def replay() -> Tensor:
            graph.replay()
            return result.clone()

        return replay


class Graphed:
    """A step that is recorded once and replayed for every batch of the first one's size.

    The warm-up consists of steps of the training, so that there is nothing to undo. A batch of
    another size, as the last one of an epoch, is taken as if there were no graph. Where recording
    fails all steps are, and a line in the log says why.

    Args:
        take: takes one step on one batch; its optimizer is ``capturable``.
        optimizer: its learning rate is read at each step where ``varying``.
    """

    def __init__(
        self,
        take: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        varying: bool,
        recorder: Recorder | None = None,
    ):
        self._take, self._recorder = take, recorder or Cuda()
        self._groups = optimizer.param_groups if varying else []
        self._rates: list[Tensor] = []  # what the recorded step reads in place of the groups' rates
        self._x = self._y = torch.empty(0)
        self._given: Tensor | None = None
        self._left = WARM_UP
        self._replay: Work | None = None

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        if self._left == WARM_UP:
            self._x, self._y = torch.empty_like(x), torch.empty_like(y)
        if self._left < 0 or x.shape != self._x.shape:
            return self._take(x, y)
        if self._left > 0:
            self._left -= 1
            return self._recorder.warm(lambda: self._take(x, y))
        if x is not self._given:  # the full batch is the same tensor at every step
            self._x.copy_(x)
            self._y.copy_(y)
            self._given = x
        if self._replay is None:
            try:
                self._replay = self._record()
            except Exception as error:
                self._left = -1
                reason = str(error).partition("\n")[0]
                print(f"no CUDA graph, steps are taken kernel by kernel: {reason}", flush=True)
                return self._take(x, y)
        for rate, group in zip(self._rates, self._groups, strict=True):
            rate.fill_(group["lr"])
        return self._replay()

    def _record(self) -> Work:
        device = self._x.device
        self._rates = [torch.tensor(float(group["lr"]), device=device) for group in self._groups]
        with self._rates_in_place():
            return self._recorder.record(lambda: self._take(self._x, self._y))

    @contextmanager
    def _rates_in_place(self) -> Iterator[None]:
        """The optimizer's learning rates as tensors, which a recorded step reads anew."""
        numbers = [group["lr"] for group in self._groups]
        for group, rate in zip(self._groups, self._rates, strict=True):
            group["lr"] = rate
        try:
            yield
        finally:
            for group, number in zip(self._groups, numbers, strict=True):
                group["lr"] = number
