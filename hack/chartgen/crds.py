"""CRDs as templates of a chart, so that an upgrade updates them and a switch leaves them out.

Helm installs what lies in a chart's `crds/` once and never touches it again. A template is updated with the release,
and would be deleted with it, which takes every custom resource along: hence the keep policy.
"""

from __future__ import annotations

_METADATA = "metadata:\n"
_HEAD = "{{- /* Generated from crds/ by `make charts`; edit the models in operator/fingerv7/api instead. */ -}}\n"
_LABELS = """\
  labels:
    {{- include "fingerv7.labels" . | nindent 4 }}
  {{- if or .Values.crds.keep .Values.crds.annotations }}
  annotations:
    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
    {{- with .Values.crds.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
"""


def crd_template(manifest: str) -> str:
    """The template of one CRD's YAML, as `make crds` writes it. Raises ValueError for any other shape."""
    lines = [line for line in manifest.splitlines(keepends=True) if not line.startswith("#")]
    text = "".join(lines).replace("{{", '{{ "{{" }}')
    head, metadata, rest = text.partition(_METADATA)
    name, newline, body = rest.partition("\n")
    if not metadata or not name.startswith("  name: ") or body.startswith("  "):
        raise ValueError("a CRD with `metadata:` that holds `name:` and nothing else is expected")
    return (
        f"{_HEAD}{{{{- if .Values.crds.enabled }}}}\n{head}{metadata}{name}{newline}{_LABELS}{body}{{{{- end }}}}\n"
    )
