"""A mirror of another v1 registry: what is not here is had from there, and images are kept."""
