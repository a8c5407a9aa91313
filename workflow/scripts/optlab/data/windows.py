"""A text as arrays: windows of symbols, whose numbers are their places in the vocabulary.

Training, validation and test set are parts of the text, one after another: a window of one of them
overlaps with none of another. Within a part, windows are stored in an order that is drawn once, so
that its first ones are a sample of all.
"""

import platform
from typing import Any

import numpy as np

from optlab import files
from optlab.catalogue.datasets import CORPUS, SOURCES, Definition
from optlab.catalogue.tasks import NEXT_TOKEN
from optlab.data import known, texts
from optlab.errors import DataError

Vocabulary = str | list[int]  # characters, or the values of bytes, sorted


def split(name: str, definition: Definition) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays x_train, y_train, ... of a text [windows, context], and their description.

    y is x shifted by one symbol. Empty parts are left out.

    Raises:
        DataError: the text cannot be read, or is too short for what is asked of it.
    """
    text = texts.read(definition)
    numbers, vocabulary = encoded(text)
    if len(vocabulary) < 2:
        raise DataError(f"{texts.name_of(definition)}: holds one symbol only, again and again")
    length, found = texts.context(definition) + 1, texts.windows(definition)
    trained, held_out = known.sizes(definition)
    windows = numbers[: found.all * length].reshape(found.all, length)
    sizes = {"train": trained, "validation": held_out, "test": found.test}
    learned = found.all - found.test
    spread = np.arange(trained + held_out) * learned // (trained + held_out)  # all, or a subset
    stored = _parts(windows[[*spread, *range(learned, found.all)]], sizes)
    description = {
        "name": name,
        "source": definition["source"],
        "label": _label(name, definition),
        "task": NEXT_TOKEN,
        "classes": len(vocabulary),
        "shape": [length - 1],
        "scale": 1.0,
        "sizes": sizes,
        "split": _sentence(definition, text, sizes),
        "seed": 0,
        "symbols": texts.settings(definition)["symbols"],
        "vocabulary": vocabulary,
        "sha256": files.arrays_hash(stored),
    }
    if notes := texts.notes(definition):
        description["notes"] = list(notes)
    return stored, description


def _parts(windows: np.ndarray, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """The arrays of parts of these sizes that follow each other."""
    stored: dict[str, np.ndarray] = {}
    for part, count in sizes.items():
        own, windows = windows[:count], windows[count:]
        if count:
            own = own[np.random.RandomState(0).permutation(count)]
            stored |= {f"x_{part}": own[:, :-1].copy(), f"y_{part}": own[:, 1:].copy()}
    return stored


def encoded(text: str | bytes) -> tuple[np.ndarray, Vocabulary]:
    """The symbols of a text by their places in its vocabulary, and that: all that occur, sorted."""
    if isinstance(text, bytes):
        codes = np.frombuffer(text, np.uint8)
    else:
        codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    present = np.zeros(int(codes.max()) + 1, bool)
    present[codes] = True
    values = np.flatnonzero(present)
    kind = np.uint8 if len(values) <= 2**8 else np.int16 if len(values) <= 2**15 else np.int32
    places = np.zeros(len(present), kind)
    places[values] = np.arange(len(values))
    whole = values.tolist()
    return places[codes], whole if isinstance(text, bytes) else "".join(map(chr, whole))


def decoded(numbers: np.ndarray, description: dict[str, Any]) -> str | bytes:
    """The text that symbols stand for."""
    vocabulary = description["vocabulary"]
    found = [vocabulary[number] for number in numbers.ravel().tolist()]
    return bytes(found) if description["symbols"] == "bytes" else "".join(found)


def _label(name: str, definition: Definition) -> str:
    label = SOURCES[definition["source"]].label or name
    if definition["source"] == CORPUS and not texts.is_measured():
        label = f"{label} (of Python {platform.python_version()})"
    subset = definition.get("subset")
    return f"{label}, {subset:,}-window subset" if subset else label


def _sentence(definition: Definition, text: str | bytes, sizes: dict[str, int]) -> str:
    """The split in words."""
    how = texts.settings(definition)
    counts = ", ".join(f"{count:,} {part}" for part, count in sizes.items() if count)
    words = f"{counts} windows of {how['context']} {how['symbols']} and the next one, in the order"
    return f"{words} of the text, which has {len(text):,}"
