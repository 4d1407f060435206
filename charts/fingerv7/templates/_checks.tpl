{{/* What a schema cannot say in a sentence that tells what would be accepted. */}}

{{- define "fingerv7.checks" -}}
{{- range $key := list "image" "sidecarImage" -}}
{{- $image := index $.Values $key -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9._/]|:[0-9]+/)*$" $image.repository) -}}
{{- fail (printf "%s.repository is %q: write the image's name in lower case, without tag and digest, such as my-registry.example:5000/fingerv7-operator; %s.tag and %s.digest are values of their own" $key $image.repository $key $key) -}}
{{- end -}}
{{- if and $image.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" $image.digest)) -}}
{{- fail (printf "%s.digest is %q: write sha256: and 64 hexadecimal digits, or leave it empty" $key $image.digest) -}}
{{- end -}}
{{- if and $image.tag (not (regexMatch "^[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}$" $image.tag)) -}}
{{- fail (printf "%s.tag is %q: write a tag, such as 0.1.0, or leave it empty for %s" $key $image.tag $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- range .Values.watchNamespaces -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" .) -}}
{{- fail (printf "watchNamespaces names %q: write names of namespaces (a-z, 0-9 and dashes), or leave the list empty for all of them" .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.rbac.secretNames -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$" .) -}}
{{- fail (printf "rbac.secretNames names %q: write names of Secrets (a-z, 0-9, dashes and dots), or leave the list empty for any" .) -}}
{{- end -}}
{{- end -}}
{{- $ours := dict "POD_NAMESPACE" "nothing: it is the release's namespace" "POD_NAME" "nothing" "FINGERV7_NAMESPACES" "watchNamespaces" "FINGERV7_SIDECAR_IMAGE" "sidecarImage" "FINGERV7_LISTEN" "nothing: the probes need it" "FINGERV7_ELECTION_NAME" "nothing: `fingerv7 uninstall` looks for that Lease" "LOG_LEVEL" "logLevel" "LOG_FORMAT" "logFormat" -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $ours .name -}}
{{- fail (printf "extraEnv sets %s, which this chart sets itself; use %s instead" .name (index $ours .name)) -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: name the account that the operator uses, or let the chart make one" -}}
{{- end -}}
{{- end -}}
