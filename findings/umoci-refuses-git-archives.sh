#!/usr/bin/env bash
# umoci 0.4.7, Debian 12's: `umoci unpack` of an image whose layer begins with a global pax header, as each tar does that
# `git archive` makes of a commit, fails: "unknown typeflag '\x67'". skopeo 1.9.3 unpacks the same image into its storage: it passes
# over the header, whose comment is the commit's id. Of a tree instead of a commit git writes none, and umoci unpacks that.
#
# POSIX has these headers (pax interchange format, type g); OCI asks for a tar, and leaves out no kind of header.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with libgpgme11 and libdevmapper1.02.1, root, git, Python 3. Takes twenty seconds. Status 0:
# still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq umoci=0.4.7+ds-3+b7 skopeo=1.9.3+ds1-1+b10 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done

cat >layout.py <<'PY'
"""Makes an OCI layout of the layer NAME.tar: NAME, with the tag `seen`."""

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
tagged = {**descriptor("manifest.v1+json", manifest), "annotations": {"org.opencontainers.image.ref.name": "seen"}}
pathlib.Path(name, "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [tagged]}))
PY

export HOME="$folder" GIT_CONFIG_NOSYSTEM=1
git init --quiet source
echo world >source/hello
git -C source add hello
git -C source -c user.name=name -c user.email=name@example.com commit --quiet --message first
git -C source archive --format=tar HEAD >commit.tar
git -C source archive --format=tar 'HEAD^{tree}' >tree.tar

tried() { # tried NAME: type of the tar's first header, and how umoci and skopeo end
    local umoci=0 skopeo=0
    python3 layout.py "$1"
    ./usr/bin/umoci unpack --rootless --image "$1:seen" "$1-bundle" >"$1.log" 2>&1 || umoci=$?
    ./usr/bin/skopeo --insecure-policy copy --quiet "oci:$1:seen" \
        "containers-storage:[vfs@$folder/root+$folder/run]localhost/$1:seen" 2>skopeo.log || skopeo=$?
    echo "first header $(dd if="$1.tar" bs=1 skip=156 count=1 status=none), skopeo $skopeo, umoci $umoci: $(cat "$1-bundle/rootfs/hello" 2>/dev/null || grep -o 'unknown typeflag.*' "$1.log" | head -n 1)"
}

git --version
./usr/bin/umoci --version
./usr/bin/skopeo --version
commit=$(tried commit)
tree=$(tried tree)
echo "git archive HEAD            $commit"
echo "git archive HEAD^{tree}     $tree"
[ "$commit" = "first header g, skopeo 0, umoci 1: unknown typeflag '\\x67'" ] && [ "$tree" = "first header 0, skopeo 0, umoci 0: world" ]
