"""The page on limits says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backends.auth import exchange, index_server
from backends.auth.certificate_chains import MAX_CHAIN as MAX_CHAIN_OF_TOKEN
from backends.auth.claim_texts import MAX_CLAIMS
from backends.auth.claim_texts import MAX_DEPTH as MAX_CLAIM_DEPTH
from backends.auth.credentials import MAX_TOKEN
from backends.auth.followed_file import MAX_BYTES as MAX_KEY_FILE
from backends.auth.htpasswd import MAX_COST
from backends.auth.password_file import MAX_FILE
from backends.auth.passwords import LONGEST_WAIT_SECONDS
from backends.auth.remote_keys import MAX_BYTES as MAX_KEY_BYTES
from backends.auth.remote_keys import MAX_KEYS
from backends.auth.request_signatures import MAX_SIGNATURE
from backends.auth.slowing import AT_ONCE, RECOVERY_SECONDS
from backends.http.asking_again import REDIRECTS
from backends.http.certificate_header import MAX_HEADER as MAX_CERTIFICATE
from backends.http.request_info import MAX_FIELDS
from backends.http.settings import BODY_IDLE_SECONDS, BODY_TOTAL_SECONDS, UPLOADS_AT_ONCE
from backends.model.clients import MAX_AGENT
from backends.model.conversion.image_config import MAX_CONFIG_BYTES, MAX_NAME
from backends.model.conversion.platforms import MAX_NESTING
from backends.model.conversion.schema1 import MAX_MANIFEST_BYTES
from backends.model.conversion.upward import MAX_IMAGES as MAX_CHAIN
from backends.model.conversion.upward import MAX_TEXTS
from backends.model.conversion.v1_chain import MAX_ENTRIES
from backends.model.descriptions import MAX_DESCRIPTION
from backends.model.descriptors import MAX_SIZE
from backends.model.names import MAX_REPOSITORY_NAME
from backends.model.ranges import MAX_OFFSET, MAX_RANGES
from backends.model.strict_json import MAX_DEPTH, MAX_DIGITS
from backends.model.v1images import MAX_ANCESTRY
from backends.model.v1names import MAX_V1_NAME
from backends.registry.index_images import MAX_IMAGES, MAX_INDEXES
from backends.registry.layers.flights import WAITING
from backends.registry.layers.inflating import GZIP_HEADER_BYTES
from backends.registry.layers.metering import FREE_BYTES, PART_BYTES
from backends.registry.layers.settings import GIB, LayerSettings
from backends.registry.still_working import PATIENCE_SECONDS
from backends.registry.v1_view import choosing
from backends.registry.v1_view.chains import MAX_CLAIMED
from backends.v1.parts import MAX_JSON_BYTES
from backends.v1.search import MOST_RESULTS
from backends.v2.manifests import MAX_BYTES, MAX_TAGS
from backends.v2.referrers import MAX_ARTIFACT_TYPE, PAGE
from backends.v2.settings import V2Settings
from portside.server.accepting import FIRST_BYTE_SECONDS
from portside.server.grammar import MAX_AUTHORIZATION, MAX_HEADER_COUNT, MAX_HEADERS, MAX_LINE
from portside.server.listening import SEND_SECONDS
from portside.server.serving import KEEPALIVE_SECONDS
from proxy import upstream_tokens

TEXT = (Path(__file__).parents[2] / "docs/limits.md").read_text()
ROWS = {cells[1].strip(): cells[2] for line in TEXT.splitlines() if len(cells := line.split("|")) > 3}
KIB, MIB = 1024, 1024 * 1024
LAYERS = LayerSettings()

SAID = [
    ("the keys of an issuer of tokens", f"{MAX_KEY_BYTES // KIB} KiB, {MAX_KEYS} keys"),
    ("claims of a token", f"{MAX_CLAIMS}, nested {MAX_CLAIM_DEPTH} levels"),
    ("the names in a client's certificate that the proxy tells another process", f"{MAX_CERTIFICATE // KIB} KiB"),
    ("the request line", f"{MAX_LINE // KIB} KiB"),
    ("one header", f"{MAX_LINE // KIB} KiB"),
    ("all headers together, names and values", f"{MAX_HEADERS // KIB} KiB"),
    ("how many headers", f"{MAX_HEADER_COUNT}"),
    ("`Authorization`", f"{MAX_AUTHORIZATION // KIB} KiB"),
    ("`User-Agent`", f"{MAX_AGENT // KIB} KiB"),
    ("fields of a query", f"{MAX_FIELDS}"),
    ("a head that comes slowly", f"{KEEPALIVE_SECONDS:g} s"),
    ("a connection without a request", f"{FIRST_BYTE_SECONDS:g} s for its first byte, {KEEPALIVE_SECONDS:g} s"),
    ("wrong passwords of an address, in each worker", f"{AT_ONCE} at once, then one in {RECOVERY_SECONDS:g} s"),
    ("passwords that wait to be checked, in each worker", f"as many as take {LONGEST_WAIT_SECONDS:g} s"),
    ("a bcrypt hash", f"cost {MAX_COST}"),
    ("a token", f"{MAX_TOKEN // KIB} KiB"),
    ("certificates in a token (`x5c`)", f"{MAX_CHAIN_OF_TOKEN}"),
    ("a file of keys for tokens", f"{MAX_KEY_FILE // MIB} MiB"),
    (
        "questions to the token server in each worker ([for old clients](token-server.md#old-clients))",
        f"{exchange.AT_ONCE} at once, {exchange.WAITING} in all",
    ),
    (
        "questions to an index of v1 in each worker ([an index elsewhere](v1-index.md))",
        f"{index_server.AT_ONCE} at once, {index_server.WAITING} in all",
    ),
    (
        "its list of a repository's images",
        f"{index_server.MAX_LIST // MIB} MiB, within {index_server.TIMEOUT_SECONDS:g} s",
    ),
    (
        "how long what it grants is believed; what it refuses",
        f"{index_server.GRANTED_SECONDS:g} s; {index_server.REFUSED_SECONDS:g} s",
    ),
    ("a signature of a request (`X-Signature`)", f"{MAX_SIGNATURE // KIB} KiB"),
    (
        "what a token server answers the proxy ([tokens of an upstream](foreign-registries.md))",
        f"{upstream_tokens.MAX_ANSWER // KIB} KiB, within {upstream_tokens.TIMEOUT_SECONDS:g} s",
    ),
    ("its answer", f"{exchange.MAX_ANSWER // KIB} KiB, within {exchange.TIMEOUT_SECONDS:g} s"),
    ("an htpasswd file", f"{MAX_FILE // MIB} MiB, 64 KiB a line"),
    ("a body that pauses", f"{BODY_IDLE_SECONDS:g} s"),
    ("a body that is kept in memory, in all", f"{BODY_TOTAL_SECONDS:g} s"),
    ("an answer that nobody takes", f"{SEND_SECONDS:g} s"),
    (
        "a conversion that an answer waits for",
        f"{PATIENCE_SECONDS:g} s, then a redirect to the same address, {REDIRECTS} t",
    ),
    ("layers received at once by a process, of v1 and of v2", f"{UPLOADS_AT_ONCE} each"),
    ("a repository's name in v2", f"{MAX_REPOSITORY_NAME} characters"),
    ("a repository's name in v1", f"{MAX_V1_NAME} characters"),
    ("tags set by one push (`?tag=`)", f"{MAX_TAGS}"),
    ("a filter of referrers (`?artifactType=`)", f"{MAX_ARTIFACT_TYPE} characters"),
    ("a manifest", f"{MAX_BYTES // MIB} MiB"),
    ("a JSON body of v1", f"{MAX_JSON_BYTES // MIB} MiB"),
    ("nesting", f"{MAX_DEPTH} levels"),
    ("digits of an integer", f"{MAX_DIGITS}"),
    ("a size in a descriptor", f"0 to {MAX_SIZE}"),
    ("ancestors of a v1 image", f"{MAX_ANCESTRY}"),
    ("an image's configuration", f"{MAX_CONFIG_BYTES // MIB} MiB"),
    ("the name of an architecture or an operating system in it", f"{MAX_NAME} characters"),
    ("layers of an image for Docker before 1.10", f"{MAX_ENTRIES}"),
    ("v1 images of a chain", f"{MAX_CHAIN}"),
    ("v1 JSONs of a chain, in all", f"{MAX_TEXTS} characters"),
    ("a schema 1 manifest that is made", f"{MAX_MANIFEST_BYTES // MIB} MiB"),
    ("images of an index that are looked at", f"{MAX_IMAGES}"),
    ("indexes within an index that are read", f"{MAX_INDEXES}"),
    ("images of a schema 1 manifest for Docker before 1.6", f"{MAX_CLAIMED}"),
    ("of them, read for Docker before 1.6", f"{choosing.MAX_READ}"),
    ("indexes within indexes", f"{MAX_NESTING} levels"),
    ("what a layer inflates to", f"{LAYERS.max_ratio} times its size, {FREE_BYTES // GIB} GiB"),
    (
        f"the same in bytes; each gzip member, zstd frame and the like counts for {PART_BYTES // KIB} KiB more",
        f"{LAYERS.max_bytes // GIB} GiB",
    ),
    ("memory that a zstd or xz layer asks for", f"{LAYERS.max_window // MIB} MiB"),
    ("the header of a gzip member", f"{GZIP_HEADER_BYTES // KIB} KiB"),
    ("layers read at once", f"{LAYERS.at_once}"),
    ("layers that wait for their turn", f"{WAITING}"),
    ("a page of the catalog", f"{V2Settings().catalog_max_entries}"),
    ("a page of tags", f"{V2Settings().tags_max} "),
    ("a page of referrers", f"{PAGE},"),
    ("results of a search", f"{MOST_RESULTS}"),
    ("a description of a search", f"{MAX_DESCRIPTION} characters"),
    ("ranges in one GET", f"{MAX_RANGES}"),
    ("`Content-Range` of a chunk", f"up to {MAX_OFFSET}"),
]


@pytest.mark.parametrize(("what", "value"), SAID)
def test_each_number_is_the_programs(what: str, value: str) -> None:
    assert re.match(rf" {re.escape(value)}", ROWS[what]), ROWS[what]
