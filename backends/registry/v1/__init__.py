"""What is the v1 registry's alone: images by id, their staging, repositories with tags and announced images."""
