"""Checkov on the rendered chart: every finding is an exception that somebody has justified, or a failure."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.integration.chart.helm import Helm
from tests.integration.chart.matrix import DIGEST

from devenv.checkov import find_checkov
from devenv.errors import DevenvError
from devenv.progress import print_progress
from devenv.surroundings import here

pytestmark = pytest.mark.integration

EXCEPTIONS = yaml.safe_load((Path(__file__).parent / "checkov-exceptions.yaml").read_text())
WITHOUT = (
    "Checkov comes from where pip finds packages, once. Without it: "
    "HELM_LINES=v4 .venv/bin/pytest tests/integration/chart --ignore tests/integration/chart/test_checkov.py"
)
WITH_DIGEST = {"image": {"digest": DIGEST}, "networkPolicy": {"enabled": True}, "watchNamespaces": ["radio"]}


@pytest.fixture(scope="module")
def checkov(request: pytest.FixtureRequest, helm: Helm) -> Iterator[Path]:
    manager = request.config.pluginmanager.getplugin("capturemanager")
    try:
        with manager.global_and_fixture_disabled():
            yield find_checkov(here(), print_progress)
    except DevenvError as error:
        # A skip would be seen by nobody, and the chart unchecked.
        raise pytest.fail.Exception(f"{error}\n{WITHOUT}", pytrace=False) from None


def found(checkov: Path, helm: Helm, values: dict, folder: Path) -> set[tuple[str, str]]:
    """Check and Kind/name of everything that failed."""
    # CRDs are no workload: nothing is checked of them, which takes a while.
    objects = helm.template({**values, "crds": {"enabled": False}})
    file = folder / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    command = [
        checkov,
        "--file",
        file,
        "--framework",
        "kubernetes",
        "--output",
        "json",
        "--compact",
        "--skip-download",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 100, done.stderr
    assert report["summary"]["parsing_errors"] == 0
    failed = report["results"]["failed_checks"]
    return {(each["check_id"], _name(each["resource"])) for each in failed}


def _name(resource: str) -> str:
    """`Deployment/fingerv7` of `Deployment.ops.fingerv7`; a Deployment's pods are `Pod.ops.fingerv7.` and labels."""
    kind, _, name, *_ = resource.split(".")
    return f"{kind}/{name}"


def excepted(*, with_digest: bool = False) -> set[tuple[str, str]]:
    wanted = [each for each in EXCEPTIONS if not (with_digest and each.get("unless") == "image.digest")]
    return {(each["check"], name) for each in wanted for name in each["objects"]}


def test_every_finding_of_the_defaults_is_an_exception_with_a_reason(checkov: Path, helm: Helm, tmp_path: Path):
    assert all(len(each["why"].split()) > 5 for each in EXCEPTIONS)
    assert found(checkov, helm, {}, tmp_path) == excepted()


def test_with_a_digest_and_a_network_policy_less_is_found(checkov: Path, helm: Helm, tmp_path: Path):
    left = found(checkov, helm, WITH_DIGEST, tmp_path)
    assert left <= excepted(with_digest=True)
    assert ("CKV2_K8S_6", "Pod/fingerv7") not in left
