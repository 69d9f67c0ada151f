#!/usr/bin/env bash
# skopeo 1.9.3, Debian 12's (podman 4.3.1 is built on the same library): an image with a sparse file in a layer, as GNU tar's
# `--format=pax --sparse` packs it, is copied into the storage with status 0, and cannot be copied out again, which is what
# `podman push` does: "Digest did not match". The storage makes a layer's tar anew of the files that it has unpacked; the sparse
# one comes with its holes written out, so the tar is another. GNU tar has three ways to say it in pax headers: all end so.
#
# Its old way, `--format=gnu`, is refused on the way in ("unhandled tar header type 83"). The same files without --sparse come
# out as they went in; and where nothing is unpacked (a copy from folder to folder) so do all.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with libgpgme11 and libdevmapper1.02.1, root, GNU tar, Python 3. Takes half a minute. Status 0:
# still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq skopeo=1.9.3+ds1-1+b10 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x skopeo_*.deb .

cat >layout.py <<'PY'
"""Makes an OCI layout of the layer NAME.tar: NAME."""

import hashlib
import json
import pathlib
import sys

OCI = "application/vnd.oci.image."
name = sys.argv[1]


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(kind, content):
    return {"mediaType": OCI + kind, "digest": digest(content), "size": len(content)}


layer = pathlib.Path(name + ".tar").read_bytes()
rootfs = {"type": "layers", "diff_ids": [digest(layer)]}
config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
document = {
    "schemaVersion": 2,
    "mediaType": OCI + "manifest.v1+json",
    "config": descriptor("config.v1+json", config),
    "layers": [descriptor("layer.v1.tar", layer)],
}
manifest = json.dumps(document).encode()
blobs = pathlib.Path(name, "blobs", "sha256")
blobs.mkdir(parents=True)
for content in (layer, config, manifest):
    (blobs / digest(content)[7:]).write_bytes(content)
pathlib.Path(name, "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
index = {"schemaVersion": 2, "manifests": [descriptor("manifest.v1+json", manifest)]}
pathlib.Path(name, "index.json").write_text(json.dumps(index))
PY
printf start >sparse
truncate --size=1M sparse
printf end >>sparse
skopeo() { ./usr/bin/skopeo --insecure-policy copy --quiet "$@"; }

copied() { # copied NAME TAR'S OPTION…: how copies into the storage, out of it, and from folder to folder end
    local into=0 out=0 beside=0
    tar -cf "$1.tar" "${@:2}" sparse
    python3 layout.py "$1"
    local stored="containers-storage:[vfs@$folder/root+$folder/run]localhost/$1:1"
    skopeo "oci:$1" "dir:$1-dir" 2>/dev/null || beside=$?
    skopeo "oci:$1" "$stored" 2>"$1.into" || into=$?
    [ $into = 1 ] || skopeo "$stored" "oci:$1-out" 2>"$1.out" || out=$?
    echo "into $into, out $out, beside $beside$(cat "$1.into" "$1.out" 2>/dev/null | grep -o 'unhandled tar header type 83\|Digest did not match' | sort -u | sed 's/^/: /')"
}

./usr/bin/skopeo --version
tar --version | head -n 1
whole=$(copied whole --format=pax)
echo "--format=pax                                  $whole"
sparse=""
for version in 0.0 0.1 1.0; do
    told=$(copied "pax-$version" --format=pax --sparse --sparse-version=$version)
    sparse+="$told/"
    echo "--format=pax --sparse --sparse-version=$version    $told"
done
old=$(copied gnu --format=gnu --sparse)
echo "--format=gnu --sparse                         $old"
lost="into 0, out 1, beside 0: Digest did not match/"
[ "$whole" = "into 0, out 0, beside 0" ] && [ "$sparse" = "$lost$lost$lost" ] &&
    [ "$old" = "into 1, out 0, beside 0: unhandled tar header type 83" ]
