"""The errors that are the user's to fix: programs print them as one line, without a traceback."""

import errno
import functools
import sys
from collections.abc import Callable
from typing import Any

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # why a write fails where a disk is full


class UserError(Exception):
    """Something that the user asked for cannot be done; the message is one line in his words."""


class DataError(UserError):
    """A data set, or a file that holds one, is not what it has to be."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the machine or of a GPU, was too small."""
    kinds = {cls.__name__ for cls in type(error).__mro__}  # PyTorch's own without its import
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def in_one_line(main: Callable[..., int]) -> Callable[..., int]:
    """A program's main function, in which the user's errors end in one line and status 1."""

    @functools.wraps(main)
    def program(*arguments: Any) -> int:
        try:
            return main(*arguments)
        except UserError as error:
            message = str(error)
        except KeyboardInterrupt:
            message = "interrupted"
        except OSError as error:
            message = f"{error.filename or 'results'}: {error.strerror}"
        print(*(f"error: {line}" for line in message.splitlines()), sep="\n", file=sys.stderr)
        return 1

    return program
