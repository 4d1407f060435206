{{/* Names, labels and images. */}}

{{- define "fingerv7.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "fingerv7.fullname" -}}
{{- $name := include "fingerv7.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of objects outside of namespaces: releases of one name may stand in several of them. */}}
{{- define "fingerv7.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "fingerv7.fullname" .) -}}
{{- end -}}

{{- define "fingerv7.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "fingerv7.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "fingerv7.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fingerv7.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "fingerv7.labels" -}}
app.kubernetes.io/name: {{ include "fingerv7.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (list root image) → repository:tag or repository@digest */}}
{{- define "fingerv7.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "fingerv7.subject" -}}
- kind: ServiceAccount
  name: {{ include "fingerv7.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
