"""The program: settings, sockets, workers, the command line."""

__version__ = "0.1.0"
"""Here, since reading an installed package's metadata takes a twentieth of a start."""
