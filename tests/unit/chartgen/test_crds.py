from __future__ import annotations

import pytest

from chartgen.crds import crd_template

MANIFEST = """\
# Generated elsewhere.
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: a.example.org
spec:
  description: "{{ not a template }}"
"""


def test_a_template_has_a_switch_labels_and_a_keep_policy() -> None:
    template = crd_template(MANIFEST)
    assert "# Generated elsewhere" not in template
    lines = template.splitlines()
    assert lines[1] == "{{- if .Values.crds.enabled }}"
    assert lines[-1] == "{{- end }}"
    assert "    helm.sh/resource-policy: keep" in lines
    assert lines[lines.index("  name: a.example.org") + 1] == "  labels:"


def test_braces_in_a_description_stay_braces() -> None:
    assert '{{ "{{" }} not a template }}' in crd_template(MANIFEST)


def test_metadata_that_would_be_lost_is_refused() -> None:
    labelled = MANIFEST.replace("  name: a.example.org\n", "  name: a.example.org\n  labels: {a: b}\n")
    with pytest.raises(ValueError, match="nothing else"):
        crd_template(labelled)
