#!/usr/bin/env bash
# skopeo 1.9.3, Debian 12's (podman 4.3.1 is built on the same library): what follows the two zero blocks at a tar's end is left out of
# a layer that is packed as zstd:chunked, and the configuration still has the diff_id of the whole. GNU tar and Python pad to 10 KiB
# there. So the image that is written is not what its configuration says: clients that compare refuse it, such as the same library
# in its release 5.42.1 ("does not match config's DiffID"). Status 0, nothing is warned of.
#
# A layer without padding, as Docker makes them, stays what it was; plain zstd keeps both, and so does the library's release 5.42.1.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with libgpgme11 and libdevmapper1.02.1, Python 3, zstd. Takes half a minute. Status 0: still so;
# 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq skopeo=1.9.3+ds1-1+b10 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x skopeo_*.deb .

cat >layout.py <<'PY'
"""Makes two OCI layouts of one layer in a plain tar, `padded` and `exact`."""

import hashlib
import io
import json
import pathlib
import tarfile

OCI = "application/vnd.oci.image."


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(kind, content):
    return {"mediaType": OCI + kind, "digest": digest(content), "size": len(content)}


archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("hello")
    entry.size = 5000
    tar.addfile(entry, io.BytesIO(b"world" * 1000))
padded = archive.getvalue()
end = 512 + 5120 + 2 * 512
for name, layer in (("padded", padded), ("exact", padded[:end])):
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
python3 layout.py

packed() { # packed LAYOUT FORMAT: how skopeo ended, how many bytes the layer has when it is inflated, and whether its diff_id fits
    local status=0 out="$1-$2"
    # A cache of its own, for root too: what it remembers of a layer changes what it writes.
    _CONTAINERS_ROOTLESS_UID=1 XDG_DATA_HOME="$folder/cache-$out" ./usr/bin/skopeo --insecure-policy copy --quiet \
        --dest-compress --dest-compress-format "$2" "oci:$1" "dir:$out" || status=$?
    python3 - "$out" <<'PY' >"$out.txt"
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
config = json.loads((folder / manifest["config"]["digest"][7:]).read_text())
print(manifest["layers"][0]["digest"][7:], config["rootfs"]["diff_ids"][0][7:])
PY
    local layer diff_id fits=differs
    read -r layer diff_id <"$out.txt"
    zstd -dcq "$out/$layer" >"$out.tar"
    [ "$(sha256sum "$out.tar" | cut -d' ' -f1)" = "$diff_id" ] && fits=fits
    echo "status $status, $(stat -c %s "$out.tar") bytes, diff_id $fits"
}

./usr/bin/skopeo --version
plain=$(packed padded zstd)
chunked=$(packed padded zstd:chunked)
exact=$(packed exact zstd:chunked)
echo "a tar of 10240 bytes, the last 3584 are padding, zstd           $plain"
echo "the same, zstd:chunked                                          $chunked"
echo "the same tar without the padding, zstd:chunked                  $exact"
[ "$plain" = "status 0, 10240 bytes, diff_id fits" ] && [ "$chunked" = "status 0, 6656 bytes, diff_id differs" ] &&
    [ "$exact" = "status 0, 6656 bytes, diff_id fits" ]
