"""From the JSON schema that pydantic generates to the structural schema that Kubernetes accepts.

A CRD's schema has no `$ref`, no `anyOf` with null and no `title`; a default must be complete and without nulls; and
what may stand in an object beside its properties is kept by a keyword of its own. This is the whole difference, so
the models stay the only place where a field is described.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

JsonSchema = dict[str, Any]

_DROPPED = frozenset({"title", "propertyNames", "$defs"})
_ORDER = (
    "description",
    "type",
    "format",
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
    "required",
    "properties",
    "additionalProperties",
    "items",
)


def structural(model: type[BaseModel]) -> JsonSchema:
    """The structural schema of a model, keywords in one order. Raises ValueError for what CRDs cannot say."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}))


def _convert(node: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    node = _resolve(node, definitions)
    found: JsonSchema = {}
    for keyword, value in node.items():
        match keyword:
            case "properties":
                found[keyword] = {name: _convert(child, definitions) for name, child in value.items()}
            case "additionalProperties" if value is True:
                found["x-kubernetes-preserve-unknown-fields"] = True
            case "items" | "additionalProperties":
                found[keyword] = _convert(value, definitions)
            case "const":
                found["enum"] = [value]
            case "description":
                found[keyword] = _paragraphs(value)
            case "default":
                said = _only_what_says_something(value)
                if said not in (None, "", [], {}):  # absent says as much
                    found[keyword] = said
            case _ if keyword in _ORDER:
                found[keyword] = list(value) if isinstance(value, tuple) else value
            case _ if keyword not in _DROPPED:
                raise ValueError(f"a structural schema has no place for {keyword!r} in {node}")
    return {keyword: found[keyword] for keyword in _ORDER if keyword in found}


def _resolve(node: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """Put a `$ref` or the one alternative beside null in its place; what stands beside it wins."""
    if "anyOf" in node:
        alternatives = [each for each in node["anyOf"] if each != {"type": "null"}]
        if len(alternatives) != 1:
            raise ValueError(f"a structural schema cannot choose between types: {node}")
        beside = {keyword: value for keyword, value in node.items() if keyword != "anyOf"}
        return _resolve({**alternatives[0], **beside}, definitions)
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        beside = {keyword: value for keyword, value in node.items() if keyword != "$ref"}
        return _resolve({**target, **beside}, definitions)
    return node


def _paragraphs(text: str) -> str:
    """One line a paragraph: the source's line breaks are the source's."""
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _only_what_says_something(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _only_what_says_something(child) for key, child in value.items() if child not in (None, [], {})}
    return value
