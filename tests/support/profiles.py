"""What is peculiar to each release of Docker on the wire: the table that the replayer acts by.

Each row says only what changed since the release above it; the facts are WIRE sections 1 to 7 and 13.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from tests.support.layers import ALL, OLD_READERS, Compression
from tests.support.wire import TlsVersion

GO_AGENT: Final = "Go 1.1 package http"


class Finding(Enum):
    """How a release finds out which protocol an address speaks."""

    V1_PING = "asks only /v1/_ping"
    ONE_PING = "asks /v2/, then /v1/_ping; the answer decides for the whole command"
    ENDPOINTS = "tries v2 and v1 endpoints one after the other"
    V2_ONLY = "tries v2 endpoints only"


class V2Format(Enum):
    """The manifests a release pushes to a v2 registry."""

    NONE = "no v2"
    PREVIEW = "docker 1.5's preview: blobs named by tarsum"
    SCHEMA1 = "schema 1, one PUT a blob, the top layer listed twice"
    SCHEMA1_PATCHED = "schema 1, blobs sent by PATCH"
    SCHEMA2 = "schema 2"


CONFIG_TYPE: Final = "application/vnd.docker.container.image.v1+json"


@dataclass(frozen=True, slots=True)
class Profile:
    """One release.

    Attributes:
        ping_agent: User-Agent of ``GET /v2/`` and ``GET /v1/_ping``.
        sign_up_agent: User-Agent of ``POST /v1/users/``; empty when it is not sent at all.
        says_close: Sends ``Connection: close``.
        list_type_name: How the release spells Content-Type on the two PUTs of the image list.
        layer_type: Content-Type of ``PUT layer``, or empty.
        asks_layer_head: ``HEAD layer`` before ``GET layer``.
        namespace_4_to_30: Refuses other lengths of a namespace before any traffic.
        can_pull_all: ``docker pull -a`` exists; without it a pull without tag means all of them.
        basic_on_push_lists: The image lists are PUT with Basic even by nobody (``Og==``).
        basic_on_pull_list: So is the GET of the image list.
        needs_token: Gives up without ``X-Docker-Token`` in the answer to the image list.
        checks_all_first: Asks for the JSON of all images before it pushes the first.
        reads_one_tag: Asks ``tags/TAG`` instead of ``tags`` for one tag.
        pings_before_sign_up: Number of v1 pings before a login over plain HTTP.
        search_query: What follows ``q=TERM``.
        search_token: Sends ``X-Docker-Token`` when searching.
        search_login: Sends its credentials when searching.
        search_v1_ping: Pings v1 alone before a search.
        private_search: Can search a private address at all.
        empty_upload_type: Sends an empty ``Content-Type:`` on ``POST uploads/``.
        accepts: Media types of ``GET manifests``, one header line each.
        heads_manifest: ``HEAD manifests`` before ``GET``.
        v1_stage_pings_v2: Asks ``/v2/`` again when it turns to v1.
        keeps_to_tls: Tries no plain endpoint once TLS has answered.
        reads_schema1: Takes manifests of schema 1.
        layers_read: How a layer may be packed.
        config_type: Of a configuration in a manifest that it pushes; Docker before 1.11.1 wrote the ``Content-Type``
            by which the registry had answered for the blob (distribution issue 1621).
    """

    version: str
    agent: str
    ping_agent: str = GO_AGENT
    sign_up_agent: str = GO_AGENT
    newest_tls: TlsVersion = TlsVersion.V1_2
    finding: Finding = Finding.V1_PING
    v2_format: V2Format = V2Format.NONE
    says_close: bool = False
    list_type_name: str = "Content-Type"
    layer_type: str = "application/octet-stream"
    config_type: str = CONFIG_TYPE
    asks_layer_head: bool = False
    namespace_4_to_30: bool = True
    closing_blocks: bool = True
    json_newline: bool = False
    can_pull_all: bool = True
    basic_on_push_lists: bool = True
    basic_on_pull_list: bool = False
    needs_token: bool = True
    checks_all_first: bool = False
    reads_one_tag: bool = False
    pings_before_sign_up: int = 1
    search_query: str = ""
    search_token: bool = True
    search_login: bool = False
    search_v1_ping: bool = False
    private_search: bool = True
    empty_upload_type: bool = False
    accepts: tuple[str, ...] = ()
    heads_manifest: bool = False
    v1_stage_pings_v2: bool = False
    keeps_to_tls: bool = False
    reads_schema1: bool = True
    layers_read: frozenset[Compression] = OLD_READERS

    @property
    def digest_ids(self) -> bool:
        """Whether its v1 images are made of digests (1.10 and later)."""
        return self.v2_format is V2Format.SCHEMA2


def _agent(version: str, go: str, commit: str, upstream: str = "") -> str:
    tail = rf" UpstreamClient(Docker-Client/{upstream} \(linux\))" if upstream else ""
    return f"docker/{version} go/go{go} git-commit/{commit} kernel/3.16.0-4-amd64 os/linux arch/amd64{tail}"


_SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
_ACCEPTS = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/json",
    _SCHEMA2,
)
_OCI = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json")


def _table() -> dict[str, Profile]:
    v1_0 = Profile(
        version="1.0.1",
        agent=_agent("1.0.1", "1.2.1", "990021a"),
        layer_type="",
        asks_layer_head=True,
        closing_blocks=False,
        can_pull_all=False,
        basic_on_pull_list=True,
        private_search=False,
    )
    v1_3 = replace(
        v1_0,
        version="1.3.3",
        agent=_agent("1.3.3", "1.3.3", "d344625"),
        layer_type="application/octet-stream",
        asks_layer_head=False,
        closing_blocks=True,
        can_pull_all=True,
        basic_on_pull_list=False,
        pings_before_sign_up=2,
        private_search=True,
    )
    v1_5 = replace(
        v1_3,
        version="1.5.0",
        agent=_agent("1.5.0", "1.4.1", "a8a31ef"),
        finding=Finding.ONE_PING,
        v2_format=V2Format.PREVIEW,
        list_type_name="Content-type",
        json_newline=True,
        checks_all_first=True,
        pings_before_sign_up=1,
    )
    agent = _agent("1.6.2", "1.4.2", "7c8fca2")
    v1_6 = replace(
        v1_5,
        version="1.6.2",
        agent=agent,
        ping_agent=agent,
        v2_format=V2Format.SCHEMA1,
        namespace_4_to_30=False,
        search_login=True,
    )
    agent = _agent("1.7.1", "1.4.2", "786b29d")
    v1_7 = replace(
        v1_6,
        version="1.7.1",
        agent=agent,
        ping_agent=agent,
        sign_up_agent=agent,
        basic_on_push_lists=False,
        needs_token=False,
        search_token=False,
        search_login=False,
    )
    agent = _agent("1.9.1", "1.4.3", "a34a1d5")
    v1_9 = replace(
        v1_7,
        version="1.9.1",
        agent=agent,
        ping_agent=agent,
        sign_up_agent=agent,
        finding=Finding.ENDPOINTS,
        v2_format=V2Format.SCHEMA1_PATCHED,
        reads_one_tag=True,
        search_token=True,
        search_login=True,
        empty_upload_type=True,
        v1_stage_pings_v2=True,
    )
    agent = _agent("1.10.3", "1.5.3", "20f81dd")
    v1_10 = replace(
        v1_9,
        version="1.10.3",
        agent=agent,
        ping_agent=agent,
        sign_up_agent=agent,
        v2_format=V2Format.SCHEMA2,
        config_type="application/octet-stream",
        says_close=True,
        accepts=_ACCEPTS,
    )
    agent = _agent("1.12.6", "1.6.4", "78d1802", "1.12.6")
    v1_12 = replace(
        v1_10,
        version="1.12.6",
        config_type=CONFIG_TYPE,
        agent=agent,
        ping_agent=agent,
        sign_up_agent="",
        search_query="&n=25",
        search_v1_ping=True,
        v1_stage_pings_v2=False,
        keeps_to_tls=True,
    )
    agent = _agent("1.13.1", "1.7.5", "092cba3", "1.13.1")
    v1_13 = replace(v1_12, version="1.13.1", agent=agent, ping_agent=agent)
    agent = _agent("20.10.24+dfsg1", "1.19.8", "5d6db84", "28.2.2")
    v20_10 = replace(
        v1_13,
        version="20.10.24",
        agent=agent,
        ping_agent=agent,
        newest_tls=TlsVersion.V1_3,
        finding=Finding.V2_ONLY,
        empty_upload_type=False,
        accepts=(*_ACCEPTS, *_OCI),
        heads_manifest=True,
    )
    rows = [v1_0, v1_3, v1_5, v1_6, v1_7, v1_9, v1_10, v1_12, v1_13, v20_10]
    return {row.version: row for row in rows}


PROFILES: Final = _table()
"""Every release that was recorded, by version, oldest first."""


def _release(row: Profile, version: str, go: str, commit: str) -> Profile:
    agent = _agent(version, go, commit, version)
    return replace(row, version=version, agent=agent, ping_agent=agent)


def _later() -> dict[str, Profile]:
    """Releases that were read rather than recorded: what they ask for and what they can use (FORMATS section 5.2)."""
    # v1 registries were forgotten in 17.12.
    v17 = replace(_release(PROFILES["1.13.1"], "17.12.1", "1.9.4", "7390fc6"), finding=Finding.V2_ONLY)
    v18 = _release(v17, "18.09.9", "1.11.13", "9552f2b")
    v19 = replace(_release(v18, "19.03.15", "1.13.15", "420b1d3"), accepts=(*_ACCEPTS, _OCI[1]))
    v23 = replace(_release(PROFILES["20.10.24"], "23.0.6", "1.19.9", "9dbdbd4"), layers_read=ALL)
    v28 = replace(_release(v23, "28.2.2", "1.24.3", "45873be"), reads_schema1=False)
    lists = ("application/vnd.docker.distribution.manifest.list.v2+json", _SCHEMA2, *_OCI)
    v29 = replace(_release(v28, "29.0.0", "1.25.3", "3d4129b"), accepts=lists)
    return {row.version: row for row in (v17, v18, v19, v23, v28, v29)}


LATER: Final = _later()
"""Later releases with an image store of their own, by version; with containerd's they are in `pullers.py`."""
