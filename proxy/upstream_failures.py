"""What goes wrong with a registry elsewhere, as the proxy says it to its client. PURE."""

from __future__ import annotations


class UpstreamFailure(Exception):  # noqa: N818 - as it is told, not as it is raised
    """A registry gives no answer, or not the whole of one.

    Args:
        why: the rest of a sentence that begins with the registry.
        status: for the client: 502, or 504 for a silent one.
        remedy: what mends it, in which `{}` stands for the registry's settings; by default that it is to be started.
        is_unanswered: whether nothing at all came after the request.
    """

    def __init__(
        self,
        why: str,
        *,
        status: int = 502,
        remedy: str = "start it or correct {}.upstream",
        is_unanswered: bool = False,
    ) -> None:
        super().__init__(why)
        self.why = why
        self.status = status
        self.remedy = remedy
        self.is_unanswered = is_unanswered
