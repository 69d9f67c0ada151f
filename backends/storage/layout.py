"""Both trees on one root, drawn once; every path in Portside is made here and nowhere else. PURE.

    <root>/docker/registry/v2/                                  as distribution writes it
        blobs/<alg>/<2>/<hex>/data                              every layer, config and manifest, once
        repositories/<name>/
            _layers/<alg>/<hex>/link                            this repository may serve that blob
            _manifests/revisions/<alg>/<hex>/link               ... and that manifest
            _manifests/tags/<tag>/current/link                  what the tag names
            _manifests/tags/<tag>/index/<alg>/<hex>/link        what it has ever named
            _uploads/<uuid>/{data,startedat,progress}           progress is ours; distribution passes over it
    <root>/images/<id>/{json,layer,ancestry,_checksum}          as docker-registry 0.9.1 writes it
    <root>/repositories/<ns>/<repo>/{tag_<t>,tag<t>_json,json,_index_images}
    <root>/docker/registry/portside/primary/                    ours, and truth: never delete
        schema1/<name>/_signed/<alg>/<hex>                      signed schema 1 documents as pushed
        tags/<name>/_tags/<tag>                                 what a tag names that both generations have files of
        keys/schema1.pem                                        signs schema 1 documents that have no signature
        derived/                                            what conversions made, for other generations:
            blobs/<alg>/<2>/<hex>                               configs, manifests and layers that nobody pushed
            gzips/<alg>/<2>/<hex>                               which gzip was made of a layer; a file of blobs
            users/<alg>/<2>/<hex>/<name with % for />           a repository that has it, or has had it
            repositories/<name>/
                _manifests/<alg>/<hex>/<source>                     this manifest was made of that source, and how
                _blobs/<alg>/<hex>/<source>                         this repository may serve that blob, due to a source
                _sources/<source>/<alg>-<hex>                       the manifests that were made of a source
                _plans/<source>/<plan>                              the one that a client with this plan was given
        v1/staging/<id>/                                        a v1 image that is still being pushed (v1/staging.py):
            json-<sha256>-<name>                                    its JSON as announced, a file for each announcement
            layer-<name>                                            a layer, growing or whole
            payload-<hex>-<name>                                    layer <name> and its JSON have this checksum
        events/                                             what is to be told to the configured endpoints (notify/):
            lock                                                locked to append
            log/<sequence>                                      the events from this one on
            log/trimming                                        locked to delete from the log
            endpoints/<key>/{place,state}                       how far an endpoint is; what its sender last said
            endpoints/<key>/sender                              locked to send to it
        derived/v1/                                         manifests as clients of the v1 protocol see them (v1_view/):
            images/<2>/<id>                                     an image of that protocol: JSON, parent, layer
            claims/<2>/<id>                                     likewise, of schema 1, by the id that it claims
            sources/<2>/<id>/<alg>-<hex>-<key>                  a manifest whose topmost image this is: its repository
        derived/repositories/<name>/_v1/<alg>/<hex>         the topmost image of a manifest
    <root>/docker/registry/portside/index/                      ours, made again of the rest after it was deleted
        referrers/<name>/_subjects/<alg>/<hex>/<alg>-<hex>      a manifest that refers to this subject: its descriptor
        referrers-built                                         when the last whole pass over all manifests began
        holders/<2>/<2>                                         a blob and a repository that has it (holders.py)
        layers/<alg>/<2>/<hex>                                  what a layer is, by its digest (layers/)
        v1-layers/<2>/<hex>                                     by a v1 image's payload checksum: its layer's digest
        v1-layer-files/<2>/<id>                                 the same of an image without one: size, time, digest
        layers-read                                             when the last whole pass over all layers began
        facts-key                                               seals what others keep for us (fact_key.py)
    <root>/docker/registry/portside/tmp/                        temporary files before their rename; removed when old
    <root>/docker/registry/portside/locks                       empty; each lock is a byte of it; never delete
    <root>/docker/registry/portside/{purged,room-sought}        empty; their times say when the purger was at it last
    <root>/docker/registry/portside/unsynced/                   which folders each process is changing (unsynced.py)

A derivation's `<source>` is `<alg>-<hex>` of a manifest or `v1-<id>` of an image, whichever the tag named.
A `link` holds a digest as text without a newline. Source: distribution `registry/storage/paths.go`; V1API section 11.
"""

