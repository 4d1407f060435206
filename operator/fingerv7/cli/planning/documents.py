"""Files that people and kubectl write: YAML of several documents, JSON, and Lists of objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fingerv7.cli.errors import CliError

Json = dict[str, Any]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml was there to build it


def read_text(file: str) -> str:
    """The file's text; `-` is standard input. Raises CliError."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CliError(f"{file} is not text in UTF-8 (byte {error.start + 1})") from error
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror or error}") from error


def read_documents(file: str) -> list[Any]:
    """The documents that are not empty. Raises CliError."""
    text = read_text(file)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return [json.loads(text)]
        except ValueError:
            pass  # flow style YAML begins like JSON
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise CliError(f"{file} cannot be read{where}: {problem}; check the indentation and quotes there") from error


def read_objects(file: str) -> Iterator[Json]:
    """Every mapping of the file, with the items of Lists in their place. Raises CliError."""
    for document in read_documents(file):
        items = document.get("items") if isinstance(document, dict) and "items" in document else [document]
        for item in items if isinstance(items, list) else [items]:
            if not isinstance(item, dict):
                raise CliError(
                    f"{file} has a document that is no object; write FingerWorkers as kubectl prints them, or "
                    "`workers: [{name: fingerv7-001, maxStreams: 50}]`"
                )
            yield item
