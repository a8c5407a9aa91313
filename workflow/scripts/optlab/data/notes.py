"""What is plausible in a data set but may be meant otherwise: done as documented, and noted.

A note is one line. Some are found in headers, before a file is prepared, others in its values. The
description of the prepared data set has all of them, and `known.notes` is what programs show.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from optlab.data import division
from optlab.data.headers import NPZ_ARRAYS, Header
from optlab.data.listing import Listing
from optlab.errors import allowed


def of_headers(found: Mapping[str, Header], unread: list[str]) -> Iterator[str]:
    """What is to be noted of the arrays of a `.npz` file by their types and shapes."""
    x, y = found["x_train"], found["y_train"]
    one = x.shape[1:]
    if len(one) == 3 and one[2] in (1, 3):
        stored = f"x_train is {x.type} [N, {one[0]}, {one[1]}, {one[2]}]"
        if x.kind != "f":
            yield f"{stored}: the last axis is taken for the channels, and stored first"
        elif one[0] not in (1, 3):
            yield f"{stored}: floats are used unchanged, so that networks take {one[0]} channels"
    if unread:
        hint = allowed(unread[0], NPZ_ARRAYS)
        meant = f"; {hint.partition('?')[0]}?" if hint.startswith("did you mean") else ""
        yield f"nothing reads {', '.join(unread)} in the file{meant}"
    if "x_test" not in found:
        yield held_out(division.tested_words(x.shape[0], y.kind == "f"))


def of_listing(found: Listing) -> Iterator[str]:
    """What is to be noted of a folder of images by the names of its files."""
    if found.others:
        more = f" and {len(found.others) - 1:,} others" if len(found.others) > 1 else ""
        yield f"nothing reads {found.others[0]}{more}: the name is not that of an image"
    if "test" not in found.parts:
        count = sum(map(len, found.parts["train"]))
        yield held_out(division.tested_words(count, False))


def held_out(test: str) -> str:
    """The note on a source without a test set."""
    return f"there is no test set, so that {test}, are one"


def of_values(read: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    """What is to be noted of arrays, as NumPy has read them, by their values."""
    y = read["y_train"]
    if y.dtype.kind == "f":
        hot = y.ndim == 2 and y.shape[1] > 1 and ((y == 0) | (y == 1)).all()
        if hot and (y.sum(axis=1) == 1).all():
            outputs = f"a regression with {y.shape[1]} outputs"
            yield f"y_train holds one-hot rows of floats: {outputs}; integers [N] are classes"
        elif (y == y.round()).all():
            yield "y_train holds whole numbers as floats: a regression; integers are classes"
    rounded = [
        name
        for name, array in read.items()
        if array.dtype.itemsize > 4
        and array.dtype.kind == "f"
        and (stored[name].reshape(array.shape) != array).any()
    ]
    if rounded:
        yield f"64-bit floats of {', '.join(rounded)} are rounded to float32"
