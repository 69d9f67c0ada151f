"""What few files have below `storage:`: `cache`, `redirect`, `tag`."""

from __future__ import annotations

from pydantic import Field

from portside.settings.schema.section import Section


class Cache(Section):
    """`layerinfo` is the name of 2.0; it counts where `blobdescriptor` is not set."""

    layerinfo: str = ""
    blobdescriptor: str = ""
    blobdescriptorsize: int = Field(default=10000, ge=0)

    @property
    def key(self) -> str:
        """The key that counts."""
        return "blobdescriptor" if self.blobdescriptor else "layerinfo"

    @property
    def driver(self) -> str:
        """Where descriptors are kept: `inmemory`, `redis`, something unknown, or "" for nowhere."""
        return self.blobdescriptor or self.layerinfo


class Redirect(Section):
    disable: bool = False


class Tag(Section):
    concurrencylimit: int = Field(default=0, ge=0)
