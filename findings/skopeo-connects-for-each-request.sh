#!/usr/bin/env bash
# skopeo 1.9.3, Debian 12's (podman 4.3.1 is built on the same library): each request has a TLS connection of its own, with a whole
# handshake, as no session is ever resumed: a push of an image with eight layers makes as many connections as requests, and so
# does the pull. nginx and the registry would keep them; `Connection: close` is the client's. crane 0.22.1 does the same work on
# a few. (go.podman.io/image 5.42.1, the library's release of 2026, keeps connections too.)
#
# So a registry pays a handshake for each blob and each step of an upload: with small layers that is most of the CPU of a pull, and
# keep-alive times, HTTP/2 or session tickets change nothing. What helps is a certificate that is cheap to sign with (P-256).
#
# Needs: Debian 12 (apt-get, dpkg-deb) with the libraries of skopeo and nginx, openssl, curl, Python 3, Go, the Go module proxy. Takes
# one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq skopeo=1.9.3+ds1-1+b10 nginx=1.22.1-9+deb12u11 docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done
GOBIN="$folder" CGO_ENABLED=0 go install github.com/google/go-containerregistry/cmd/crane@v0.22.1 2>go.log || { cat go.log; exit 1; }

python3 - <<'PY'
"""Writes an OCI layout, `layout:1`, with eight small layers."""

import gzip
import hashlib
import io
import json
import pathlib
import tarfile

OCI = "application/vnd.oci.image."
blobs = pathlib.Path("layout/blobs/sha256")
blobs.mkdir(parents=True)


def stored(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": OCI + kind, "digest": "sha256:" + digest, "size": len(content)}


layers, diff_ids = [], []
for number in range(8):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(f"file-{number}"))
    diff_ids.append("sha256:" + hashlib.sha256(archive.getvalue()).hexdigest())
    layers.append(stored("layer.v1.tar+gzip", gzip.compress(archive.getvalue(), mtime=0)))
rootfs = {"type": "layers", "diff_ids": diff_ids}
config = stored("config.v1+json", json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode())
document = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": config, "layers": layers}
manifest = stored("manifest.v1+json", json.dumps(document).encode())
manifest["annotations"] = {"org.opencontainers.image.ref.name": "1"}
pathlib.Path("layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
pathlib.Path("layout/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
PY

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2>/dev/null
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
behind=$(port) front=$(port)
cat >config.yml <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:$behind", relativeurls: true}
YAML
cat >nginx.conf <<NGINX
daemon off; pid nginx.pid; error_log error.log; worker_processes 1; events {}
http {
    log_format one '\$connection resumed=\$ssl_session_reused says=\$http_connection';
    access_log requests.log one;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
    ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_session_cache shared:sessions:1m;
    server {
        listen 127.0.0.1:$front ssl;
        location / { proxy_pass http://127.0.0.1:$behind; proxy_set_header Host \$http_host; }
    }
}
NGINX
./usr/bin/docker-registry serve config.yml >registry.log 2>&1 &
servers+=($!)
./usr/sbin/nginx -p "$folder" -c nginx.conf -e error.log &
servers+=($!)
for _ in $(seq 100); do
    curl -s -f -k -o /dev/null "https://localhost:$front/v2/" && break
    sleep 0.1
done
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >policy.json
export DOCKER_CONFIG="$folder" HOME="$folder"
unset REGISTRY_AUTH_FILE
echo '{}' >config.json

counted() { # counted COMMAND…: sets `requests`, `connections`, `resumed` and `closing`
    sleep 0.2
    : >requests.log
    "$@" >command.log 2>&1 || { cat command.log; exit 1; }
    sleep 0.2
    requests=$(wc -l <requests.log)
    connections=$(cut -d' ' -f1 requests.log | sort -u | wc -l)
    resumed=$(grep -c 'resumed=r' requests.log || true)
    closing=$(grep -c 'says=close' requests.log || true)
    echo "$requests requests on $connections TLS connections, $resumed of them resumed; $closing say Connection: close"
}

each() { [ "$requests" -ge 10 ] && [ "$connections" -eq "$requests" ] && [ "$resumed" -eq 0 ] && [ "$closing" -eq "$requests" ]; }
few() { [ "$requests" -ge 10 ] && [ "$connections" -le $((requests / 2)) ]; }

skopeo=(./usr/bin/skopeo --policy policy.json copy -q)
./usr/bin/skopeo --version
echo "crane $(./crane version)"
so=true
printf 'skopeo, push: '
counted "${skopeo[@]}" --dest-tls-verify=false oci:layout:1 "docker://localhost:$front/by-skopeo:1"
each || so=false
printf 'skopeo, pull: '
counted "${skopeo[@]}" --src-tls-verify=false "docker://localhost:$front/by-skopeo:1" dir:pulled
each || so=false
printf 'crane, push:  '
counted ./crane push --insecure layout "localhost:$front/by-crane:1"
few || so=false
printf 'crane, pull:  '
counted ./crane pull --insecure --format=oci "localhost:$front/by-crane:1" pulled-by-crane
few || so=false
[ "$so" = true ]