from __future__ import annotations

import re
from urllib.parse import quote_plus, unquote_plus

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.names import (
    ImageId,
    RepositoryName,
    TagName,
    UploadId,
    canonical_name,
    is_image_id,
    parse_repository_name,
)
from backends.model.targets import Target, V1Target, V2Target

V2 = "/docker/registry/v2"
BLOBS = f"{V2}/blobs"
REPOSITORIES = f"{V2}/repositories"
PRIMARY = "/docker/registry/portside/primary"
INDEX = "/docker/registry/portside/index"
HOLDERS = f"{INDEX}/holders"
REFERRERS_BUILT = f"{INDEX}/referrers-built"
LAYERS_READ = f"{INDEX}/layers-read"
FACTS_KEY = f"{INDEX}/facts-key"
TEMPORARY = "/docker/registry/portside/tmp"
LOCKS = "/docker/registry/portside/locks"
PURGED = "/docker/registry/portside/purged"
ROOM_SOUGHT = "/docker/registry/portside/room-sought"
V1_STAGING = f"{PRIMARY}/v1/staging"
TAG_RECORDS = f"{PRIMARY}/tags"
DERIVED = f"{PRIMARY}/derived"
DERIVED_REPOSITORIES = f"{DERIVED}/repositories"
DERIVED_V1_IMAGES = f"{DERIVED}/v1/images"
DERIVED_V1_CLAIMS = f"{DERIVED}/v1/claims"
DERIVED_V1_SOURCES = f"{DERIVED}/v1/sources"
DERIVED_USERS = f"{DERIVED}/users"
DERIVED_GZIPS = f"{DERIVED}/gzips"
UNSYNCED = "/docker/registry/portside/unsynced"
V1_IMAGES = "/images"
V1_REPOSITORIES = "/repositories"
V1_TAG = "tag_"
AFTER_V1_TAGS = "tag`"
MANIFESTS = "_manifests"
SCHEMA1_KEY = f"{PRIMARY}/keys/schema1.pem"
EVENTS = f"{PRIMARY}/events"
EVENT_LOG = f"{EVENTS}/log"
EVENT_ENDPOINTS = f"{EVENTS}/endpoints"


def blob_data(digest: Digest) -> str:
    return f"{BLOBS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}/data"


def repository(name: RepositoryName) -> str:
    return f"{REPOSITORIES}/{name}"


def layer_link(name: RepositoryName, digest: Digest) -> str:
    return f"{REPOSITORIES}/{name}/_layers/{digest.algorithm}/{digest.hex}/link"


def layers(name: RepositoryName) -> str:
    """The folder of all links of blobs, of each algorithm."""
    return f"{REPOSITORIES}/{name}/_layers"


def manifests(name: RepositoryName) -> str:
    return f"{REPOSITORIES}/{name}/{MANIFESTS}"


def revision_link(name: RepositoryName, digest: Digest) -> str:
    return f"{REPOSITORIES}/{name}/_manifests/revisions/{digest.algorithm}/{digest.hex}/link"


def revisions(name: RepositoryName) -> str:
    """The folder of all links of manifests, of each algorithm."""
    return f"{REPOSITORIES}/{name}/_manifests/revisions"


def tags(name: RepositoryName) -> str:
    return f"{REPOSITORIES}/{name}/_manifests/tags"


def tag(name: RepositoryName, tag_name: TagName) -> str:
    return f"{REPOSITORIES}/{name}/_manifests/tags/{tag_name}"


def tag_current_link(name: RepositoryName, tag_name: TagName) -> str:
    return f"{REPOSITORIES}/{name}/_manifests/tags/{tag_name}/current/link"


def tag_index_link(name: RepositoryName, tag_name: TagName, digest: Digest) -> str:
    return f"{tag(name, tag_name)}/index/{digest.algorithm}/{digest.hex}/link"


def tag_records(name: RepositoryName) -> str:
    """The folder of the records of a repository's tags."""
    return f"{TAG_RECORDS}/{name}/_tags"


def tag_record(name: RepositoryName, tag_name: TagName) -> str:
    return f"{TAG_RECORDS}/{name}/_tags/{tag_name}"


