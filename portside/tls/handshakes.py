"""Handshakes that fail: the client gets its alert, the log gets the cause.

When a handshake fails, OpenSSL leaves an alert in the outgoing buffer, and the event loops (asyncio and uvloop alike)
close the connection without sending it: the client reads "connection reset" and never learns why. Python's documented
hook (`SSLContext.sslobject_class`) is enough to send it: the first real error is remembered, and the loop is made to
believe that OpenSSL wants to read more, so it sends what is pending and waits; then the connection is ended.

Invariant: a handshake that has failed never succeeds later, and what its client still sends is thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from contextvars import ContextVar
from typing import Any

from typing_extensions import override

ALERT_SECONDS = 1.0
"""How long a client may take to read its alert and hang up."""

# What each of OpenSSL's reasons means. Of the alerts that a client sends, in the words that Go's programs print.
_REASONS = {
    "TLSV1_ALERT_UNKNOWN_CA": "remote error: unknown certificate authority (the client does not trust our CA)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "remote error: bad certificate (an unknown certificate authority to the client,"
    " or a name that the certificate does not carry)",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "remote error: expired certificate",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "remote error: revoked certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "remote error: unknown certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "remote error: unsupported certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "remote error: handshake failure",
    "TLSV1_ALERT_PROTOCOL_VERSION": "remote error: protocol version not supported",
    "TLSV1_ALERT_USER_CANCELLED": "remote error: the user cancelled",
    "TLSV1_UNRECOGNIZED_NAME": "remote error: unrecognized name",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client sent no certificate, and one is required",
    "UNSUPPORTED_PROTOCOL": "the client speaks only versions of TLS older than the configured minimum"
    " (docs/old-tls.md)",
    "NO_SHARED_CIPHER": "the client and this server have no cipher in common",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "the client and this server have no signature algorithm in common",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "the client accepts no signature that the certificate's key can make",
    "NO_SUITABLE_KEY_SHARE": "the client and this server have no key exchange in common",
    "WRONG_VERSION_NUMBER": "what the client sent is not TLS",
}
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's X509_V_ERR codes of a chain that does not end at a trusted CA."""


class Handshake:
    """A handshake in progress.

    Args:
        loop: its event loop.
        connection: its socket.

    Attributes:
        error: why the handshake failed; None as long as it has not.
    """

    __slots__ = ("_connection", "_loop", "error")

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        self._loop = loop
        self._connection = connection
        self.error: ssl.SSLError | None = None

    def fail(self, error: ssl.SSLError) -> None:
        """Takes note of an error of which the client is being told, and sees to it that the connection ends."""
        self.error = error
        self._loop.call_later(ALERT_SECONDS, self._hang_up)

    def _hang_up(self) -> None:
        """Has the event loop read the end of the connection, if that has not come by itself."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


CURRENT: ContextVar[Handshake | None] = ContextVar("portside.handshake", default=None)
"""The handshake of the task that greets a client; the event loop calls into OpenSSL within that task's context."""


class AlertingObject(ssl.SSLObject):
    """An `SSLObject` whose failed handshake sends its alert.

    Attributes:
        handshake: to be told; None for nobody.
        incoming, outgoing: the buffers that it was made with.
    """

    handshake: Handshake | None
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO

    @override
    def do_handshake(self) -> None:
        incoming = self.incoming
        if not incoming.pending and not incoming.eof:  # the event loop asks before anything has come
            raise ssl.SSLWantReadError
        handshake = self.handshake
        if handshake is not None and handshake.error is not None:
            incoming.read()
            raise ssl.SSLWantReadError
        try:
            ssl.SSLObject.do_handshake(self)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if handshake is None:
                raise
            if not self.outgoing.pending:
                handshake.error = error
                raise
            handshake.fail(error)
            raise ssl.SSLWantReadError from None


class AlertingContext(ssl.SSLContext):
    """A server's context whose failed handshakes send their alerts."""

    sslobject_class = AlertingObject

    @override
    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **settings: Any) -> ssl.SSLObject:
        wrapped: AlertingObject = ssl.SSLContext.wrap_bio(self, incoming, outgoing, *args, **settings)  # type: ignore[assignment] # by its class
        wrapped.handshake, wrapped.incoming, wrapped.outgoing = CURRENT.get(), incoming, outgoing
        return wrapped


def explain(error: ssl.SSLError) -> str:
    """Returns why a handshake failed, for the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNKNOWN_ISSUER:
            return f"the client's certificate was not issued by a CA in clientcas ({error.verify_message})"
        return f"the client's certificate is not accepted: {error.verify_message}"
    reason = error.reason or ""
    if reason in _REASONS:
        return _REASONS[reason]
    alert = reason.partition("_ALERT_")[2]
    if alert:
        return f"remote error: {alert.lower().replace('_', ' ')}"
    return reason.lower().replace("_", " ") or str(error)
