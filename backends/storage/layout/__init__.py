"""Both trees on one root, drawn once; every path in Portside is made in this package alone. PURE.

    <root>/docker/registry/v2/                                  as distribution writes it
        blobs/<alg>/<2>/<hex>/data                              every layer, config and manifest, once
        repositories/<name>/
            _layers/<alg>/<hex>/link                            this repository may serve that blob
            _manifests/revisions/<alg>/<hex>/link               ... and that manifest
            _manifests/tags/<tag>/current/link                  what the tag names
            _manifests/tags/<tag>/index/<alg>/<hex>/link        what it has ever named
            _uploads/<uuid>/{data,startedat,owner,progress}     the last two are ours; distribution passes over them
    <root>/images/<id>/{json,layer,ancestry,_checksum}          as docker-registry 0.9.1 writes it
    <root>/images/<id>/{_files,_diff}                           likewise: lists of a layer's files, made when asked for
    <root>/repositories/<ns>/<repo>/{tag_<t>,tag<t>_json,json,_index_images,_images_list,_private}
    <root>/docker/registry/portside/primary/                    ours, and truth: never delete
        schema1/<name>/_signed/<alg>/<hex>                      signed schema 1 documents as pushed
        tags/<name>/_tags/<tag>                                 what a tag names that both generations have files of
        keys/schema1.pem                                        signs schema 1 documents that have no signature
        keys/tokens                                             signs tokens for clients (auth/token_key.py)
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
            mirrored                                                layer <name> comes from the registry that v1 mirrors
        v1/staged-copies/<ns>/<repo>/<id>/                      the same where access is controlled, by repository
        v1/repositories/<ns>/<repo>/<id>/                       a repository's own (model/image_places.py):
            {json,layer,ancestry,_checksum}                         as in images/<id>, which is another's image
            shared                                                  which of its ancestors are those in images/
            pushed                                                  or it has pushed images/<id>: its payload checksum
        v1/owners/<2>/<id>/<32>                                 a repository that has pushed one of both
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
        layer-lists/<2>/<hex>                                   lists of files of what docker-registry does not know
        v1-mirrored/<ns>/<repo>/{images,tags,tag_<t>}           what the registry that v1 mirrors has said last
        layers-read                                             when the last whole pass over all layers began
        facts-key                                               seals what others keep for us (fact_key.py)
        search/names                                            all repositories and their descriptions (search/)
        search/changes                                          those that have changed since, a line for each change
    <root>/docker/registry/portside/tmp/                        temporary files before their rename; removed when old
    <root>/docker/registry/portside/locks                       empty; each lock is a byte of it; never delete
    <root>/docker/registry/portside/{purged,room-sought}        empty; their times say when the purger was at it last
    <root>/docker/registry/portside/unsynced/                   which folders each process is changing (unsynced.py)

A derivation's `<source>` is `<alg>-<hex>` of a manifest, `v1-<id>` of an image, or `v1copy-<id>` of the repository's
own image, whichever the tag named.
A `link` holds a digest as text without a newline. Source: distribution `registry/storage/paths.go`; V1API section 11.
"""

from __future__ import annotations

from backends.storage.layout.derived_content import *
from backends.storage.layout.index import *
from backends.storage.layout.lock_names import *
from backends.storage.layout.name_trees import *
from backends.storage.layout.primary import *
from backends.storage.layout.v1 import *
from backends.storage.layout.v2 import *