def folders_of_repository(name: RepositoryName) -> tuple[str, ...]:
    """The folders that have a repository's name and hold nothing but its own, and those of repositories below it."""
    return tuple(f"{tree}/{name}" for tree in _TREES_OF_REPOSITORIES)


_TREES_OF_REPOSITORIES = (REPOSITORIES, f"{PRIMARY}/schema1", TAG_RECORDS, DERIVED_REPOSITORIES, f"{INDEX}/referrers")


def all_signed_schema1(name: RepositoryName) -> str:
    """The folder of all signed schema 1 documents of a repository."""
    return f"{PRIMARY}/schema1/{name}/_signed"


def signed_schema1(name: RepositoryName, digest: Digest) -> str:
    return f"{all_signed_schema1(name)}/{digest.algorithm}/{digest.hex}"


# what conversions made


def derived_blob(digest: Digest) -> str:
    return f"{DERIVED}/blobs/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def derived_gzip(digest: Digest) -> str:
    """Where it is recorded which gzip was made of a layer."""
    return f"{DERIVED_GZIPS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def derived_users(digest: Digest) -> str:
    """The folder of the repositories that have, or have had, something that conversions made."""
    return f"{DERIVED_USERS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def derived_user(digest: Digest, name: RepositoryName) -> str:
    return f"{derived_users(digest)}/{name.replace('/', '%')}"


def derived_user_of(entry: str) -> RepositoryName | None:
    """Returns the repository that an entry is for; None when it is for none."""
    try:
        return parse_repository_name(entry.replace("%", "/"))
    except RegistryError:
        return None


def derived(name: RepositoryName) -> str:
    """The folder of all that conversions made for a repository, and of repositories below it."""
    return f"{DERIVED_REPOSITORIES}/{name}"


def derivation_source(target: Target) -> str:
    """Returns the name of what something was made of, as a part of a path."""
    match target:
        case V1Target(image_id):
            return f"v1-{image_id}"
        case V2Target(digest):
            return f"{digest.algorithm}-{digest.hex}"


def source_of_derivation(entry: str) -> Target | None:
    """Returns the source that a name stands for; None when it stands for none."""
    kind, _, rest = entry.partition("-")
    if kind == "v1":
        return V1Target(ImageId(rest)) if is_image_id(rest) else None
    digest = referrer_of(entry)
    return None if digest is None else V2Target(digest)


def derived_manifests(name: RepositoryName) -> str:
    return f"{derived(name)}/_manifests"


def derived_manifest(name: RepositoryName, digest: Digest) -> str:
    """The folder of a derived manifest's records, one for each source."""
    return f"{derived_manifests(name)}/{digest.algorithm}/{digest.hex}"


def derived_record(name: RepositoryName, digest: Digest, source: Target) -> str:
    return f"{derived_manifest(name, digest)}/{derivation_source(source)}"


def derived_members(name: RepositoryName, digest: Digest) -> str:
    """The folder of the sources by which a repository may serve a blob."""
    return f"{derived(name)}/_blobs/{digest.algorithm}/{digest.hex}"


def derived_member(name: RepositoryName, digest: Digest, source: Target) -> str:
    return f"{derived_members(name, digest)}/{derivation_source(source)}"


def derivations(name: RepositoryName, source: Target) -> str:
    """The folder of what was made of a source."""
    return f"{derived(name)}/_sources/{derivation_source(source)}"


def derivation(name: RepositoryName, source: Target, digest: Digest) -> str:
    return f"{derivations(name, source)}/{digest.algorithm}-{digest.hex}"


def derivation_plan(name: RepositoryName, source: Target, plan: str) -> str:
    """Takes the plan as `Plan.key` writes it."""
    return f"{derivation_plans(name, source)}/{plan}"


def derivation_plans(name: RepositoryName, source: Target) -> str:
    """The folder of what clients were given of a source, by their plans."""
    return f"{derived(name)}/_plans/{derivation_source(source)}"


# manifests as v1 shows them


def derived_v1_image(image_id: ImageId) -> str:
    return f"{DERIVED_V1_IMAGES}/{image_id[:2]}/{image_id}"


