"""The JSON schemas: validation that fills in defaults, and its errors as mistakes of a study."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optlab.errors import Mistake, allowed, show
from optlab.study import notation

MOST = 10**9  # of counts that have no limit of their own
SCHEMAS = Path(__file__).parents[3] / "schemas"


def load(name: str) -> dict[str, Any]:
    """The schema ``config`` (of a configuration) or ``runs`` (of a row of the run table)."""
    return notation.load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"))


def validator(schema: dict[str, Any]) -> Any:
    """A validator that fills in defaults, as in the FAQ of jsonschema.

    It refuses NaN, which would pass every limit, and infinity.
    """
    from jsonschema import Draft202012Validator, validators

    properties_of = Draft202012Validator.VALIDATORS["properties"]

    def fill(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            for key, subschema in properties.items():
                if "default" in subschema:
                    instance.setdefault(key, copy.deepcopy(subschema["default"]))
        yield from properties_of(validator, properties, instance, schema)

    usual = Draft202012Validator.TYPE_CHECKER
    finite = usual.redefine("number", lambda _, v: usual.is_type(v, "number") and v - v == 0)
    extended = validators.extend(Draft202012Validator, {"properties": fill}, type_checker=finite)
    return extended(schema)


def mistakes(study: Any) -> Iterator[Mistake]:
    """What is wrong with a configuration by its schema, which also fills in defaults.

    In the order of the configuration: jsonschema's differs from call to call.
    """
    found = list(validator(load("config")).iter_errors(study))
    for error in sorted(found, key=lambda error: _position(study, error)):
        yield from _mistakes(error)


def _position(study: Any, error: Any) -> list[int]:
    """The position of an error's key, and of each that it is in, within what holds it."""
    found = []
    for key in error.absolute_path:
        found.append(list(study).index(key) if isinstance(study, dict) else key)
        study = study[key]
    return found


def _mistakes(error: Any) -> Iterator[Mistake]:
    """The mistakes that an error of jsonschema stands for."""
    key, value, rule = tuple(error.absolute_path), error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = list(error.schema.get("properties", {}))
            for name in [name for name in value if name not in known]:
                yield (*key, name), f"unknown key; {allowed(name, known)}"
        case "required":
            for name in [name for name in rule if name not in value]:
                yield key, f"the key '{name}' is missing"
        case "enum":
            yield key, f"{show(value)} is not known; {allowed(value, rule)}"
        case "type" if value is None:
            yield key, f"nothing is given; it takes {_requirement(error.schema)}"
        case "type" if rule == "string":
            yield key, f"{show(value)} is not a text; write '{show(value)}'"
        case "type" if rule == "array":
            yield key, f"{show(value)} is not a list; write [{show(value)}]"
        case "minItems" | "maxItems" if rule > 1:
            short = error.validator == "minItems"
            words = "short; give at least" if short else "long; give at most"
            yield key, f"the list is too {words} {rule} values"
        case "minItems":
            yield key, "the list is empty; give at least one value"
        case "minProperties":
            yield key, "is empty; give at least one"
        case "uniqueItems":
            twice = next(v for n, v in enumerate(value) if v in value[:n])
            yield key, f"{show(twice)} is in the list twice"
        case "anyOf":
            words = f"at most {MOST}" if _is_large(value) else "a whole number from 1 up, or full"
            yield key, f"{show(value)} is not allowed; {words}"
        case "pattern":
            key = (*key, value) if "propertyNames" in error.schema_path else key
            yield key, f"{show(value)} cannot be a name; use {error.schema['description']}"
        case "not":
            yield key, f"{show(value)} is taken: results/{value} holds something else"
        case _:
            yield key, f"{show(value)} is not allowed; {_requirement(error.schema, value)}"


def _is_large(value: Any) -> bool:
    return isinstance(value, int | float) and value > MOST


def _requirement(schema: Mapping[str, Any], value: Any = None) -> str:
    kinds = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "object": "keys with values",
        "array": "a list of values",
    }
    kind = schema.get("type", "value")
    kind = [kind] if isinstance(kind, str) else kind
    words = " or ".join(kinds.get(k, str(k)) for k in kind if k != "null")
    limits = [f"at least {schema['minimum']}"] if "minimum" in schema else []
    if "maximum" in schema and (schema["maximum"] < MOST or _is_large(value)):
        limits.append(f"at most {schema['maximum']}")
    return f"{words} {' and '.join(limits)}".strip()
