"""What only the v1 registry has: images by id, their staging, repositories with tags and announced images."""
