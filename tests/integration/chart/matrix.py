"""Sets of values that between them switch everything on and off."""

from __future__ import annotations

from typing import Any

DIGEST = "sha256:" + "0123456789abcdef" * 4

MATRIX: dict[str, dict[str, Any]] = {
    "default": {},
    "namespaced": {"watchNamespaces": ["radio"]},
    "several-namespaces": {
        "watchNamespaces": ["radio", "tv"],
        "rbac": {"secretNames": ["streams-db"]},
        "podMonitor": {"workers": {"enabled": True}},
        "nameOverride": "radio-operator",
    },
    "everything": {
        "global": {"somebody": {"elses": True}},
        "replicas": 3,
        "image": {"repository": "registry.example:5000/team/fingerv7-operator", "digest": DIGEST},
        "sidecarImage": {"tag": "1.2.3"},
        "imagePullSecrets": [{"name": "pull"}],
        "extraEnv": [{"name": "FINGERV7_LEASE_SECONDS", "value": "20"}],
        "logFormat": "text",
        "serviceAccount": {"name": "operator", "annotations": {"example.org/role": "x"}},
        "commonLabels": {"team": "radio"},
        "podLabels": {"tier": "control"},
        "podAnnotations": {"example.org/note": "x"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "fingerv7"}},
            }
        ],
        "affinity": {"nodeAffinity": {}},
        "podMonitor": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "workers": {"enabled": True, "interval": "2m"},
        },
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}], "dnsPorts": [53, 5353]},
    },
    "least": {
        "replicas": 1,
        "crds": {"enabled": False},
        "serviceAccount": {"create": False, "name": "made-by-somebody-else"},
        "rbac": {"create": False, "userRoles": False},
        "admission": {"enabled": False},
        "flowControl": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "managedWorkers": {"enabled": False},
    },
}
