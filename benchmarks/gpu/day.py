"""What a part knows of the day, and how it says what it found. Imports no PyTorch."""

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARK = "\x1e"  # begins a line for the driver, as in JSON text sequences (RFC 7464)


class Skip(Exception):
    """A part cannot be measured here; ``str`` says why, in one line."""


@dataclass
class Day:
    """The device, and what one part has found.

    Attributes:
        device: cuda, or cpu for a rehearsal, in which everything is tiny and no figure means much.
        folder: prepared data are shared there between the parts.
        failures: the measurements that failed, with the reason.
    """

    device: str
    folder: Path
    failures: list[str] = field(default_factory=list)

    @property
    def rehearsal(self) -> bool:
        """Whether only the code is tried, on a CPU."""
        return self.device == "cpu"

    def size(self, full: int, tiny: int) -> int:
        """``full`` on the day, ``tiny`` in a rehearsal."""
        return tiny if self.rehearsal else full

    def note(self, name: str, value: Any) -> None:
        """Tell the driver a figure, at once: a later crash does not lose it."""
        send(figure=name, value=value)

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """Note what the work returns, and return it; None if it fails, and the part goes on."""
        try:
            value = work()
        except Exception as error:
            traceback.print_exc()
            reason = in_a_line(error)
            self.failures.append(f"{name}: {reason}")
            self.note(name, {"error": reason})
            return None
        self.note(name, value)
        return value


def send(**record: Any) -> None:
    """A line for the driver."""
    print(MARK + json.dumps(record, default=str), flush=True)


def in_a_line(error: BaseException) -> str:
    """The kind of an error, and the first line of what it says."""
    return f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
