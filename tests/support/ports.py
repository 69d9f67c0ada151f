"""Ports for programs that cannot be given a socket: each is handed out once, to one test on this machine.

A port that the kernel chooses (`bind` to 0, then `close`) is free only until it chooses it again, for another test's
connection or server. These lie below the range from which it chooses, and one file counts them for all of a user's test
processes.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

FIRST, END = 10_240, 32_768
"""Above what services are registered for; below Linux's `ip_local_port_range`."""


def free_port() -> int:
    """A loopback port that nobody has, and that nobody else is told of.

    Raises:
        RuntimeError: None is free.
    """
    counter = Path(tempfile.gettempdir()) / f"portside-tests-port-{os.geteuid()}"  # nobody can write another's
    descriptor = os.open(counter, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        port = int(os.pread(descriptor, 16, 0) or FIRST)
        for _ in range(FIRST, END):
            port = port + 1 if FIRST <= port < END - 1 else FIRST
            if _is_free(port):
                os.ftruncate(descriptor, os.pwrite(descriptor, str(port).encode(), 0))
                return port
    finally:
        os.close(descriptor)
    raise RuntimeError(f"no port from {FIRST} to {END - 1} is free")


def _is_free(port: int) -> bool:
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family) as listener:
            try:
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((host, port))
            except OSError:
                return False
    return True
