"""A training step as a CUDA graph: recorded once, then launched by a single call.

A step of a small network on a GPU is about a hundred short kernels, and launching them one by one
takes longer than running them. No GPU was available when this was written: everything around the
recording is tested on a CPU, but the tests of the recording itself, which need CUDA, have not run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

WARM_UP = 3  # training steps that are taken without a graph before one is recorded

Work = Callable[[], Tensor]


class Cuda:
    """Records work as CUDA graphs, which are replayed on the same tensors.

    PyTorch gives each replay other random numbers, so dropout works.
    """

    def __init__(self) -> None:
        self._stream = _side_stream(torch.cuda.current_device())

    def warm(self, work: Work) -> Tensor:
        """Do the work in the stream of the recordings, which initializes libraries and states."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = work()
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def record(self, work: Work) -> Work:
        """A function that replays the work, which is recorded without being done."""
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                result = work()
        except BaseException:
            torch.cuda.set_stream(before)  # PyTorch does not, if ending the capture fails too
            raise

        def replay() -> Tensor:
            graph.replay()
            return result.clone()

        return replay


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """The stream of all recordings of a process: libraries keep a workspace for each stream."""
    return torch.cuda.Stream(device)


class Graphed:
    """A step that is recorded once and replayed for every batch of the largest size.

    The warm-up steps are steps of the training, so nothing has to be undone. Smaller batches, as
    the last one of an epoch, are taken without the graph. If recording fails, all steps are, and a
    line in the log gives the reason.

    Args:
        take: takes one step on one batch.
        optimizer: the optimizer of ``take``, built as ``capturable``.
        varying: whether the learning rate changes between steps.
        recorder: records the step; tests give one that needs no GPU.
    """

    def __init__(
        self,
        take: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        varying: bool,
        recorder: Cuda | None = None,
    ):
        self._take, self._recorder = take, recorder or Cuda()
        self._optimizer, self._varying = optimizer, varying
        self._rates: list[Tensor] = []  # learning rates on the device, one per parameter group
        self._largest, self._left, self._failed = torch.Size([0]), WARM_UP, False
        self._x = self._y = torch.empty(0)  # the batch that the recorded step reads
        self._given: Tensor | None = None  # the inputs of the previous call
        self._replay: Work | None = None

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        if not self._varying:
            return self._step(x, y)
        with self._rates_in_place(x.device):
            return self._step(x, y)

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        if self._replay is None and x.numel() > self._largest.numel():
            # A resumed run may start with a short batch, so the largest shape is found on the way.
            self._largest, self._left = x.shape, WARM_UP
        if self._failed or x.shape != self._largest:
            return self._take(x, y)
        same = x is self._given  # full batches are the same tensor at every step
        borrowed = self._given is self._x  # the recorded step reads the caller's tensor
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
        """The recorded step; None if it cannot be recorded."""
        try:
            return self._recorder.record(lambda: self._take(self._x, self._y))
        except Exception as error:
            self._failed = True
            for group in self._optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None  # may be memory of the recording, never computed
            # The error that explains the failure is the context of the one that PyTorch raises
            # when it ends the capture.
            reason = str(error.__context__ or error).partition("\n")[0]
            print(f"no CUDA graph, steps are taken kernel by kernel: {reason}", flush=True)
            return None

    @contextmanager
    def _rates_in_place(self, device: torch.device) -> Iterator[None]:
        """Put the learning rates of all groups into tensors, which a recorded step reads.

        Steps without the graph read them there too. A resumed run, which records at another step,
        then gives the same numbers. They are float32: fused steps accept no other type.
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
