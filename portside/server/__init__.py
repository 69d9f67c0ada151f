"""Sockets, worker processes and connections: everything between the kernel and a handler."""
