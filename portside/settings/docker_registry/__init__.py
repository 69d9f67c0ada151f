"""docker-registry 0.9.1's configuration: its file, its variables, and what they become here."""
