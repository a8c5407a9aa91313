"""Tables of the user's, in CSV or Parquet: a target column, and inputs made of all others.

Numbers are standardised, texts become a column for each category, and missing values a column that
says so; all by the examples that are not tested. Only this module uses pandas for data.
"""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from optlab.catalogue.datasets import Definition
from optlab.data import division, notes, splits, standard
from optlab.data.arrays import Arrays
from optlab.data.standard import Scale
from optlab.errors import DISK_FULL, DataError, allowed, show

PYARROW = "pyarrow==26.0.1"
MOST_CATEGORIES = 1000  # of a column; with more it is rather a name


@dataclass(frozen=True)
class Column:
    """An input column: float64 [N], a number or the position of a category; NaN is missing."""

    name: str
    values: np.ndarray
    categories: Sequence[str] | None = None


def read(definition: Definition) -> Arrays:
    """The data set of a table.

    Raises:
        DataError: a file cannot be read, or holds what cannot be an input or a target.
    """
    file, target = definition["file"], definition["target"]
    frame, tested = _frame(file), None
    if definition.get("test_file"):
        other = _frame(definition["test_file"])
        _same_columns(frame, other, file, definition["test_file"])
        tested = np.arange(len(frame) + len(other)) >= len(frame)
        frame = pd.concat([frame, other[list(frame)]], ignore_index=True)
    dropped = definition.get("drop") or []
    for key, names in (("target", [target]), ("drop", dropped)):
        for name in names:
            if name not in frame:
                words = allowed(name, frame.columns)
                raise DataError(f"{key}: {file} has no column {show(name)}; {words}")
    if target in dropped:
        raise DataError(f"drop: {show(target)} is the target")
    try:
        y, classes, told = _target(frame[target], definition.get("task"))
        columns = [_column(frame[name]) for name in frame if name not in (target, *dropped)]
    except DataError as error:
        words = str(error)
        raise DataError(words if words.startswith("task: ") else f"{file}: {words}") from error
    if not columns:
        raise DataError(f"{file}: there is no column besides the target")
    found = _divided(columns, y, tested)
    told += [*_noted(columns), *found.notes]
    return standard.finished(found, classes, told, file)


def _frame(file: str) -> pd.DataFrame:
    try:
        if Path(file).suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(file)
        else:
            frame = _csv(file)
    except ImportError as error:
        raise DataError(f"{file}: Parquet files need pyarrow: pip install {PYARROW}") from error
    except OSError as error:
        if error.errno in DISK_FULL or error.errno == errno.ENOMEM:
            raise
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, UnicodeDecodeError, RuntimeError) as error:
        raise DataError(f"{file}: is no such table: {' '.join(str(error).split())}") from error
    frame.columns = frame.columns.map(str)
    if len(frame) < 2:
        raise DataError(f"{file}: has {len(frame)} rows; two or more are needed")
    return frame


def _csv(file: str) -> pd.DataFrame:
    separator = "\t" if Path(file).suffix.lower() in (".tsv", ".tab") else ","
    names = pd.read_csv(file, sep=separator, header=None, nrows=1, dtype=str).iloc[0].dropna()
    for name in names[names.duplicated()]:  # pandas would call the second one name.1
        raise DataError(f"{file}: the column '{name}' is there twice")
    return pd.read_csv(file, sep=separator, low_memory=False)


def _same_columns(frame: pd.DataFrame, other: pd.DataFrame, file: str, test_file: str) -> None:
    for name, there, lacking in (
        *((name, file, test_file) for name in frame if name not in other),
        *((name, test_file, file) for name in other if name not in frame),
    ):
        raise DataError(f"test_file: {lacking} lacks the column {show(name)} of {there}")


def _target(values: pd.Series, task: str | None) -> tuple[np.ndarray, list[str] | None, list[str]]:
    """The targets, the names of the classes (None for a regression), and what is to be noted."""
    name = show(str(values.name))
    if values.isna().any():
        row = int(values.isna().to_numpy().argmax()) + 1
        raise DataError(f"row {row} has no value of the target {name}; remove such rows")
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(np.float64)
        _finite(numbers, name)
        return standard.targets(numbers, name, task)
    if task == "regression":
        raise DataError(f"task: the target {name} holds texts, not numbers, such as {values[0]!r}")
    texts = _texts(values)
    classes = sorted(set(texts))
    places = {one: at for at, one in enumerate(classes)}
    return np.array([places[one] for one in texts], dtype=np.int64), classes, []


