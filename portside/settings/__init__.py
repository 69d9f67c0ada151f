"""From the settings file, the environment and flags to frozen, typed values."""
