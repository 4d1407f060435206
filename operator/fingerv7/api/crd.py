"""The CustomResourceDefinitions and the field reference, generated from the models.

`python -m fingerv7.api.crd crds` writes `crds/*.yaml` and, beside that folder, `docs/api.md`. A test generates them
again and fails when they differ, so nobody edits them by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fingerv7.api.fingerworker import FingerWorker
from fingerv7.api.meta import Resource
from fingerv7.api.reference import render_reference
from fingerv7.api.streampool import StreamPool
from fingerv7.api.structural import JsonSchema, structural
from fingerv7.contract import GROUP, VERSION

HEADER = "# Generated from operator/fingerv7/api by `make crds`; edit the models instead.\n"


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; `wide` ones appear with -o wide only."""

    name: str
    type: str
    path: str
    wide: bool = False

    def as_json(self) -> dict[str, Any]:
        column: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**column, "priority": 1} if self.wide else column


def _condition(type_: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


@dataclass(frozen=True)
class Kind:
    """All that a CRD says besides its schema."""

    model: type[Resource]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    scale: Mapping[str, str] | None = None
    """Where `kubectl scale` finds its figures; None for a kind that it cannot change."""

    @property
    def name(self) -> str:
        return self.model.__name__


_AGE = Column("Age", "date", ".metadata.creationTimestamp")

KINDS = (
    Kind(
        StreamPool,
        "streampools",
        "spool",
        (
            Column("Ready", "string", _condition("Ready")),
            Column("Streams", "integer", ".status.streams"),
            Column("Assigned", "integer", ".status.assigned"),
            Column("Unassigned", "integer", ".status.unassigned"),
            Column("Workers", "integer", ".status.workers"),
            Column("Ready-Workers", "integer", ".status.readyWorkers"),
            Column("Load%", "integer", ".status.loadPercent"),
            Column("Imbalance%", "integer", ".status.imbalancePercent"),
            Column("Paused", "boolean", ".spec.paused"),
            Column("Reason", "string", _condition("Ready", "reason"), wide=True),
            Column("Source", "string", _condition("SourceReachable", "reason"), wide=True),
            Column("Quarantined", "integer", ".status.quarantined", wide=True),
            Column("Capacity", "integer", ".status.capacity", wide=True),
            Column("Takeover", "string", ".spec.liveness.takeoverAfter", wide=True),
            Column("Proposal", "string", ".status.proposal.id", wide=True),
            Column("Rebalanced", "date", ".status.lastRebalance.time", wide=True),
            Column("Replicas", "integer", ".status.replicas", wide=True),
            Column("Updated", "integer", ".status.updatedReplicas", wide=True),
            Column("Fleet", "string", _condition("WorkersReady", "reason"), wide=True),
            _AGE,
        ),
        scale={
            "specReplicasPath": ".spec.workers.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    ),
    Kind(
        FingerWorker,
        "fingerworkers",
        "fw",
        (
            Column("Ready", "string", _condition("Ready")),
            Column("Pool", "string", ".spec.poolRef.name"),
            Column("Streams", "integer", ".status.assignedStreams"),
            Column("Capacity", "integer", ".spec.maxStreams"),
            Column("Load%", "integer", ".status.loadPercent"),
            Column("Applied", "string", _condition("Applied")),
            Column("Phase", "string", ".status.phase"),
            Column("Reason", "string", _condition("Ready", "reason"), wide=True),
            Column("Location", "string", ".spec.location", wide=True),
            Column("Epoch", "integer", ".status.assignment.epoch", wide=True),
            Column("Applied-Epoch", "integer", ".status.appliedEpoch", wide=True),
            Column("Version", "string", ".status.report.version", wide=True),
            Column("Heartbeat", "date", ".status.lastHeartbeatTime", wide=True),
            _AGE,
        ),
    ),
)


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, as JSON."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["fingerv7"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}, **({"scale": dict(kind.scale)} if kind.scale else {})},
                    "additionalPrinterColumns": [column.as_json() for column in kind.columns],
                    "schema": {"openAPIV3Schema": root_schema(kind)},
                }
            ],
        },
    }


def root_schema(kind: Kind) -> JsonSchema:
    """The whole object's schema; metadata is the API server's own business."""
    schema = structural(kind.model)
    properties = schema["properties"]
    return {
        **schema,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": properties["spec"],
            "status": properties["status"],
        },
    }


def generate() -> Iterator[tuple[Path, str]]:
    """Every generated file: its path below the repository's root, and its text."""
    for kind in KINDS:
        yield Path("crds", f"{kind.plural}.yaml"), HEADER + _to_yaml(definition(kind))
    yield Path("docs", "api.md"), render_reference([(kind.name, root_schema(kind)) for kind in KINDS])


class _Dumper(yaml.SafeDumper):
    """Long texts folded, rules of several lines as they are, lists indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else ">" if len(text) > 80 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _to_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def main() -> None:
    """Write every generated file."""
    parser = argparse.ArgumentParser(prog="python -m fingerv7.api.crd", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the CRDs go, such as crds")
    folder: Path = parser.parse_args().folder
    for path, text in generate():
        target = folder.parent / path if path.parts[0] != "crds" else folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
