"""`portside health`: does this process answer? Light, since a container asks every few seconds."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from portside.problems import Problem
from portside.server.listening import Address, Listener, TcpAddress
from portside.tls.contexts import ClientAuth

PATHS = {"serve": "/v2/", "proxy": "/", "v1": "/v1/_ping", "v2": "/v2/"}
WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - translated, not bound


def listener_for(listeners: Sequence[Listener]) -> Listener:
    """Returns the listener to ask: the first one that requests come in by and that asks for no certificate.

    Raises:
        Problem: its port is not known before it runs.
    """
    ours = [each for each in listeners if each.name != "metrics"]
    listener = next((each for each in ours if not wants_certificate(each)), ours[0])
    if isinstance(listener.address, TcpAddress) and not listener.address.port:
        raise Problem("these settings let the system choose the port (0): name the address with --addr")
    return listener


def wants_certificate(listener: Listener) -> bool:
    """Whether a client without a certificate is turned away."""
    tls = listener.tls
    return tls is not None and bool(tls.client_cas) and tls.client_auth is ClientAuth.REQUIRE


def ask(name: str, address: Address, *, tls: bool, timeout: float, only_greet: bool = False) -> str:
    """Sends one request.

    Args:
        name: what listens there; decides the path.
        address: where.
        tls: whether it speaks TLS.
        timeout: seconds.
        only_greet: it wants a certificate, which we have not: that it shows its own must do.

    Returns:
        one line that says it is well.

    Raises:
        Problem: it does not answer, or not well.
    """
    where = f"{address.host}:{address.port}" if isinstance(address, TcpAddress) else f"unix:{address.path}"
    try:
        with _connect(address, timeout) as plain:
            # The question is whether it answers, asked over loopback by whoever may read its settings: the name in
            # the certificate says nothing here, and the check must go on when a certificate expires.
            connection = _unverified().wrap_socket(plain, server_hostname="localhost") if tls else plain
            if only_greet:
                return f"{where} answers, and asks for a client's certificate"
            line = _status_line(connection, PATHS.get(name, "/"))
    except OSError as error:
        raise Problem(f"{where} does not answer: {error.strerror or error}") from None
    status = line.split(b" ", 2)[1:2]
    if not status or not status[0].isdigit() or int(status[0]) >= 500:  # noqa: PLR2004 - its own fault
        raise Problem(f"{where} answers {line[:80].decode('latin-1').strip() or 'nothing'}")
    return f"{where} answers {status[0].decode()}"


def _status_line(connection: socket.socket, path: str) -> bytes:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: portside-health\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode())
    line = b""
    while b"\n" not in line and len(line) < 1000:  # noqa: PLR2004 - a status line
        piece = connection.recv(1000)
        if not piece:
            break
        line += piece
    return line.partition(b"\n")[0]


def _connect(address: Address, timeout: float) -> socket.socket:
    if isinstance(address, TcpAddress):
        host = WILDCARDS.get(address.host, address.host)
        try:
            return socket.create_connection((host, address.port), timeout)
        except OSError:
            if host != "::1":
                raise
            return socket.create_connection(("127.0.0.1", address.port), timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    connection.connect(str(address.path))
    return connection


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