def claimed_v1_image(image_id: ImageId) -> str:
    """Where an image is kept whose id a schema 1 manifest claims."""
    return f"{DERIVED_V1_CLAIMS}/{image_id[:2]}/{image_id}"


def derived_v1_sources(image_id: ImageId) -> str:
    """The folder of the manifests whose topmost v1 image this is, a file for each and each repository."""
    return f"{DERIVED_V1_SOURCES}/{image_id[:2]}/{image_id}"


def derived_v1_source(image_id: ImageId, name: RepositoryName, digest: Digest) -> str:
    return f"{derived_v1_sources(image_id)}/{digest.algorithm}-{digest.hex}{_mark_of_repository(name)}"


def is_derived_v1_source_of(entry: str, name: RepositoryName) -> bool:
    """Whether a file in `derived_v1_sources` is for a manifest of this repository."""
    return entry.endswith(_mark_of_repository(name))


def _mark_of_repository(name: RepositoryName) -> str:
    """Stands for a name of any length at the end of a file's name."""
    return f"-{Digest.of(name.encode()).hex[:32]}"


def source_of_derived_v1(entry: str) -> Digest | None:
    """Returns the manifest that a file in `derived_v1_sources` is for; None when it is for none."""
    return referrer_of(entry.rpartition("-")[0])


def derived_v1_top(name: RepositoryName, digest: Digest) -> str:
    """Where a repository keeps the topmost v1 image of a manifest."""
    return f"{derived(name)}/_v1/{digest.algorithm}/{digest.hex}"


def all_referrers(name: RepositoryName) -> str:
    """The folder of the entries of all subjects, of each algorithm."""
    return f"{INDEX}/referrers/{name}/_subjects"


def referrers(name: RepositoryName, subject: Digest) -> str:
    """The folder of all entries of a subject."""
    return f"{all_referrers(name)}/{subject.algorithm}/{subject.hex}"


def referrer(name: RepositoryName, subject: Digest, digest: Digest) -> str:
    return f"{referrers(name, subject)}/{digest.algorithm}-{digest.hex}"


def referrer_of(entry: str) -> Digest | None:
    """Returns the manifest that an entry is for; None when it is for none."""
    try:
        return parse_digest(entry.replace("-", ":", 1))
    except RegistryError:
        return None


def holder_hint(digest: Digest) -> str:
    """Where it is noted who has a blob; blobs share it whose digests begin alike."""
    return f"{HOLDERS}/{digest.hex[:2]}/{digest.hex[2:4]}"


def layer_facts(digest: Digest) -> str:
    """Where it is noted what a layer is."""
    return f"{INDEX}/layers/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def v1_layer_file(image_id: ImageId) -> str:
    """Where it is noted which blob the file of a v1 image's layer is."""
    return f"{INDEX}/v1-layer-files/{image_id[:2]}/{image_id}"


def v1_layer_blob(payload: str) -> str:
    """Where it is noted which blob a v1 image's layer is; takes the image's payload checksum, in hex."""
    return f"{INDEX}/v1-layers/{payload[:2]}/{payload}"


def uploads(name: str) -> str:
    """The folder of all uploads of a repository."""
    return f"{REPOSITORIES}/{name}/_uploads"


def upload(name: RepositoryName, upload_id: UploadId) -> str:
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}"


def upload_data(name: RepositoryName, upload_id: UploadId) -> str:
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}/data"


def upload_started_at(name: RepositoryName, upload_id: UploadId) -> str:
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}/startedat"


def upload_progress(name: RepositoryName, upload_id: UploadId) -> str:
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}/progress"


def event_endpoint(key: str) -> str:
    """The folder of what is known about an endpoint."""
    return f"{EVENT_ENDPOINTS}/{key}"


# docker-registry 0.9.1


_UNESCAPED = re.compile(r"[A-Za-z0-9_.~-]*")
"""What `quote_plus` leaves as it is: almost all names, in a tenth of its time."""


def escape_v1(component: str) -> str:
    """Escapes one path component as 0.9.1's file driver does (V1API section 11)."""
    if component == "..":
        component = "%2E%2E"
    elif component == ".":
        component = "%2E"
    return component if _UNESCAPED.fullmatch(component) else quote_plus(component)


def v1_image(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}"


def v1_image_json(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}/json"


def v1_image_layer(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}/layer"


