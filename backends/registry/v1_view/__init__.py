"""What v2 clients pushed, as clients of the v1 protocol see it: images by id, made of manifests (FORMATS 3, 7)."""
