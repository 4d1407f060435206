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
{{- range $key := list "nameOverride" "fullnameOverride" -}}
{{- $name := index $.Values $key -}}
{{- if and $name (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) -}}
{{- fail (printf "%s is %q: write a-z, 0-9 and dashes, beginning with a letter, or leave it empty for the chart's own name" $key $name) -}}
{{- end -}}
{{- end -}}
{{- range $key, $interval := dict "podMonitor.interval" .Values.podMonitor.interval "podMonitor.workers.interval" .Values.podMonitor.workers.interval -}}
{{- if not (regexMatch "^([0-9]+(ms|s|m|h))+$" $interval) -}}
{{- fail (printf "%s is %q: write a time such as 30s or 1m30s" $key $interval) -}}
{{- end -}}
{{- end -}}
{{- $ours := dict "POD_NAMESPACE" "nothing: it is the release's namespace" "POD_NAME" "nothing" "FINGERV7_NAMESPACES" "watchNamespaces" "FINGERV7_SIDECAR_IMAGE" "sidecarImage" "FINGERV7_SIDECAR_PULL_POLICY" "sidecarImage.pullPolicy" "FINGERV7_LISTEN" "nothing: the probes need it" "FINGERV7_ELECTION_NAME" "nothing: `fingerv7 uninstall` looks for that Lease" "LOG_LEVEL" "logLevel" "LOG_FORMAT" "logFormat" -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $ours .name -}}
{{- fail (printf "extraEnv sets %s, which this chart sets itself; use %s instead" .name (index $ours .name)) -}}
{{- end -}}
{{- end -}}
{{- $times := dict "FINGERV7_LEASE_SECONDS" "15" "FINGERV7_RENEW_DEADLINE_SECONDS" "10" "FINGERV7_RETRY_SECONDS" "2" -}}
{{- $known := true -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $times .name -}}
{{- if .valueFrom -}}
{{- $known = false -}}
{{- else -}}
{{- if not (regexMatch "^[0-9]{1,6}([.][0-9]{1,6})?$" (toString .value)) -}}
{{- fail (printf "extraEnv sets %s to %q: write a number of seconds, such as %q" .name (toString .value) (get $times .name)) -}}
{{- end -}}
{{- $_ := set $times .name (toString .value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $lease := float64 (get $times "FINGERV7_LEASE_SECONDS") -}}
{{- $deadline := float64 (get $times "FINGERV7_RENEW_DEADLINE_SECONDS") -}}
{{- $retry := float64 (get $times "FINGERV7_RETRY_SECONDS") -}}
{{- if and $known (or (lt $lease 1.0) (gt $lease 300.0) (gt $deadline (mulf $lease 0.9)) (le $retry 0.0) (ge $retry $deadline)) -}}
{{- fail (printf "extraEnv: FINGERV7_LEASE_SECONDS=%v with FINGERV7_RENEW_DEADLINE_SECONDS=%v and FINGERV7_RETRY_SECONDS=%v: a lease of 1 to 300 is accepted, a renew deadline of at most nine tenths of it, and a retry below the deadline (by default 15, 10 and 2), or two could lead" $lease $deadline $retry) -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: name the account that the operator uses, or let the chart make one" -}}
{{- end -}}
{{- end -}}
