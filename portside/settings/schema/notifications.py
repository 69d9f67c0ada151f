"""`notifications:`: who is told of pushes, pulls, mounts and deletions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from backends.notify.settings import BACKOFF_SECONDS, THRESHOLD, TIMEOUT_SECONDS
from portside.settings.schema.section import Section
from portside.settings.schema.values import Headers, SignedDuration


class Ignored(Section):
    """An event of one of these media types, or of one of these actions, is not sent."""

    mediatypes: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


class Endpoint(Section):
    """`ignoredmediatypes` is the older name of `ignore.mediatypes`; both count."""

    name: str = ""
    url: str = ""
    disabled: bool = False
    headers: Headers = Field(default_factory=dict, repr=False)
    timeout: SignedDuration = TIMEOUT_SECONDS
    threshold: int = THRESHOLD
    backoff: SignedDuration = BACKOFF_SECONDS
    ignoredmediatypes: tuple[str, ...] = ()
    ignore: Ignored = Ignored()

    @field_validator("timeout", "threshold", "backoff")
    @classmethod
    def _some(cls, value: float, info: ValidationInfo) -> float:
        """As in distribution, nothing or less is the default."""
        return value if value > 0 else _DEFAULTS[str(info.field_name)]


_DEFAULTS = {"timeout": TIMEOUT_SECONDS, "threshold": THRESHOLD, "backoff": BACKOFF_SECONDS}


class EventOptions(Section):
    includereferences: bool = False


class Notifications(Section):
    variables: ClassVar[Mapping[str, str]] = {"eventconfig": "events"}

    endpoints: tuple[Endpoint, ...] = ()
    events: EventOptions = EventOptions()
