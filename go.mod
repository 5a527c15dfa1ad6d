module ocm

go 1.26.0

require (
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3
	github.com/opencontainers/image-spec v1.1.1
)

require github.com/opencontainers/go-digest v1.0.0

require (
	github.com/Masterminds/semver/v3 v3.5.0 // indirect
	github.com/ProtonMail/go-crypto v1.5.2 // indirect
	go.yaml.in/yaml/v2 v2.4.2 // indirect
	golang.org/x/sync v0.24.0 // indirect
	oras.land/oras-go/v2 v2.6.4 // indirect
	sigs.k8s.io/yaml v1.6.0 // indirect
)
