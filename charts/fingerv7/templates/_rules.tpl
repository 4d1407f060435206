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
  resources: [serviceaccounts]
  verbs: [get, create, update, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, create, update, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, update, patch, delete]
- apiGroups: [fingerv7.io]
  resources: [streampools/finalizers, fingerworkers/finalizers]
  verbs: [update]
{{- end }}
{{- end -}}
