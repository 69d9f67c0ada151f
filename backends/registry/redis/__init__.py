"""Redis as a place for facts; imported only where the settings want it, since its client is an extra."""