def _column(values: pd.Series) -> Column:
    """A column as numbers: those that it holds, or the positions of its categories."""
    name = str(values.name)
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        if pd.api.types.is_complex_dtype(values):
            raise DataError(f"column {show(name)} holds complex numbers; name it under `drop`")
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        if np.isnan(numbers).all():
            raise DataError(f"column {show(name)} holds no value; name it under `drop`")
        _finite(numbers, show(name))
        return Column(name, numbers + 0.0)  # one zero, whatever its sign
    there = values.notna().to_numpy()
    texts = _texts(values[there])
    categories = sorted(set(texts))
    if len(categories) > MOST_CATEGORIES:
        words = f"column {show(name)} holds {len(categories):,} different texts"
        raise DataError(f"{words}, more than {MOST_CATEGORIES:,}; name it under `drop`")
    codes = np.full(len(values), np.nan)
    places = {one: at for at, one in enumerate(categories)}
    codes[there] = [places[one] for one in texts]
    return Column(name, codes, categories)


def _texts(values: pd.Series) -> list[str]:
    kinds = {type(one).__name__ for one in values}
    if not kinds <= {"str", "bool", "bool_", "int", "float", "int64", "float64"}:
        kind = sorted(kinds - {"str", "bool", "bool_", "int", "float"})[0]
        words = f"column {show(str(values.name))} holds values of type {kind}"
        raise DataError(f"{words}; inputs are numbers and texts; name it under `drop`")
    return list(map(str, values))


def _finite(numbers: np.ndarray, name: str) -> None:
    wrong = np.flatnonzero(np.isinf(numbers))
    if wrong.size:
        raise DataError(f"column {name} holds {numbers[wrong[0]]} in row {wrong[0] + 1}")


def _divided(columns: Sequence[Column], y: np.ndarray, tested: np.ndarray | None) -> Arrays:
    """Inputs and targets, with a test set: the rows of its own file, or a share of all."""
    raw = np.column_stack([column.values for column in columns])
    test = "of its own file"
    told = []
    if tested is None:
        tested, raw, y = splits.test_set(raw, y, division.tested(len(y)))
        test = division.tested_words(len(y), y.dtype.kind == "f")
        told.append(notes.held_out(test))
    parts = [_encoded(one, raw[:, at], ~tested) for at, one in enumerate(columns)]
    x = np.column_stack([values for values, _ in parts])
    if unknown := [one.name for one, (_, is_new) in zip(columns, parts, strict=True) if is_new]:
        which = ", ".join(map(show, unknown))
        told.append(f"categories of {which} in the test set that no other example has are zeros")
    return Arrays(x[~tested], y[~tested], x[tested], y[tested], 1.0, test=test, notes=tuple(told))


def _encoded(column: Column, raw: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, bool]:
    """The input columns of one of the table, float32, and whether some test row is new to it."""
    missing = np.isnan(raw)
    if column.categories is None:
        present = raw[seen & ~missing]
        scale = Scale.of(present[:, None] if len(present) else np.zeros((1, 1)))
        filled = np.where(missing, scale.mean[0], raw)[:, None]
        flag = [missing.astype(np.float32)[:, None]] if missing.any() else []
        return np.concatenate([scale(filled), *flag], axis=1), False
    codes = np.where(missing, -1, raw).astype(np.int64)
    known = np.unique(codes[seen])
    hot = (codes[:, None] == known).astype(np.float32)
    return hot, bool((hot.sum(axis=1) == 0).any())


def _noted(columns: Sequence[Column]) -> Iterator[str]:
    """What is to be noted of the columns as they are."""
    counts = {one.name: int(np.isnan(one.values).sum()) for one in columns}
    if found := [f"{show(name)} ({count:,})" for name, count in counts.items() if count]:
        words = "numbers get the mean and a column that says so, texts a category of their own"
        yield f"missing values in {', '.join(found[:5])}{' …' * (len(found) > 5)}: {words}"
    for one in columns:
        if one.categories and len(one.categories) == len(one.values):
            yield f"every text of column {show(one.name)} is different; `drop` leaves it out"
