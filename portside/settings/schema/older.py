"""Sections that distribution 3.0 has no more: `compatibility:` and `reporting:`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from portside.settings.schema.section import Section


class Schema1(Section):
    """`enabled` is None where the file does not say."""

    variables: ClassVar[Mapping[str, str]] = {"trustkey": "signingkeyfile"}

    signingkeyfile: str = ""
    disablesignaturestore: bool = False
    enabled: bool | None = None


class Compatibility(Section):
    schema1: Schema1 = Schema1()


class Bugsnag(Section):
    apikey: str = Field(default="", repr=False)
    releasestage: str = ""
    endpoint: str = ""


class NewRelic(Section):
    licensekey: str = Field(default="", repr=False)
    name: str = ""
    verbose: bool = False


class Reporting(Section):
    bugsnag: Bugsnag = Bugsnag()
    newrelic: NewRelic = NewRelic()
