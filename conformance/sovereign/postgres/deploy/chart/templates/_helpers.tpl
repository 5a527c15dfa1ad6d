{{- define "name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: sovereign-product
{{- end }}

{{- define "image" -}}
{{ required "image.repository: say where the image of the component version is" .Values.image.repository }}@{{ required "image.digest: an image is used by its digest" .Values.image.digest }}
{{- end }}

{{- define "secret" -}}
{{ .Values.databaseSecretRef.name | default (include "name" .) }}
{{- end }}
