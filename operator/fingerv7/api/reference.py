"""The field reference for people, `docs/api.md`, from the same schema that the API server enforces."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise

from fingerv7.api import conditions
from fingerv7.api.structural import JsonSchema
from fingerv7.contract import GROUP, VERSION

_WORDS: dict[str, type[StrEnum]] = {
    "what the condition WorkersReady says": conditions.WorkersReady,
    "why a stream is on no worker": conditions.Unassigned,
    "why a stream moves": conditions.MoveReason,
    "what an approval is answered": conditions.ApprovalReason,
}
_TYPES = {"object": "object", "array": "list", "boolean": "true or false", "integer": "number", "string": "text"}


def render_reference(kinds: Sequence[tuple[str, JsonSchema]]) -> str:
    """Markdown for the given kinds, each with the root schema of its CRD."""
    lines = [
        "# API reference",
        "",
        "Generated from `operator/fingerv7/api` by `make crds`; edit the models instead.",
        "",
        f"Group `{GROUP}`, version `{VERSION}`. Durations are whole numbers with units: `500ms`, `30s`, `1h30m`.",
        "Fields below `status` are written by the operator only.",
    ]
    for name, schema in kinds:
        lines += ["", f"## {name}", "", schema["description"]]
        for part in ("spec", "status"):
            lines += ["", f"### {name}.{part}", "", *_table(schema["properties"][part], part)]
        lines += ["", f"### What {name} refuses", "", *_refusals(schema)]
    lines += ["", "## Conditions", "", "Each has a reason; these are the words."]
    lines += ["", *_conditions()]
    lines += ["", "## Other reasons", "", *_words()]
    return "\n".join(lines) + "\n"


def _table(schema: JsonSchema, path: str) -> Iterator[str]:
    yield "| field | type | default | meaning |"
    yield "|---|---|---|---|"
    yield from _rows(schema, path)


def _rows(schema: JsonSchema, path: str) -> Iterator[str]:
    required = schema.get("required", [])
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        meaning = " ".join([child.get("description", ""), *_bounds(child)]).replace("\n", " ").strip()
        yield f"| `{here}` | {_type(child)} | {_default(child, required=name in required)} | {meaning} |"
        yield from _rows(child, here)
        items = child.get("items", {})
        yield from _rows(items, f"{here}[]")


def _type(schema: JsonSchema) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    return "time" if schema.get("format") == "date-time" else _TYPES[schema["type"]]


def _default(schema: JsonSchema, *, required: bool) -> str:
    if required:
        return "required"
    value = schema.get("default")
    if value is None or isinstance(value, dict) or value == "":
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _bounds(schema: JsonSchema) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        yield f"From {low} to {high}."
    if "maxItems" in schema:
        yield f"At most {schema['maxItems']} entries."
    if "maxProperties" in schema:
        yield f"At most {schema['maxProperties']} keys."


def _refusals(schema: JsonSchema) -> Iterator[str]:
    """Every sentence that a rule answers with, once, and each place once."""
    seen: dict[str, dict[str, None]] = {}
    for path, message in _messages(schema, ""):
        seen.setdefault(message, {})[f"`{path or '(the object)'}`"] = None
    for message, paths in seen.items():
        yield f"- {', '.join(paths)}: {message}."


def _messages(schema: JsonSchema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", []):
        yield path, rule["message"]
    for name, child in schema.get("properties", {}).items():
        yield from _messages(child, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from _messages(schema["items"], f"{path}[]")


def _conditions() -> Iterator[str]:
    reasons: dict[str, dict[str, type[StrEnum]]] = {
        "FingerWorker": {
            "Ready": conditions.WorkerReady,
            "Applied": conditions.WorkerApplied,
            "Draining": conditions.WorkerDraining,
        },
        "StreamPool": {
            "Ready": conditions.PoolReady,
            "SourceReachable": conditions.SourceReachable,
            "SourceChanged": conditions.SourceChanged,
            "SourceShared": conditions.SourceShared,
            "Balanced": conditions.Balanced,
            "CapacitySufficient": conditions.CapacitySufficient,
            "TakeoverHeld": conditions.TakeoverHeld,
            "StreamsSuspected": conditions.StreamsSuspected,
            "Paused": conditions.Paused,
            "WorkersReady": conditions.WorkersReady,
        },
    }
    yield "| kind | condition | reasons |"
    yield "|---|---|---|"
    for kind, types in reasons.items():
        for type_, words in types.items():
            yield f"| {kind} | {type_} | {', '.join(words)} |"


def _words() -> Iterator[str]:
    yield "| where | word | meaning |"
    yield "|---|---|---|"
    for where, words in _WORDS.items():
        meanings = _meanings(words)
        for word in words:
            yield f"| {where} | {word} | {meanings.get(word.name, '')} |"


def _meanings(words: type[StrEnum]) -> dict[str, str]:
    """The sentence below each member, which Python itself does not keep."""
    (definition,) = ast.parse(inspect.getsource(words)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
    found: dict[str, str] = {}
    for before, after in pairwise(definition.body):
        match before, after:
            case (ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text)))):
                found[name] = " ".join(text.split())
    return found
