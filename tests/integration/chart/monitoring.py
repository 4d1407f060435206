"""Stands in for the CustomResourceDefinition of the Prometheus operator, which knows more fields: a misspelt one is refused
here, too.
"""

from __future__ import annotations

from tests.integration.chart.helm import Object

TEXT: Object = {"type": "string"}
TEXTS: Object = {"type": "array", "items": TEXT}


def fields(**properties: Object) -> Object:
    return {"type": "object", "properties": properties}


SELECTOR = fields(
    matchLabels={"type": "object", "additionalProperties": TEXT},
    matchExpressions={"type": "array", "items": fields(key=TEXT, operator=TEXT, values=TEXTS)},
)
ENDPOINT = fields(
    port=TEXT,
    path=TEXT,
    interval=TEXT,
    relabelings={"type": "array", "items": fields(sourceLabels=TEXTS, targetLabel=TEXT)},
)
POD_MONITOR_SPEC = fields(
    namespaceSelector=fields(any={"type": "boolean"}, matchNames=TEXTS),
    selector=SELECTOR,
    podMetricsEndpoints={"type": "array", "items": ENDPOINT},
)
POD_MONITOR = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podmonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "names": {"kind": "PodMonitor", "plural": "podmonitors"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": fields(spec=POD_MONITOR_SPEC)},
            }
        ],
    },
}
