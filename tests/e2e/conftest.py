"""A cluster that runs pods, a PostgreSQL that they reach, Helm, and images on the nodes, once a session.

The cluster is the one that FINGERV7_CONTEXT or FINGERV7_KUBECONFIG names, else kind's, else one of plain processes with
a node (root only). Of a cluster that was named nobody can know how to put images on its nodes and how its pods reach
a database, so FINGERV7_IMAGES (`registry.example/fingerv7-{target}:tag`) and FINGERV7_POSTGRES_DSN are needed there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.integration.chart.helm import Helm

from devenv.errors import Missing, MissingRequirementsError
from devenv.helm import find_helm
from devenv.images import TARGETS, build_images
from devenv.pods import PodCluster, start_pods
from devenv.postgres import DSN_VARIABLE, Postgres, start_postgres
from devenv.progress import print_progress
from devenv.surroundings import here

from .fleet import Surroundings

IMAGES_VARIABLE = "FINGERV7_IMAGES"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's deadline is for the test: the first start builds a node and images for minutes."""
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600, func_only=True))


@pytest.fixture(scope="session")
def uncaptured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the progress of a long start be seen."""
    manager = request.config.pluginmanager.getplugin("capturemanager")
    if manager is None:
        yield
        return
    with manager.global_and_fixture_disabled():
        yield


@pytest.fixture(scope="session")
def pods(uncaptured: None) -> Iterator[PodCluster]:
    with start_pods(name="e2e", progress=print_progress) as running:
        yield running


@pytest.fixture(scope="session")
def postgres(pods: PodCluster) -> Iterator[Postgres]:
    if pods.reach is None and not os.environ.get(DSN_VARIABLE):
        how = f"name one that both this machine and the pods reach by the same address: {DSN_VARIABLE}"
        raise MissingRequirementsError("a fleet on this cluster", [Missing("a PostgreSQL that its pods reach", how)])
    with start_postgres(reach=pods.reach) as server:
        yield server


@pytest.fixture(scope="session")
def images(pods: PodCluster) -> dict[str, str]:
    """The image of each target by its name, on every node."""
    if template := os.environ.get(IMAGES_VARIABLE):
        return {target: template.format(target=target) for target in TARGETS}
    if not pods.takes_archives:
        how = f"push them to a registry that it pulls from, and {IMAGES_VARIABLE}='registry.example/{{target}}:tag'"
        raise MissingRequirementsError("a fleet on this cluster", [Missing("images", how)])
    built = build_images(here(), print_progress)
    for image in built.values():
        pods.load(image.archive)
    return {target: image.name for target, image in built.items()}


@pytest.fixture(scope="session")
def helm(uncaptured: None, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4, whose first build takes minutes."""
    return Helm(find_helm("v4", here(), print_progress), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def around(pods: PodCluster, postgres: Postgres, images: dict[str, str], helm: Helm) -> Surroundings:
    return Surroundings(pods=pods, postgres=postgres, images=images, helm=helm)