def v1_image_ancestry(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}/ancestry"


def v1_image_checksum(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}/_checksum"


def v1_image_mark(image_id: ImageId) -> str:
    """The mark `_inprogress`: its presence says that the upload has not finished."""
    return f"{V1_IMAGES}/{image_id}/_inprogress"


def v1_repository(namespace: str, repository_name: str) -> str:
    """Takes the namespace raw and the repository as 0.9.1 keeps it: already passed through quote_plus once."""
    return f"{V1_REPOSITORIES}/{escape_v1(namespace)}/{escape_v1(repository_name)}"


def v1_staging(image_id: ImageId) -> str:
    return f"{V1_STAGING}/{image_id}"


def v1_staged(image_id: ImageId, entry: str) -> str:
    return f"{v1_staging(image_id)}/{entry}"


def v1_tag(namespace: str, repository_name: str, tag_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/{V1_TAG}{escape_v1(tag_name)}"


def v1_tag_of(entry: str) -> str | None:
    """Returns the tag that a file of a repository's folder is for; None when it is for none."""
    if not entry.startswith(V1_TAG) or not entry.isascii():
        return None
    tag_name = unquote_plus(entry.removeprefix(V1_TAG))
    return {"%2E%2E": "..", "%2E": "."}.get(tag_name, tag_name)


def v1_tag_json(namespace: str, repository_name: str, tag_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/tag{escape_v1(tag_name)}_json"


def v1_repository_json(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/json"


def v1_index_images(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/_index_images"


def v1_private(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/_private"


# names of locks


def repository_lock(name: str) -> str:
    """Shared to make a manifest or a tag visible, held alone to delete the repository; before all other locks.

    Takes any of its names: v1 and v2 agree.
    """
    return f"repository {canonical_name(name)}"


def upload_lock(name: RepositoryName, upload_id: UploadId) -> str:
    """Held to append to an upload, to finish or to remove it."""
    return f"upload {name} {upload_id}"


def tag_lock(name: str, tag_name: str) -> str:
    """Held to move or delete a tag; takes the repository's canonical name, so that v1 and v2 agree."""
    return f"tag {name}:{tag_name}"


def blob_lock(digest: Digest) -> str:
    """Held from putting content into the blob store until it is linked: till then it may be removed again.

    It is held too to link content that is already there, and to delete a manifest. Before
    the lock of a tag, never after.
    """
    return f"blob {digest}"


def derived_lock(digest: Digest) -> str:
    """Held to keep a derived manifest or config, in any repository, or to forget it: till then it may go again.

    After the locks of a repository and of a blob. Of several, the least digest first.
    """
    return f"derived {digest}"


def layer_lock(digest: Digest) -> str:
    """Held to find out what a layer is."""
    return f"layer {digest}"


def v1_layer_file_lock(image_id: ImageId) -> str:
    """Held to find out what the layer of a v1 image is."""
    return f"v1 layer file {image_id}"


def gzip_lock(digest: Digest) -> str:
    """Held to make a gzip of a layer."""
    return f"gzip {digest}"


def derived_v1_lock(image_id: ImageId) -> str:
    """Held to add a layer to a v1 image that was made of a manifest."""
    return f"derived v1 {image_id}"


def v1_image_lock(image_id: ImageId) -> str:
    """Held to make a v1 image of what is staged."""
    return f"v1 image {image_id}"


def v1_layer_lock(image_id: ImageId, layer: str) -> str:
    """Held to receive a layer of a v1 image; takes the layer's name within the staging."""
    return f"v1 layer {image_id} {layer}"


def v1_images_lock(namespace: str, repository_name: str) -> str:
    """Held to merge a list of images into a v1 repository's; takes the names as `v1_repository` does."""
    return f"v1 images {escape_v1(namespace)}/{escape_v1(repository_name)}"


INDEXER_LOCK = "indexer"
"""Held to look through what is stored, and to give it its entries in the index."""

LAYER_READER_LOCK = "layer reader"
"""Held to read the layers of an old volume in the background."""

PURGER_LOCK = "purger"
"""Held to look for abandoned uploads."""

FACTS_KEY_LOCK = "facts key"
"""Held to make the key."""

SCHEMA1_KEY_LOCK = "schema 1 key"
"""Held to make the key."""
