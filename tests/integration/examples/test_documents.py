"""What the documentation shows as a whole object is accepted as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.integration.examples.test_manifests import Json, create

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


def shown() -> Iterator[pytest.ParameterSet]:
    """Fragments, which name no kind, left out."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"^```yaml\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for each in yaml.safe_load_all(block):
                if "kind" in each:
                    yield pytest.param(each, id=f"{path.name}-{each['kind']}")
    chart = yaml.safe_load((ROOT / "charts" / "fingerv7" / "Chart.yaml").read_text(encoding="utf-8"))
    for each in yaml.safe_load(chart["annotations"]["artifacthub.io/crdsExamples"]):
        yield pytest.param(each, id=f"Artifact Hub-{each['kind']}")


@pytest.mark.parametrize("example", list(shown()))
def test_an_object_that_is_shown_is_accepted(cluster, namespace: str, example: Json):
    create(cluster, namespace, example)
