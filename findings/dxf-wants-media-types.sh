#!/usr/bin/env bash
# python-dxf 12.1.1: `get_alias` of an OCI manifest without `mediaType`, as umoci writes each, fails with KeyError: 'mediaType'; of
# an index with an entry that has no `platform`, with KeyError: 'platform'. To OCI's image-spec both are optional; the library
# takes the kind from the document alone, though Content-Type says it. With the field written in, it works.
#
# Needs: Debian 12 (apt-get, dpkg-deb) for umoci, Python 3 with venv, pip. Takes half a minute. Status 0: still so; 1: the behaviour
# has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq umoci=0.4.7+ds-3+b7 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x umoci_*.deb .
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check python-dxf==12.1.1 >pip.log 2>&1 || { cat pip.log; exit 1; }
./usr/bin/umoci init --layout layout
./usr/bin/umoci new --image layout:app

cat >registry.py <<'PY'
"""A registry with umoci's manifest, the same with its type in it, and an index of it with a platform and without."""

import hashlib
import http.server
import json
import pathlib

KIND = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
made = json.loads(pathlib.Path("layout/index.json").read_text())["manifests"][0]["digest"]
umoci = pathlib.Path("layout/blobs/sha256", made[7:]).read_bytes()
typed = json.dumps({**json.loads(umoci), "mediaType": KIND}).encode()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def index(**more):
    entry = {"mediaType": KIND, "digest": digest(typed), "size": len(typed), **more}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()


platform = {"os": "linux", "architecture": "amd64"}
FOUND = {
    "umoci": (umoci, KIND),
    "typed": (typed, KIND),
    "index": (index(), INDEX),
    "platform": (index(platform=platform), INDEX),
    digest(typed): (typed, KIND),
}


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content, kind = FOUND[self.path.rpartition("/")[2]]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", digest(content))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 registry.py >port &
registry=$!
until [ -s port ]; do sleep 0.1; done

cat >ask.py <<'PY'
"""Prints what get_alias says of a tag."""

import sys

from dxf import DXF

try:
    print(DXF("127.0.0.1:" + sys.argv[1], "app", insecure=True).get_alias(sys.argv[2]))
except KeyError as error:
    print("KeyError:", error)
PY
ask() { venv/bin/python ask.py "$(cat port)" "$1"; }

venv/bin/pip freeze --disable-pip-version-check | grep dxf
./usr/bin/umoci --version
umoci=$(ask umoci)
typed=$(ask typed)
index=$(ask index)
platform=$(ask platform)
echo "umoci's manifest, which has no mediaType      $umoci"
echo "the same with mediaType                       $typed"
echo "an index, no platform                         $index"
echo "the same with platform                        $platform"
[ "$umoci" = "KeyError: 'mediaType'" ] && [ "$typed" = "[]" ] && [ "$index" = "KeyError: 'platform'" ] &&
    [ "$platform" = "{'linux/amd64': []}" ]
