"""The chart's README: a table of all values, from the comments beside their defaults.

A value's comment begins with two dashes (`# -- What it is for`) and stands directly above it. What has a comment is
one row, whatever is below it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_PLACE = "<!-- values -->"
_KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_SHORT = 60


@dataclass(frozen=True)
class Value:
    path: str
    default: Any
    text: str


def documented(values: str) -> Iterator[Value]:
    """Every value with a comment, in order. Raises ValueError for one that nobody explained."""
    defaults = yaml.safe_load(values)
    path: list[tuple[int, str]] = []
    explained: list[str] = []
    comment: list[str] = []
    for line in values.splitlines():
        words = line.strip()
        if words.startswith("# --"):
            comment = [words.removeprefix("# --").strip()]
        elif words.startswith("#"):
            comment += [words.removeprefix("#").strip()] if comment else []
        elif found := _KEY.match(line):
            indent = len(found[1])
            path = [each for each in path if each[0] < indent] + [(indent, found[2])]
            name = ".".join(key for _, key in path)
            if comment:
                explained.append(name)
                yield Value(name, _at(defaults, name), " ".join(comment))
            elif not _is_covered(name, explained) and not isinstance(_at(defaults, name), dict):
                raise ValueError(f"the value {name} has no comment; write `# -- what it is for` above it")
            comment = []
        else:
            comment = []


def readme(template: str, values: str) -> str:
    """The template with the table in its place."""
    rows = [f"| `{each.path}` | {_shown(each.default)} | {_cell(each.text)} |" for each in documented(values)]
    return template.replace(_PLACE, "\n".join(["| value | default | |", "|---|---|---|", *rows]))


def _at(defaults: Any, path: str) -> Any:
    for key in path.split("."):
        defaults = defaults[key]
    return defaults


def _is_covered(name: str, explained: list[str]) -> bool:
    return any(name.startswith(f"{each}.") for each in explained)


def _shown(default: Any) -> str:
    if default == "":
        return "empty"
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text}`" if len(text) <= _SHORT else "see values.yaml"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
