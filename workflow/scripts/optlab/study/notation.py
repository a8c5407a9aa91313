"""The notation of a study: YAML with the plain scalars of YAML 1.2's core schema.

PyYAML reads those of YAML 1.1, in which ``on`` is true, ``064`` is 52, ``1:30`` is 90,
``2024-01-01`` is a date and ``1e-3`` is a text. Here they are a text, 64, a text, a text and 0.001.
Keys are the texts that are written.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
    "merge": re.compile(r"<<"),  # not in YAML 1.2, but in use
}
_KEPT = ("null", "bool", "int", "float", "str", "seq", "map")


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a study. A tag of YAML 1.1 alone, such as that of a date, is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            message = f"expected keys with values, but found {node.id}"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep) for key, value in node.value}

    def integer(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, 10 if text.lstrip("+-").isdecimal() else 0)

    def number(self, node: yaml.ScalarNode) -> float:
        return float(
            self.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan")
        )


class Dumper(yaml.SafeDumper):
    """Writes a study such that readers of YAML 1.1 and of YAML 1.2 read the same."""

    def text(self, value: str) -> yaml.ScalarNode:
        style = "'" if any(form.fullmatch(value) for form in _PLAIN.values()) else None
        style = style if value.isprintable() else '"'  # PyYAML folds some other line ends
        return self.represent_scalar(f"{_TAG}str", value, style=style)


Loader.yaml_implicit_resolvers = {}
for _name, _form in _PLAIN.items():
    Loader.add_implicit_resolver(_TAG + _name, re.compile(f"({_form.pattern})$"), None)
Loader.yaml_constructors = {
    tag: made
    for tag, made in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in _KEPT
}
Loader.add_constructor(f"{_TAG}int", Loader.integer)
Loader.add_constructor(f"{_TAG}float", Loader.number)
Dumper.add_representer(str, Dumper.text)


def load(text: str) -> Any:
    """The content of a text.

    Raises:
        yaml.YAMLError, ValueError: it is not YAML.
    """
    return yaml.load(text, Loader=Loader)


def dump(content: Mapping[str, Any]) -> str:
    """A text that `load` reads as this content."""
    return yaml.dump(dict(content), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
