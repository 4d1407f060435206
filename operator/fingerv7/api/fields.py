"""The words in which both custom resources are written: a base model and the types of their fields.

A constraint has to hold in two places, in the API server (the CRD's schema and CEL rules) and offline (commands
that read YAML), so each type here carries both: pydantic checks the value, and the schema that pydantic generates
carries the bounds and the rule with its sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from fingerv7.contract import (
    CAPABILITY_PATTERN,
    DURATION_PATTERN,
    FINGERPRINTING,
    format_duration,
    parse_duration,
)

VALIDATIONS = "x-kubernetes-validations"
MAX_DURATION_MS = 8_760 * 3_600_000
"""A year."""
SAFE_DURATION = "^([0-9]{1,9}(ms|s)|[0-9]{1,6}(m|h))+$"
"""What CEL may be given to parse: with more digits its durations overflow, and the answer is no sentence."""


class Model(BaseModel):
    """Immutable, camelCase in JSON, and tolerant of fields that a newer version added."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    @classmethod
    def parse(cls, document: object) -> Self:
        """Read a JSON object. Raises pydantic.ValidationError, which names every wrong field."""
        return cls.model_validate(document)

    def dump(self) -> dict[str, Any]:
        """The JSON object as the API server takes it: what is absent stays out."""
        return self.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True)
class Rule:
    """A CEL rule of the CRD, and the sentence that says what is accepted."""

    expression: str
    message: str
    optional_old: bool = False
    """Whether `oldSelf` is an optional, so that the rule is asked of a new object, too."""

    def as_json(self) -> dict[str, Any]:
        said = {"rule": self.expression, "message": self.message}
        return {**said, "optionalOldSelf": True} if self.optional_old else said


def validations(*rules: Rule) -> dict[str, Any]:
    """The rules of a whole model, for its `json_schema_extra`."""
    return {VALIDATIONS: [rule.as_json() for rule in rules]}


@dataclass(frozen=True)
class Keywords:
    """Adds keywords that pydantic does not know to the schema of an annotated type."""

    added: tuple[tuple[str, Any], ...]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), **dict(self.added)}


@dataclass(frozen=True)
class Checked:
    """A value that a CEL rule judges in the API server and `accepts` judges here, with one sentence for both."""

    rule: Rule
    accepts: Callable[[Any], bool] = field(repr=False)

    def _check(self, value: Any) -> Any:
        if not self.accepts(value):
            raise ValueError(self.rule.message)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        return {**schema, VALIDATIONS: [*schema.get(VALIDATIONS, []), self.rule.as_json()]}


# --- durations --------------------------------------------------------------------------------------------


def _lasting(minimum_ms: int) -> Checked:
    low, high = format_duration(minimum_ms), format_duration(MAX_DURATION_MS)
    return Checked(
        Rule(
            f"self.matches('{SAFE_DURATION}') && duration(self) >= duration('{low}') && "
            f"duration(self) <= duration('{high}')",
            f"write a duration from {low} to {high} as whole numbers with units, such as 500ms, 30s or 1h30m",
        ),
        lambda text: (
            re.fullmatch(SAFE_DURATION, text) is not None and minimum_ms <= parse_duration(text) <= MAX_DURATION_MS
        ),
    )


_DURATION = Field(max_length=16, pattern=DURATION_PATTERN)

Duration = Annotated[str, _DURATION, _lasting(0)]
"""A Go-style duration; zero is accepted."""
Interval = Annotated[str, _DURATION, _lasting(100)]
"""A Go-style duration of at least 100 ms, for what recurs or is waited for."""
WrittenDuration = Annotated[str, _DURATION]
"""A Go-style duration in a status: the operator wrote it, so that no rule is spent on it."""
RotationTime = Annotated[str, _DURATION, _lasting(600_000)]
"""A Go-style duration of at least 10 minutes."""
TakeoverTime = Annotated[str, _DURATION, _lasting(1_000)]
"""A Go-style duration of at least 1 s."""


# --- names ------------------------------------------------------------------------------------------------


def _spelled(pattern: str, message: str) -> Checked:
    return Checked(
        Rule(f"self.matches('^{pattern}$')", message),
        lambda text: re.fullmatch(pattern, text) is not None,
    )


_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_$]{0,62}"
_SPELLING = "a letter or underscore, then letters, digits, underscores or $, at most 63 characters"

Identifier = Annotated[
    str,
    Field(max_length=63),
    _spelled(_IDENTIFIER, f"write an SQL identifier as it is spelled in the database: {_SPELLING}"),
]
"""An SQL identifier, used quoted: exactly this spelling."""
TableName = Annotated[
    str,
    Field(max_length=127),
    _spelled(
        f"({_IDENTIFIER}[.])?{_IDENTIFIER}", f"write table or schema.table, each an SQL identifier: {_SPELLING}"
    ),
]
"""An SQL table with or without its schema, each part used quoted."""
ObjectName = Annotated[
    str,
    Field(max_length=253),
    _spelled(
        "[a-z0-9]([a-z0-9.-]*[a-z0-9])?",
        "write the name of a Kubernetes object: lower-case letters, digits, - and ., at most 253 characters",
    ),
]
Capability = Annotated[
    str,
    Field(max_length=63),
    _spelled(
        CAPABILITY_PATTERN,
        f"write a capability as letters, digits, _, . and -, at most 63 characters, such as {FINGERPRINTING}",
    ),
]


# --- plain bounded values ---------------------------------------------------------------------------------

ATOMIC = Keywords((("x-kubernetes-list-type", "atomic"),))
INT64 = Keywords((("format", "int64"),))

StreamId = Annotated[str, Field(min_length=1, max_length=253)]
Percent = Annotated[int, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0), INT64]
Timestamp = Annotated[str, Field(max_length=40), Keywords((("format", "date-time"),))]
"""RFC 3339, kept as the text that it is, so that an unchanged one is written back unchanged."""
ShortText = Annotated[str, Field(max_length=63)]
Text = Annotated[str, Field(max_length=1024)]
"""As long as one row of the source may be."""
