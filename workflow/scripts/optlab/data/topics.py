"""Paragraphs of the documentation that comes with Python, each with what it is about.

They are in Python's standard library (`pydoc_data.topics`), so nothing is downloaded; another
Python has another text.
"""

import platform
import re

from optlab.data import texts

# What the topics are about. A paragraph that several topics share is of the first one.
GROUPS = {
    "debugger": "debugger",
    "literals": "strings formatstrings identifiers integers floating imaginary numbers",
    "expressions": (
        "comparisons calls binary operator-summary subscriptions dict booleans in power bitwise "
        "conversions exprlists unary attribute-references shifting slicings atom-identifiers "
        "atom-literals lambda lists id-classes"
    ),
    "built-in types": (
        "string-methods typesseq typesseq-mutable typesmapping typesmethods typesmodules "
        "typesfunctions bltin-code-objects bltin-ellipsis-object bltin-null-object "
        "bltin-type-objects truth"
    ),
    "data model": (
        "specialnames customization attribute-access types callable-types sequence-types "
        "numeric-types objects specialattrs execmodel naming dynamic-features"
    ),
    "statements": (
        "compound if while for try with function class async assert assignment augassign del "
        "return yield raise break continue import global nonlocal pass else await "
        "context-managers exceptions"
    ),
}
LEAST = 5  # words of a paragraph


def paragraphs() -> list[tuple[str, str]]:
    """Each paragraph once: what it is about, and its text."""
    from pydoc_data.topics import topics

    found: dict[str, str] = {}
    for group, names in GROUPS.items():
        for name in names.split():
            for paragraph in re.split(r"\n\s*\n", topics.get(name, "")):
                text = " ".join(paragraph.split())
                if len(re.findall(r"\b\w\w+\b", text)) >= LEAST:
                    found.setdefault(text, group)
    return [(group, text) for text, group in found.items()]


def notes() -> list[str]:
    """That the text is not the usual one, if it is not."""
    if texts.is_measured():
        return []
    version = platform.python_version()
    return [f"the documentation of Python {version} is another text than that of Python 3.11"]
