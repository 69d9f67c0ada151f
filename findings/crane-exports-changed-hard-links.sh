#!/usr/bin/env bash
# crane 0.22.1 (go-containerregistry): `crane export` of an image, and so `crane flatten`, takes the first layer's hard links over as
# they are, also where a later layer replaces or deletes the file that they name. In the image such a link is a file of its own
# with the old content; in the tar it has the new content, or names what is not there, and tar fails at it. Status 0 both times.
#
# umoci 0.4.7, Debian 12's, unpacks the same image as it is meant. Without the second layer crane's tar is right.
#
# Needs: Debian 12 (apt-get, dpkg-deb), Python 3, Go, the Go module proxy. Takes a minute. Status 0: still so; 1: the behaviour has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/google/go-containerregistry/cmd/crane@v0.22.1 2>go.log || { cat go.log; exit 1; }
apt-get download -qq umoci=0.4.7+ds-3+b7 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x umoci_*.deb .

python3 - <<'PY'
"""An OCI layout, `layout`, with two images: `one` has a layer of two files with a link to each, `two` one more above it."""

import gzip
import hashlib
import io
import json
import pathlib
import tarfile

OCI = "application/vnd.oci.image."
blobs = pathlib.Path("layout", "blobs", "sha256")
blobs.mkdir(parents=True)


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(kind, content):
    (blobs / digest(content)[7:]).write_bytes(content)
    return {"mediaType": OCI + kind, "digest": digest(content), "size": len(content)}


def layer(*entries):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content, target in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            if target:
                entry.type, entry.linkname = tarfile.LNKTYPE, target
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


lower = layer(("a", b"old", ""), ("link-to-a", b"", "a"), ("b", b"kept", ""), ("link-to-b", b"", "b"))
upper = layer(("a", b"new", ""), (".wh.b", b"", ""))
images = []
for tag, layers in (("one", [lower]), ("two", [lower, upper])):
    rootfs = {"type": "layers", "diff_ids": [digest(each) for each in layers]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar+gzip", gzip.compress(each)) for each in layers],
    }
    manifest = descriptor("manifest.v1+json", json.dumps(document).encode())
    images.append({**manifest, "annotations": {"org.opencontainers.image.ref.name": tag}})
pathlib.Path("layout", "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
pathlib.Path("layout", "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": images}))
PY

host="127.0.0.1:$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')"
./crane registry serve --address "$host" >registry.log 2>&1 &
registry=$!
for _ in $(seq 100); do
    ./crane catalog "$host" >/dev/null 2>&1 && break
    sleep 0.1
done
./crane push --index layout "$host/app:both" >push.log 2>&1
mapfile -t digests < <(python3 -c 'import json; [print(each["digest"]) for each in json.load(open("layout/index.json"))["manifests"]]')

files() { # files FOLDER: each file and its content
    local name told=""
    for name in "$1"/*; do told+="${name##*/} $(cat "$name"), "; done
    echo "${told%, }"
}

exported() { # exported DIGEST: what becomes of crane's tar
    local tar=0
    rm -rf exported && mkdir exported
    ./crane export "$host/app@$1" exported.tar
    tar -xf exported.tar -C exported 2>tar.log || tar=$?
    echo "$(files exported); tar $tar"
}

unpacked() { # unpacked TAG: what umoci makes of the image
    ./usr/bin/umoci unpack --rootless --image "layout:$1" "bundle-$1" >umoci.log 2>&1 || cat umoci.log
    files "bundle-$1/rootfs"
}

echo "crane $(./crane version), $(./usr/bin/umoci --version)"
one=$(exported "${digests[0]}")
two=$(exported "${digests[1]}")
umoci=$(unpacked two)
echo "one layer, crane export    $one"
echo "two layers, crane export   $two"
echo "two layers, umoci unpack   $umoci"
cat tar.log
[ "$one" = "a old, b kept, link-to-a old, link-to-b kept; tar 0" ] && [ "$two" = "a new, link-to-a new; tar 2" ] &&
    [ "$umoci" = "a new, link-to-a old, link-to-b kept" ]
