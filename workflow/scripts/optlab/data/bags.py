"""Bags of words: texts with labels, whose words are counted, and files in the format of libsvm.

They are sparse, and stored dense: what is too large for that is refused.
"""

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from optlab.catalogue.datasets import COUNTS, WORDS, Definition
from optlab.data import arrays, division, notes, splits, standard, topics
from optlab.data.arrays import Arrays
from optlab.errors import DataError

MOST_VALUES = 250_000_000  # of all examples together: a gigabyte

Labelled = Sequence[tuple[str, str]]  # label and text of each example


def words(definition: Definition) -> Arrays:
    """Texts of the user's, a line each: a label, a tab, and the text.

    Raises:
        DataError: a file cannot be read, or is not of that kind.
    """
    file, test_file = definition["file"], definition.get("test_file")
    return _bags(file, _lines(file), _lines(test_file) if test_file else None, definition)


def about_python(definition: Definition) -> Arrays:
    """The paragraphs of Python's documentation: which part is each from?"""
    found = _bags("topics", topics.paragraphs(), None, definition)
    told = [*topics.notes(), *found.notes[1:]]  # the test set is ours, as in other built-in ones
    test = f"{found.test}, of the documentation of Python {platform.python_version()}"
    return replace(found, test=test, notes=tuple(told))


def libsvm(definition: Definition) -> Arrays:
    """A file in the format of libsvm; inputs as they are.

    Raises:
        DataError: a file cannot be read, is not of that kind, or is too large to be dense.
    """
    from sklearn.datasets import load_svmlight_files  # type: ignore[import-untyped]

    files = [str(definition[key]) for key in ("file", "test_file") if definition.get(key)]
    try:
        loaded = load_svmlight_files(files)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError) as error:
        words = " ".join(str(error).split())
        raise DataError(f"{' and '.join(files)}: not in the format of libsvm: {words}") from error
    _check_size(files[0], sum(x.shape[0] for x in loaded[::2]), loaded[0].shape[1])
    x = np.concatenate([one.toarray() for one in loaded[::2]]).astype(np.float32)
    numbers = np.concatenate(loaded[1::2])
    if not (np.isfinite(x).all() and np.isfinite(numbers).all()):
        raise DataError(f"{files[0]}: holds values that are not finite")
    y, classes, told = standard.targets(numbers, "of each line", definition.get("task"))
    first = len(loaded[1])
    none = Arrays(x[:first], y[:first], x[first:], y[first:], 1.0, test="of its own file")
    found = none if len(files) == 2 else arrays.held_out(none)
    if len(files) == 1:
        told.append(notes.held_out(found.test))
    return standard.finished(found, classes, told, files[0])


def _lines(file: str) -> Labelled:
    try:
        lines = Path(file).read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        place = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}:{place}: is not UTF-8") from error
    found = []
    for number, line in enumerate(lines, 1):
        label, tab, text = line.partition("\t")
        if line.strip():
            if not (tab and label.strip()):
                raise DataError(f"{file}:{number}: has no label and tab before its text")
            found.append((label.strip(), text.strip()))
    if len(found) < 2:
        raise DataError(f"{file}: has {len(found)} texts; two or more are needed")
    return found


def _bags(file: str, seen: Labelled, tested: Labelled | None, definition: Definition) -> Arrays:
    """Counts or tf-idf of the most frequent words of all texts that are not tested."""
    told, test = [], "of its own file"
    classes = sorted({label for label, _ in [*seen, *(tested or ())]})
    if tested is None:
        seen, tested = _divided(seen, classes)
        test = division.tested_words(len(seen) + len(tested), False)
        told = [notes.held_out(test)]
    x_train, x_test, is_empty = _weighted(file, seen, tested, definition)
    y_train, y_test = (
        np.array([classes.index(label) for label, _ in part], dtype=np.int64)
        for part in (seen, tested)
    )
    if is_empty:
        told.append(f"{is_empty:,} texts hold none of the words, and are all zeros")
    found = Arrays(x_train, y_train, x_test, y_test, 1.0, test=test)
    return standard.finished(found, classes, told, file)


def _divided(texts: Labelled, classes: Sequence[str]) -> tuple[Labelled, Labelled]:
    """The texts that are not tested and those that are, whatever their order."""
    distinct = sorted(set(texts))
    places = {one: at for at, one in enumerate(distinct)}
    codes = np.array([[places[one]] for one in texts], dtype=np.int64)
    labels = np.array([classes.index(label) for label, _ in texts], dtype=np.int64)
    held_out, codes, _ = splits.test_set(codes, labels, division.tested(len(texts)))

    def of(rows: Any) -> Labelled:
        return [distinct[code] for code in codes[rows, 0]]

    return of(~held_out), of(held_out)


def _weighted(
    file: str, seen: Labelled, tested: Labelled, definition: Definition
) -> tuple[np.ndarray, np.ndarray, int]:
    """The inputs of both parts, float32, and how many texts hold none of the words."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    split = CountVectorizer().build_analyzer()
    frequency = Counter(word for _, text in seen for word in split(text))
    # By their number, then by themselves: the same words on every machine.
    most = sorted(frequency, key=lambda word: (-frequency[word], word))
    chosen = most[: definition.get("words") or WORDS]
    if not chosen:
        raise DataError(f"{file}: no text holds a word of two letters or more")
    _check_size(file, len(seen) + len(tested), len(chosen))
    counter = CountVectorizer(vocabulary=chosen)
    parts = [counter.transform([text for _, text in part]) for part in (seen, tested)]
    is_empty = sum(int((part.getnnz(axis=1) == 0).sum()) for part in parts)
    if definition.get("weights") != COUNTS:
        weights = TfidfTransformer().fit(parts[0])
        parts = [weights.transform(part) for part in parts]
    train, test = (part.toarray().astype(np.float32) for part in parts)
    return train, test, is_empty


def _check_size(where: str, examples: int, inputs: int) -> None:
    if examples * inputs > MOST_VALUES:
        words = f"{examples:,} examples of {inputs:,} inputs are more than {MOST_VALUES:,} values"
        raise DataError(f"{where}: {words}, which is what is stored of a sparse data set")
