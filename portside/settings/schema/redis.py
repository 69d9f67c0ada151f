"""`redis:`, in the spelling of 2.x (`addr`, `pool`) and in that of 3.x (`addrs`, `poolsize` …)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from portside.settings.schema.section import Section
from portside.settings.schema.values import SignedDuration, listed


class Pool(Section):
    """2.x: how many idle connections are kept, how many there may be, and when an idle one is closed."""

    maxidle: int = 0
    maxactive: int = 0
    idletimeout: SignedDuration = 0.0


class RedisTls(Section):
    """3.x; `enabled` is what its documentation has beside it."""

    enabled: bool = False
    certificate: str = ""
    key: str = ""
    rootcas: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()


class Redis(Section):
    """A number or duration of 0 is the client's own default; a negative timeout is none at all."""

    inlined = frozenset({"OPTIONS"})

    addr: str = ""
    addrs: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    username: str = ""
    password: str = Field(default="", repr=False)
    db: int = Field(default=0, ge=0)
    dialtimeout: SignedDuration = 0.0
    readtimeout: SignedDuration = 0.0
    writetimeout: SignedDuration = 0.0
    pool: Pool = Pool()
    tls: RedisTls = RedisTls()

    clientname: str = ""
    protocol: int = 0
    sentinelusername: str = ""
    sentinelpassword: str = Field(default="", repr=False)
    mastername: str = ""
    maxretries: int = 0
    minretrybackoff: SignedDuration = 0.0
    maxretrybackoff: SignedDuration = 0.0
    contexttimeoutenabled: bool = False
    poolfifo: bool = False
    poolsize: int = 0
    pooltimeout: SignedDuration = 0.0
    minidleconns: int = 0
    maxidleconns: int = 0
    maxactiveconns: int = 0
    connmaxidletime: SignedDuration = 0.0
    connmaxlifetime: SignedDuration = 0.0
    maxredirects: int = 0
    readonly: bool = False
    routebylatency: bool = False
    routerandomly: bool = False
    disableidentity: bool = False
    identitysuffix: str = ""
    unstableresp3: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """The addresses in either spelling; 3.x's goes first."""
        return self.addrs or ((self.addr,) if self.addr else ())
