"""The v1 registry: docker-registry 0.9.1's protocol over the shared store, for Docker 1.0 to 1.5 and all who search."""
