#!/usr/bin/env bash
# podman 4.3.1, Debian 12's: where DOCKER_CONFIG names a folder that has no config.json, `podman pull` fails at once ("stat …: no
# such file or directory") and asks no registry, also when nothing needs credentials. skopeo 1.9.3, built on the same library,
# reads the same image: to it no file is no credentials, as to crane and oras. An empty folder is what one gives to be sure that
# no credentials are used; with `{}` in its config.json podman pulls too. `push`, `search` and `logout` are the same; `login` and
# `build` work.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with podman's and skopeo's libraries, Python 3. Takes half a minute. Status 0: still so; 1:
# the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq podman=4.3.1+ds1-8+deb12u1+b3 skopeo=1.9.3+ds1-1+b10 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done

cat >registry.py <<'PY'
"""A registry in memory with one image, `app:1`, that everybody may read."""

import hashlib
import http.server
import io
import json
import tarfile

OCI = "application/vnd.oci.image."


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(kind, content):
    return {"mediaType": OCI + kind, "digest": digest(content), "size": len(content)}


archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    tar.addfile(tarfile.TarInfo("hello"))
layer = archive.getvalue()
rootfs = {"type": "layers", "diff_ids": [digest(layer)]}
config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
document = {
    "schemaVersion": 2,
    "mediaType": OCI + "manifest.v1+json",
    "config": descriptor("config.v1+json", config),
    "layers": [descriptor("layer.v1.tar", layer)],
}
manifest = json.dumps(document).encode()
FOUND = {
    "/v2/": (b"{}", "application/json"),
    "/v2/app/manifests/1": (manifest, OCI + "manifest.v1+json"),
    f"/v2/app/manifests/{digest(manifest)}": (manifest, OCI + "manifest.v1+json"),
    **{f"/v2/app/blobs/{digest(blob)}": (blob, "application/octet-stream") for blob in (layer, config)},
}


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("asked.log", "a") as log:
            log.write(self.path + "\n")
        content, kind = FOUND.get(self.path, (b"{}", "application/json"))
        self.send_response(200 if self.path in FOUND else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 registry.py >port &
server=$!
until [ -s port ]; do sleep 0.1; done
image="127.0.0.1:$(cat port)/app:1"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >policy.json
unset REGISTRY_AUTH_FILE
# podman takes no runroot of more than 50 characters.
podman=(./usr/bin/podman --root "$folder/root" --runroot "$folder/run" --storage-driver vfs)

tried() { # tried NAME COMMAND…: its status, and how many requests the registry got
    local status=0
    : >asked.log
    "${@:2}" >"$1.log" 2>&1 || status=$?
    echo "status $status, $([ -s asked.log ] && echo "asked the registry" || echo "asked nobody")"
}

pull() { # pull NAME DOCKER_CONFIG
    tried "$1" env DOCKER_CONFIG="$2" "${podman[@]}" pull --tls-verify=false --signature-policy policy.json "$image"
}

mkdir empty braces
echo '{}' >braces/config.json
empty=$(pull empty "$folder/empty")
braces=$(pull braces "$folder/braces")
skopeo=$(DOCKER_CONFIG="$folder/empty" tried skopeo ./usr/bin/skopeo inspect --no-tags --tls-verify=false "docker://$image")
./usr/bin/podman --version
./usr/bin/skopeo --version
echo "podman pull, no config.json             $empty: $(sed "s|$folder|…|" empty.log)"
echo "podman pull, config.json is {}          $braces"
echo "skopeo inspect, no config.json          $skopeo"
grep -q 'config.json: no such file or directory' empty.log || cat empty.log
[ "$braces" = "status 0, asked the registry" ] || cat braces.log
[ "$empty" = "status 125, asked nobody" ] && [ "$braces" = "status 0, asked the registry" ] &&
    [ "$skopeo" = "status 0, asked the registry" ] && grep -q 'config.json: no such file or directory' empty.log
