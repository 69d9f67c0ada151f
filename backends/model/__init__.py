"""The registries' vocabulary: pure values and rules, without I/O, clock or framework."""
