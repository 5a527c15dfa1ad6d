{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{- define "name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | trunc 63 | quote }}
{{- end -}}

{{- define "selector" -}}
app.kubernetes.io/name: {{ include "name" . }}
app.kubernetes.io/component: controller-manager
{{- end -}}

{{- define "image" -}}
{{- with .Values.manager.image -}}
{{- $tag := .tag | default (ternary "" $.Chart.AppVersion (not (empty .digest))) -}}
{{ .repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end -}}

{{/* metricsPort is empty where no metrics are served. */}}
{{- define "metricsPort" -}}
{{- $address := toString .Values.metricsServer.bindAddress -}}
{{- if ne $address "0" -}}
{{- $port := last (splitList ":" $address) -}}
{{- if not (regexMatch "^[1-9][0-9]{0,4}$" $port) -}}
{{- fail (printf "metricsServer.bindAddress %q: expected an address with a port, such as :8080, or 0" $address) -}}
{{- end -}}
{{ $port }}
{{- end -}}
{{- end -}}
