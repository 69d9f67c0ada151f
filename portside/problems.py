"""What keeps Portside from starting, as one sentence for the person who started it.

Invariant: the text of a `Problem` is a whole sentence that says what is wrong, with what, and what to do; the code
that catches one prints it as it is, without a traceback, and ends with status 1.
"""

from __future__ import annotations

from typing import Final

NOT_THERE: Final = "does not exist; put it there, or let `portside certs` make a pair"
"""What is said of a certificate or a key, by its kind and path."""


class Problem(Exception):  # noqa: N818 - a message to a person, not to a programmer
    """Something outside the program must change before it can start; `str()` says what."""


class CertificateProblem(Problem):
    """A certificate, a key or a CA is missing, broken, or does not fit the other half."""


class TlsProblem(Problem):
    """TLS settings that cannot be used: an unknown cipher, version, or client authentication."""


class ServingProblem(Problem):
    """A port, a socket or a worker process is not available."""
