"""Helm and a cluster that knows nothing of us yet, for the chart's tests and for those of its policies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.cluster import Cluster, start_cluster
from devenv.errors import DevenvError
from devenv.helm import LINES, Line, find_helm
from devenv.progress import print_progress
from devenv.surroundings import here

from .helm import Helm

WANTED = os.environ.get("HELM_LINES", "")
"""Which Helms to test with: `v4`, or `v4 v3`. Set by `make chart`, as the first build takes minutes."""


def helm_of(line: Line, folder: Path) -> Helm:
    if line not in WANTED.split():
        pytest.skip(f"needs Helm {line}, whose first build takes minutes: make chart LINES={line}")
    try:
        return Helm(find_helm(line, here(), print_progress), folder)
    except DevenvError as error:
        pytest.skip(f"Helm {line} cannot be had here: {error}")


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4, without a cluster."""
    return helm_of("v4", tmp_path_factory.mktemp("helm-v4"))


@pytest.fixture(scope="session", params=[line for line in LINES if line in WANTED.split()] or LINES[:1])
def each_helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return helm_of(request.param, tmp_path_factory.mktemp(f"helm-{request.param}"))


@pytest.fixture(scope="session")
def bare_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Without CRDs: policies and flow control are the whole cluster's, so no other test may share it."""
    if not WANTED:
        pytest.skip("needs Helm, whose first build takes minutes: make chart")
    manager = request.config.pluginmanager.getplugin("capturemanager")
    with manager.global_and_fixture_disabled():
        cluster = start_cluster(name="chart")
    with cluster:
        yield cluster
