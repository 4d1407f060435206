from __future__ import annotations

from tests.integration.chart.fixtures import bare_cluster, helm

__all__ = ["bare_cluster", "helm"]
