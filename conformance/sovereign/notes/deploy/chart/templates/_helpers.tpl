{{- define "name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 53 | trimSuffix "-" }}
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

{{/* What may hold any character, a password for instance, goes beside the connection string and not into it. */}}
{{- define "database" -}}
{{- $config := .Values.databaseConfigRef }}
{{- $secret := .Values.databaseSecretRef }}
{{- if $config.name -}}
- name: PGHOST
  valueFrom:
    configMapKeyRef: {name: {{ $config.name | quote }}, key: {{ $config.hostKey | quote }}}
- name: PGPORT
  valueFrom:
    configMapKeyRef: {name: {{ $config.name | quote }}, key: {{ $config.portKey | quote }}}
- name: PGDATABASE
  valueFrom:
    configMapKeyRef: {name: {{ $config.name | quote }}, key: {{ $config.nameKey | quote }}}
{{- else -}}
- name: PGHOST
  value: {{ .Values.database.host | quote }}
- name: PGPORT
  value: {{ .Values.database.port | toString | quote }}
- name: PGDATABASE
  value: {{ .Values.database.name | quote }}
{{- end }}
- name: PGUSER
  valueFrom:
    secretKeyRef: {name: {{ $secret.name | quote }}, key: {{ $secret.usernameKey | quote }}}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ $secret.name | quote }}, key: {{ $secret.passwordKey | quote }}}
- name: DATABASE_URL
  value: "postgres:///?sslmode={{ .Values.database.sslMode }}" # the rest stands above
{{- end }}
