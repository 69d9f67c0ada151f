"""What an operator sees: access log, program log, metrics, health."""
