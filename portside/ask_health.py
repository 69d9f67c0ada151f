"""`portside health`: asks a running process whether it can do its work. Light: a container asks every few seconds."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Sequence

from portside.problems import Problem
from portside.server.listening import Address, Listener, TcpAddress, show_address
from portside.tls.contexts import ClientAuth
from proxy.settings import HEALTH_PATH

MAX_ANSWER = 65536
WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - translated, not bound


def listener_for(listeners: Sequence[Listener]) -> Listener:
    """Returns the listener to ask: the first that asks for no certificate, those that clients use before the metrics.

    Raises:
        Problem: its port is not known before it runs.
    """
    ours = sorted(listeners, key=lambda each: each.name == "metrics")
    listener = next((each for each in ours if not wants_certificate(each)), ours[0])
    if isinstance(listener.address, TcpAddress) and not listener.address.port:
        raise Problem("these settings let the system choose the port (0): name the address with --addr")
    return listener


def wants_certificate(listener: Listener) -> bool:
    """Whether a client without a certificate is turned away."""
    tls = listener.tls
    return tls is not None and bool(tls.client_cas) and tls.client_auth is ClientAuth.REQUIRE


def ask(address: Address, *, tls: bool, timeout: float, only_greet: bool = False) -> str:
    """Sends one request.

    Args:
        address: where.
        tls: whether it speaks TLS.
        timeout: seconds.
        only_greet: it wants a certificate, which we have not: that it shows its own must do.

    Returns:
        one line that says it is well, and what is wrong all the same.

    Raises:
        Problem: it does not answer, or it cannot do its work.
    """
    where = show_address(address)
    try:
        with _connect(address, timeout) as plain:
            # The question is whether it works, asked over loopback by someone who may read its settings: the name in
            # the certificate says nothing here, and the check must go on when a certificate expires.
            connection = _unverified().wrap_socket(plain, server_hostname="localhost") if tls else plain
            if only_greet:
                return f"{where} answers, and asks for a client's certificate"
            status, body = _ask_on(connection)
    except OSError as error:
        raise Problem(f"{where} does not answer ({error.strerror or error}): is Portside running there?") from None
    found = "".join(f"; {what}: {reason}" for what, reason in _findings(body).items())
    match status:
        case "200":
            return f"{where} answers 200{found}"
        case "503" if found:
            raise Problem(f"{where} answers 503{found}")
        case _:
            raise Problem(f"{where} answers {status or 'nothing'}, which is not Portside's answer at {HEALTH_PATH}")


def _ask_on(connection: socket.socket) -> tuple[str, bytes]:
    """Returns the status, "" when there is none, and the body."""
    lines = (f"GET {HEALTH_PATH} HTTP/1.1", "Host: localhost", "User-Agent: portside-health", "Connection: close")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while len(answer) < MAX_ANSWER and (piece := connection.recv(MAX_ANSWER)):
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    return (rest[:3] if version.startswith("HTTP/") and rest[:3].isdigit() else ""), body


def _findings(body: bytes) -> dict[str, str]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return {str(what): str(reason) for what, reason in found.items()} if isinstance(found, dict) else {}


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
