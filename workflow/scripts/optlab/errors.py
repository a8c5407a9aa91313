"""Errors that the user can fix, and how programs print them: in one line, without a traceback."""

import errno
import functools
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

Key = tuple[str | int, ...]  # of a value in a study: the keys and list positions that lead to it
Mistake = tuple[Key, str]  # where, as seen from the section that was checked; and what is wrong

CLOSED = 128 + signal.SIGPIPE  # the status that a shell gives to what ends like this
ASIDE = ".damaged"  # behind the name of a file that is not what was written
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """A request that cannot be carried out. ``str(error)`` is one line, written for the user."""


class DamagedError(UserError):
    """Files that are not what was written; the next call of the workflow can make them again.

    Args:
        message: what is wrong with the first of them, which it names.
        files: the files, and those that Snakemake must make again with them.
    """

    def __init__(self, message: str, files: Iterable[str | Path]):
        super().__init__(message)
        self.files = list(map(Path, files))

    def set_aside(self) -> str:
        """Rename the files, so that the next call makes them again; returns the message."""
        there = [file for file in self.files if file.exists()]
        for file in there:
            with suppress(OSError):
                file.replace(f"{file}{ASIDE}")
        if not there:
            return str(self)
        left = any(file.exists() for file in there)
        what = "remove it" if left else f"set aside as *{ASIDE}: the next call makes it again"
        return "\n".join(f"{line}; {what}" for line in str(self).splitlines())


class DataError(UserError):
    """A data set, or a file that holds one, is not as it should be."""


def below(key: Key, found: Iterable[Mistake]) -> Iterator[Mistake]:
    """The mistakes of the section at ``key``, as seen from the section that holds it."""
    for place, message in found:
        yield (*key, *place), message


def bare(name: Any) -> str:
    """A name without what people write differently: capitals, hyphens, spaces and dots."""
    return re.sub(r"[-_\s.]", "", str(name)).lower()


def allowed(wrong: Any, known: Iterable[str]) -> str:
    """The names that are allowed, and the one that was probably meant."""
    import difflib

    names = [str(name) for name in known]
    by_form = {bare(name): name for name in reversed(names)}
    near = difflib.get_close_matches(form := bare(wrong), by_form, 3)
    # Letters in another order are the likeliest misprint; difflib finds adamax nearer to adma.
    meant = max(near, key=lambda one: sorted(one) == sorted(form), default=None)
    hint = f"did you mean '{by_form[meant]}'? " if meant else ""
    return f"{hint}allowed: {', '.join(names)}"


def show(value: Any) -> str:
    """A value as the user might have written it, shortened to 80 characters."""
    if isinstance(value, str):
        return repr(value)
    shown = json.dumps(value, default=str, ensure_ascii=False)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def visible(text: str) -> str:
    """A text for a terminal: what is not printable, such as a line end, as its escape."""
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the main memory, or that of a GPU, was too small."""
    kinds = {cls.__name__ for cls in type(error).__mro__}  # PyTorch's class, without importing it
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("allocate memory", "Storage size calculation"))
    )


def message_of(error: BaseException) -> str | None:
    """What to print for an error that the user can fix; None for a fault of the program."""
    if isinstance(error, DamagedError):
        return error.set_aside()
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenPipeError):
        return None  # `in_one_line` ends the program
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError):
        return f"{error.filename or 'results'}: {error.strerror}"
    if is_out_of_memory(error):
        return f"not enough memory: {str(error).partition(chr(10))[0] or repr(error)}"
    return None


def report(message: str) -> None:
    """Print a message, each of its lines marked as an error."""
    lines = (f"error: {visible(line)}" for line in message.split("\n"))
    print(*lines, sep="\n", file=sys.stderr)


def say_interrupts() -> None:
    """Have Ctrl-C end in one line where nothing catches it, as while Snakemake plans."""
    usual = sys.excepthook

    def hook(kind: Any, error: Any, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            report("interrupted")
        else:
            usual(kind, error, trace)

    sys.excepthook = hook


def end(status: int) -> NoReturn:
    """End the process, although code of the user's may have started threads that do not end."""
    if any(not thread.daemon for thread in threading.enumerate()[1:]):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def in_one_line(main: Callable[..., int]) -> Callable[..., int]:
    """A program's main function that ends in one line and status 1 where the user can help.

    Where nobody reads its output any more, as behind ``| head -1``, it ends without a word.
    """

    @functools.wraps(main)
    def program(*arguments: Any) -> int:
        try:
            try:
                return main(*arguments)
            finally:
                _flush()
        except BrokenPipeError:
            return CLOSED
        except BaseException as error:
            message = message_of(error)
            if message is None:
                raise
        report(message)
        return 1

    return program


def _flush() -> None:
    """Write what was printed: when Python ends, it would be too late to end in one line."""
    try:
        print(end="", flush=True)
    except OSError:
        with open(os.devnull, "wb") as nowhere:  # where what is left cannot fail again
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise
