from __future__ import annotations

from tests.integration.chart.fixtures import bare_cluster, each_helm, helm

__all__ = ["bare_cluster", "each_helm", "helm"]
