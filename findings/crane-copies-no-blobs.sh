#!/usr/bin/env bash
# crane 0.22.1 (go-containerregistry): `crane copy` of an image whose manifest is served with a parameter on its Content-Type
# (`application/vnd.oci.image.manifest.v1+json; charset=utf-8`) copies the manifest, and neither its config nor its layer, and
# ends with status 0. The copy cannot be pulled from a registry that does not check references on PUT.
#
# A parameter is allowed there by RFC 9110, section 8.3.1. Without it, crane copies all three.
#
# Needs: Python 3 and Go, the Go module proxy. Takes a minute. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/google/go-containerregistry/cmd/crane@v0.22.1 2>go.log || { cat go.log; exit 1; }

cat >registry.py <<'PY'
"""A registry in memory: `plain/image` is served without, `charset/image` with a parameter; it takes every push."""

import hashlib
import http.server
import json
import sys
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(kind, content):
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(content), "size": len(content)}


layer = b"a layer's bytes"
config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
manifest = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar", layer)],
    }
).encode()
blobs = {digest(content): content for content in (layer, config)}


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path
        if path == "/v2/":
            return self.answer(200)
        if path.startswith(("/v2/plain/image/manifests/", "/v2/charset/image/manifests/")):
            kind = MANIFEST + ("; charset=utf-8" if "/charset/" in path else "")
            return self.answer(200, manifest, Content_Type=kind, Docker_Content_Digest=digest(manifest))
        name = path.rpartition("/")[2]
        if path.startswith(("/v2/plain/image/blobs/", "/v2/charset/image/blobs/")) and name in blobs:
            return self.answer(200, blobs[name], Content_Type="application/octet-stream")
        return self.answer(404, b'{"errors":[{"code":"UNKNOWN"}]}', Content_Type="application/json")

    do_HEAD = do_GET

    def do_POST(self):
        self.take()
        self.answer(202, Location=urllib.parse.urlsplit(self.path).path + "1", Range="0-0")

    def do_PATCH(self):
        self.take()
        self.answer(202, Location=self.path, Range="0-0")

    def do_PUT(self):
        kind = "manifest" if "/manifests/" in self.path else "blob"
        with open("pushed.log", "a") as log:
            log.write(f"{self.path.split('/')[2]} {kind}\n")
        self.take()
        self.answer(201, Location=self.path)

    def take(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 registry.py >port &
server=$!
until [ -s port ]; do sleep 0.1; done
host="127.0.0.1:$(cat port)"

pushed() { # pushed SOURCE: how crane ended, and what it pushed
    local status=0
    ./crane copy --insecure "$host/$1/image:1" "$host/copy-of-$1/image:1" >"$1.log" 2>&1 || status=$?
    echo "status $status, $(grep -c "^copy-of-$1 manifest" pushed.log || true) manifest, $(grep -c "^copy-of-$1 blob" pushed.log || true) blobs"
}

plain=$(pushed plain)
charset=$(pushed charset)
echo "crane $(./crane version)"
echo "Content-Type without a parameter:     $plain"
echo "Content-Type with '; charset=utf-8':  $charset"
[ "$plain" = "status 0, 1 manifest, 2 blobs" ] && [ "$charset" = "status 0, 1 manifest, 0 blobs" ]
