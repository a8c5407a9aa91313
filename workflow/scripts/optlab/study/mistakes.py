"""Mistakes of a study, collected and printed in one line each, with their place in the file."""

import codecs
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from optlab.errors import Key, Mistake, UserError, visible
from optlab.study import notation

MOST_ENTRIES = 200_000
AS_WRITTEN = "published"  # key of numbers whose digits count: 0.150 is not 0.15


class Mistakes:
    """Collects mistakes, each with the file and line of its key.

    Attributes:
        lines: the mistakes so far.
        written: the text of each number with the key `AS_WRITTEN`, as it stands in the file.
        spelled: a key in its one form -> as it stands in the file.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.written: dict[Key, str] = {}
        self.spelled: dict[Key, Key] = {}
        self._places: dict[Key, str] = {}
        self._entries = 0

    def read(self, file: str) -> str:
        """The text of a file; one that cannot be read is a mistake."""
        try:
            return decoded(Path(file).read_bytes())
        except (OSError, ValueError) as error:
            self.lines.append(visible(_unreadable(file, error)))
            return ""

    def load(self, text: str, file: str) -> Any:
        """The content of a file, whose lines are remembered; what is not YAML is a mistake."""
        try:
            root = yaml.compose(text, Loader=notation.Loader)
            self._places.setdefault((), f"{file}: ")
            if root is not None:
                self._walk(root, (), file)
            return None if self.lines else notation.load(text)
        except (ValueError, KeyError, RecursionError, yaml.YAMLError) as error:
            self.lines.append(visible(_unreadable(file, error)))

    def add(self, key: Key, message: str) -> None:
        """Add a mistake at ``key``, or at the nearest key above it that is in the file."""
        for at in range(len(key), 0, -1):
            key = (*self.spelled.get(key[:at], key[:at]), *key[at:])
        keys = (key[:length] for length in range(len(key), -1, -1))
        where = next((self._places[one] for one in keys if one in self._places), "")
        name = ".".join(map(str, key)) or "the study"
        line = visible(f"{where}{name}: {message}")
        if line not in self.lines:
            self.lines.append(line)

    def check(self, found: Iterable[Mistake] = ()) -> None:
        """Add these, and raise `UserError`, with a line for each, if there are any."""
        for key, message in found:
            self.add(key, message)
        if self.lines:
            raise UserError("\n".join(self.lines))

    def _walk(self, node: yaml.Node, key: Key, file: str) -> None:
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            raise ValueError(f"more than {MOST_ENTRIES} entries, aliases expanded")
        if key not in self._places or not key:
            self._places[key] = f"{file}:{node.start_mark.line + 1}: "
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for name, child in node.value:
                is_text = isinstance(name, yaml.ScalarNode)
                inner = (*key, name.value if is_text else "?")
                self._places[inner] = f"{file}:{name.start_mark.line + 1}: "
                if not is_text:
                    self.add(inner, "a key is a list or a mapping; it has to be a text")
                    continue
                if name.value in seen:
                    self.add(inner, "this key is given twice; the first would be lost")
                seen.add(name.value)
                self._walk(child, inner, file)
        elif isinstance(node, yaml.SequenceNode):
            for number, child in enumerate(node.value):
                self._walk(child, (*key, number), file)
        elif isinstance(node, yaml.ScalarNode) and key and key[-1] == AS_WRITTEN:
            self.written[key] = node.value


def decoded(content: bytes) -> str:
    """The text of a file.

    Raises:
        ValueError: it is not UTF-8; says in which line.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x} in line {line}"
        raise ValueError(f"is not utf-8 ({found}); save it as UTF-8") from error


def _unreadable(file: str, error: Exception) -> str:
    """One line on why a file cannot be read; for invalid YAML with the line number."""
    if isinstance(error, OSError):
        return f"{file}: cannot be read: {error.strerror}"
    if isinstance(error, RecursionError):
        return f"{file}: is nested too deeply, or within itself"
    if isinstance(error, ValueError) and "UTF" in str(error):
        return f"{file}: {error}"
    mark = getattr(error, "problem_mark", None)
    place = f"{file}:{mark.line + 1}" if mark else file
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{place}: not valid YAML: {problem}"
