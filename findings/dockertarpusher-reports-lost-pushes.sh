#!/usr/bin/env bash
# dockertarpusher 0.16: `processImage` returns True also when the registry has refused everything: of each upload it looks at the
# first answer alone. And distribution 3.1.2 refuses everything: to the library the Content-Range of a chunk ends with the first
# byte after it, where OCI's distribution-spec has the last one in it. distribution 2.8.2 does not read Content-Range, so there
# the same image is pushed.
#
# So whoever goes from 2.8.2 to a registry that compares Content-Range with the body learns of it from the first pull.
#
# Needs: Debian 12 (apt-get, dpkg-deb), curl, Python 3 with venv, pip, Go, the Go module proxy. Takes one to two minutes. Status 0:
# still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${servers[@]}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
servers=()
cd "$folder"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x docker-registry_*.deb .
GOBIN="$folder" CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 2>go.log || { cat go.log; exit 1; }
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check dockertarpusher==0.16 >pip.log 2>&1 || { cat pip.log; exit 1; }

cat >push.py <<'PY'
"""Pushes `app:1` out of the tar of `docker save`, one small layer, to a registry; prints what the library says of it."""

import hashlib
import io
import json
import sys
import tarfile

from dockertarpusher import Registry


def archive(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


layer = archive({"hello": b"world"})
rootfs = {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
saved = [{"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["layer.tar"]}]
files = {"config.json": config, "manifest.json": saved}
with open("app.tar", "wb") as tar:
    tar.write(archive({"layer.tar": layer, **{name: json.dumps(made).encode() for name, made in files.items()}}))
print(Registry(sys.argv[1], "app.tar").processImage())
PY

pushed() { # pushed REGISTRY…: what the library says, the statuses that it got, and the status of the manifest afterwards
    local host base said
    host="127.0.0.1:$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    base="http://$host"
    cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {inmemory: {}}
http: {addr: "$host"}
YAML
    OTEL_TRACES_EXPORTER=none "$@" serve config.yml >registry.log 2>&1 &
    servers+=($!)
    for _ in $(seq 100); do
        curl -s -o /dev/null "$base/v2/" && break
        sleep 0.1
    done
    said=$(venv/bin/python push.py "$base")
    result="says $said: $(grep -o '"\(POST\|PUT\)[^"]*" [0-9]*' registry.log | sed 's/"\([A-Z]*\).* /\1 /' | paste -sd ' '), then GET"
    result+=" $(curl -s -o /dev/null -w '%{http_code}' -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "$base/v2/app/manifests/1")"
}

venv/bin/pip freeze --disable-pip-version-check | grep dockertarpusher
pushed ./usr/bin/docker-registry
old=$result
pushed ./registry
new=$result
echo "$(./usr/bin/docker-registry --version | cut -d' ' -f3)     $old"
echo "$(./registry --version | cut -d' ' -f3)  $new"
[ "$old" = "says True: POST 202 PUT 201 POST 202 PUT 201 PUT 201, then GET 200" ] &&
    [ "$new" = "says True: POST 202 PUT 400 POST 202 PUT 400 PUT 400, then GET 404" ]
