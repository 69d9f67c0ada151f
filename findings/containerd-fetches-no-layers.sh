#!/usr/bin/env bash
# containerd 2.4.2: `ctr images pull` of a schema 2 image whose configuration has the type `application/octet-stream` says "Completed
# pull", ends with status 0, and has fetched and unpacked none of its layers. So Docker 1.10.0 to 1.11.0 pushed every image, and
# registries still have them. `ctr images pull --local`, which does without the transfer service, gives the same
# configuration its right type in a manifest of its own, fetches the layer and unpacks it.
#
# Needs: root (containerd), Python 3, Go, the Go module proxy. Takes two to three minutes. Status 0: still so; 1: the behaviour has
# changed.
set -euo pipefail
folder=$(mktemp -d)
cleanup() {
    kill "${containerd:-}" "${registry:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    chmod -R u+w "$folder"
    rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"
install() { GOBIN="$folder" CGO_ENABLED=0 go install "$1" 2>go.log || { cat go.log; exit 1; }; }
install github.com/containerd/containerd/v2/cmd/containerd@v2.4.2
install github.com/containerd/containerd/v2/cmd/ctr@v2.4.2
install github.com/distribution/distribution/v3/cmd/registry@v3.1.2

port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
host="127.0.0.1:$port"
cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {inmemory: {}}
http: {addr: "$host"}
YAML
OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
registry=$!
cat >containerd.toml <<TOML
version = 3
root = "$folder/root"
state = "$folder/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
  address = "$folder/socket"
[ttrpc]
  address = "$folder/socket.ttrpc"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/amd64"
  snapshotter = "native"
TOML
./containerd --config containerd.toml >containerd.log 2>&1 &
containerd=$!
ctr() { ./ctr --address "$folder/socket" "$@" 2>>ctr.log; }
for _ in $(seq 100); do
    ctr version >/dev/null && python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break
    sleep 0.1
done

# Pushes `app:image` and `app:octet-stream`, which differ in the type of the configuration; prints the layer's digest.
layer=$(
    python3 - "http://$host" <<'PY'
import gzip
import hashlib
import io
import json
import sys
import tarfile
import urllib.request

base = sys.argv[1] + "/v2/app"
SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def ask(method, url, body, media_type="application/octet-stream"):
    headers = {"Content-Type": media_type}
    return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method))


def describe(content, media_type):
    upload = ask("POST", base + "/blobs/uploads/", b"").headers["Location"]
    ask("PUT", f"{upload}&digest={digest(content)}", content)
    return {"mediaType": media_type, "size": len(content), "digest": digest(content)}


archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("hello")
    entry.size = 5
    tar.addfile(entry, io.BytesIO(b"world"))
rootfs = {"type": "layers", "diff_ids": [digest(archive.getvalue())]}
config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
layer = describe(gzip.compress(archive.getvalue()), "application/vnd.docker.image.rootfs.diff.tar.gzip")
for tag, media_type in (
    ("image", "application/vnd.docker.container.image.v1+json"),
    ("octet-stream", "application/octet-stream"),
):
    manifest = {"schemaVersion": 2, "mediaType": SCHEMA2, "config": describe(config, media_type), "layers": [layer]}
    ask("PUT", f"{base}/manifests/{tag}", json.dumps(manifest).encode(), SCHEMA2)
print(layer["digest"])
PY
)

pulled() { # pulled TAG [OPTION]: the status of a pull, whether the layer is there, and how many snapshots; all is removed again
    local status=0 has=no
    ctr images pull "${@:2}" --plain-http --snapshotter native "$host/app:$1" >pull.log || status=$?
    ctr content ls --quiet | grep -qx "$layer" && has=yes
    echo "status $status, layer $has, snapshots $(ctr snapshots --snapshotter native ls | tail -n +2 | wc -l)"
    ctr images rm --sync "$host/app:$1" >/dev/null
}

./containerd --version
typed=$(pulled image)
octet=$(pulled octet-stream)
octet_local=$(pulled octet-stream --local)
echo "config of Docker's type            $typed"
echo "application/octet-stream           $octet"
echo "application/octet-stream, --local  $octet_local"
[ "$typed" = "status 0, layer yes, snapshots 1" ] && [ "$octet_local" = "$typed" ] &&
    [ "$octet" = "status 0, layer no, snapshots 0" ]
