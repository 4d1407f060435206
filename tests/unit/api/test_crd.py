"""The generated files are what the models say, and the schemas keep Kubernetes' form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from fingerv7.api.crd import KINDS, definition, generate, root_schema
from fingerv7.api.structural import structural

ROOT = Path(__file__).parents[3]
NOT_STRUCTURAL = {"$ref", "$defs", "anyOf", "allOf", "oneOf", "title", "const", "propertyNames"}


def nodes(schema, path=""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}[]")


def fields():
    """Every schema below spec and status, with its path."""
    for kind in KINDS:
        for path, schema in nodes(root_schema(kind)):
            if path.startswith((".spec", ".status")):
                yield f"{kind.name}{path}", schema


@pytest.mark.parametrize(
    ("path", "text"), list(generate()), ids=lambda value: str(value) if len(str(value)) < 99 else ""
)
def test_generated_files_are_up_to_date(path, text):
    assert (ROOT / path).read_text(encoding="utf-8") == text, "run `make crds` and commit the result"


def test_the_command_writes_the_crds_and_the_reference(tmp_path):
    subprocess.run([sys.executable, "-m", "fingerv7.api.crd", tmp_path / "crds"], check=True, capture_output=True)
    for path, text in generate():
        assert (tmp_path / path).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_yaml_says_what_the_definition_says(kind):
    text = (ROOT / "crds" / f"{kind.plural}.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == definition(kind)


def test_schemas_are_structural():
    assert [path for path, schema in fields() if NOT_STRUCTURAL & schema.keys()] == []


def test_every_field_is_bounded():
    def bounded(schema):
        match schema["type"]:
            case "string":
                return "maxLength" in schema or "enum" in schema
            case "array":
                return schema["maxItems"] <= 1000 and "x-kubernetes-list-type" in schema
            case "object" if "additionalProperties" in schema:
                return "maxProperties" in schema
        return True

    assert [path for path, schema in fields() if not bounded(schema)] == []


def test_every_named_field_is_described():
    assert [path for path, schema in fields() if not path.endswith("[]") and not schema.get("description")] == []


ABSENT_MEANS_NONE = {".workers", ".workers.autoscaling"}


def test_every_optional_object_of_a_spec_has_its_default_spelled_out():
    for kind in KINDS:
        for path, schema in nodes(root_schema(kind)["properties"]["spec"]):
            for name, child in schema.get("properties", {}).items():
                if f"{path}.{name}" in ABSENT_MEANS_NONE:
                    continue
                if child["type"] == "object" and name not in schema.get("required", []):
                    properties = child.get("properties", {})
                    defaults = {key for key, each in properties.items() if "default" in each}
                    assert set(child.get("default", {})) == defaults, f"{path}.{name}"


def test_columns_are_in_the_order_that_people_read():
    for kind in KINDS:
        shown = [column.name for column in kind.columns if not column.wide]
        assert shown[0] == "Ready"
        assert kind.columns[-1].name == "Age"


def test_what_a_crd_cannot_say_is_refused():
    class Either(BaseModel):
        value: int | str

    with pytest.raises(ValueError, match="cannot choose between types"):
        structural(Either)
