"""The commands, by what one wants; `portside/cli.py` imports a module here when one of its commands is asked for."""
