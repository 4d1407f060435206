"""docs/install.md: the values that it names exist, and do what it says where that can be seen."""

from __future__ import annotations

import re

import pytest
import yaml
from tests.integration.chart.helm import CHART, Helm

pytestmark = pytest.mark.integration

INSTALL = (CHART.parents[1] / "docs" / "install.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", INSTALL, re.DOTALL | re.MULTILINE)
SETTINGS = sorted(set(re.findall(r"`(?:--set )?([A-Za-z.]+=[^`\s]+)`", INSTALL)))
"""What it writes as `value=something`."""


@pytest.mark.parametrize("block", BLOCKS)
def test_a_file_of_values_is_accepted(helm: Helm, block: str):
    assert helm.template(yaml.safe_load(block))


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_is_accepted_and_changes_something(helm: Helm, setting: str):
    assert helm.template(None, "--set", setting.replace("'", "")) != helm.template()
