module ocm

go 1.26.0

require (
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3
	github.com/opencontainers/image-spec v1.1.1
)

require (
	github.com/google/go-containerregistry v0.22.1
	github.com/olareg/olareg v0.1.2
	github.com/opencontainers/go-digest v1.0.0
	oras.land/oras-go/v2 v2.6.4
)

require golang.org/x/sync v0.24.0 // indirect
