"""`catalog:` and `tags:`: how much a listing gives at once."""

from __future__ import annotations

from pydantic import Field, field_validator

from backends.v2.settings import V2Settings
from portside.settings.schema.section import Section


class Catalog(Section):
    maxentries: int = V2Settings().catalog_max_entries

    @field_validator("maxentries")
    @classmethod
    def _some(cls, value: int) -> int:
        return value if value > 0 else V2Settings().catalog_max_entries


class Tags(Section):
    """`maxtags` of 0 is the default, as in distribution, which depends on the profile."""

    maxtags: int = Field(default=0, ge=0)
