{{/* What the operator may do in a namespace that it serves. docs/security.md says what each rule is for. */}}

{{- define "fingerv7.operatorRules" -}}
- apiGroups: [fingerv7.io]
  resources: [streampools]
  verbs: [get, list, watch, patch]
- apiGroups: [fingerv7.io]
  resources: [fingerworkers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [fingerv7.io]
  resources: [streampools/status, fingerworkers/status]
  verbs: [patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  # A worker's Role may only grant what its maker has: hence update.
  verbs: [get, list, watch, create, delete{{ if .Values.managedWorkers.enabled }}, update{{ end }}]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.managedWorkers.enabled }}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, create]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles]
  verbs: [get, create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [get, create]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch, delete]
{{- end }}
{{- end -}}
