from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reference_worker.config import Config, ConfigFolder, Stream, parse


def _document(**changes: Any) -> dict[str, Any]:
    stream = {"id": "a", "url": "http://a.example.org", "name": "A", "token": "1-1", "metadata": {}}
    return {"version": 1, "pool": "radio", "worker": "w", "epoch": 3, "hash": "h", "streams": [stream]} | changes


def _write(folder: Path, document: object) -> None:
    temporary = folder / "new"
    temporary.write_text(document if isinstance(document, str) else json.dumps(document))
    temporary.replace(folder / "assignment.json")


def test_reads_what_the_worker_needs() -> None:
    assert parse(json.dumps(_document()).encode()) == Config(
        "h", 3, {"a": Stream("a", "http://a.example.org", "A", "1-1")}
    )


def test_ignores_fields_of_a_newer_sidecar() -> None:
    assert parse(json.dumps(_document(later="x")).encode()).hash == "h"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        json.dumps(_document(version=2)),
        json.dumps(_document(streams=[{"id": "a"}])),
        json.dumps(_document(streams=_document()["streams"] * 2)),
    ],
    ids=["empty", "not an object", "torn", "another version", "stream without url", "an id twice"],
)
def test_refuses_what_is_not_a_config(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse(text.encode())


def test_a_folder_without_a_config_asks_for_nothing(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path)
    assert not folder.look()
    assert folder.current is None


def test_a_config_is_new_once(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path)
    _write(tmp_path, _document())
    assert folder.look()
    assert not folder.look()


def test_the_same_config_written_again_is_new_so_that_it_is_confirmed_again(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path)
    _write(tmp_path, _document())
    folder.look()
    _write(tmp_path, _document())
    assert folder.look()


def test_a_config_that_disappears_asks_for_nothing(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path)
    _write(tmp_path, _document())
    folder.look()
    (tmp_path / "assignment.json").unlink()
    assert folder.look()
    assert folder.current is None


def test_an_unreadable_config_leaves_the_one_before_in_force(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path)
    _write(tmp_path, _document())
    folder.look()
    _write(tmp_path, "{")
    assert not folder.look()
    assert folder.current is not None
    assert folder.current.hash == "h"


def test_a_confirmation_is_the_hash_and_leaves_nothing_else(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path)
    folder.confirm("h")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"applied": "h"}
