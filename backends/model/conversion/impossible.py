"""An image that another form cannot hold."""

from __future__ import annotations


class ImpossibleConversion(Exception):  # noqa: N818 - a finding, not a fault
    """The image is whole, but this form has no room for it.

    The message is one sentence for the client's user: what is stored, what the form can hold, what to do.
    """


class ImpossibleNow(ImpossibleConversion):
    """What it needs is not stored here, or cannot be read, or the settings forbid it: later it may be possible."""
