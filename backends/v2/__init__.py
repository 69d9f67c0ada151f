"""The v2 registry: the distribution protocol (OCI distribution specification 1.1) over the shared store."""
