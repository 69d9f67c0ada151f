#!/usr/bin/env bash
# oras 1.3.6 and nginx 1.22.1: over HTTP/2, nginx ends a connection after `keepalive_requests` requests (1000 by default) by GOAWAY,
# and the requests that were under way beside the last one are to be sent anew. Of an upload's body oras cannot begin again: "cannot
# retry err [http2: Transport received Server's graceful shutdown GOAWAY] after Request.Body was written". Some of the pushes fail
# here, with status 1; the number is made small (3), so that not thousands of blobs are needed. The same pushes over HTTP/1.1,
# with the same number, all arrive: there nginx says in the answer that it is the last. So do crane 0.22.1's over HTTP/2.
#
# So what copies for long through nginx fails now and then, in a way that looks like a network's fault. What helps: no `http2` in
# front of a registry, or a large `keepalive_requests`.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with nginx's libraries, openssl, curl, Python 3, Go, the Go module proxy. Takes two to three
# minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nginx=1.22.1-9+deb12u11 docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done
for program in oras.land/oras/cmd/oras@v1.3.6 github.com/google/go-containerregistry/cmd/crane@v0.22.1; do
    GOBIN="$folder" CGO_ENABLED=0 go install "$program" 2>go.log || { cat go.log; exit 1; }
done

cat >image.py <<'PY'
"""image.py FOLDER: an OCI layout with ten layers of two megabytes that nobody has."""

import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile

OCI = "application/vnd.oci.image."
layout = pathlib.Path(sys.argv[1])
blobs = layout / "blobs/sha256"
blobs.mkdir(parents=True)


def stored(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": OCI + kind, "digest": "sha256:" + digest, "size": len(content)}


layers = []
for _ in range(10):
    archive, content = io.BytesIO(), os.urandom(2_000_000)
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    layers.append(stored("layer.v1.tar", archive.getvalue()))
rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
config = stored("config.v1+json", json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode())
document = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": config, "layers": layers}
manifest = stored("manifest.v1+json", json.dumps(document).encode())
manifest["annotations"] = {"org.opencontainers.image.ref.name": "1"}
(layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
(layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
PY

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2>/dev/null
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
behind=$(port) one=$(port) two=$(port)
cat >config.yml <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:$behind", relativeurls: true}
YAML
cat >nginx.conf <<NGINX
daemon off; pid nginx.pid; error_log error.log; worker_processes 1; events {}
http {
    log_format protocol '\$server_port \$server_protocol';
    access_log requests.log protocol;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
    client_max_body_size 0; keepalive_requests 3;
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
    proxy_set_header Host \$http_host;
    server { listen 127.0.0.1:$one ssl; location / { proxy_pass http://127.0.0.1:$behind; } }
    server { listen 127.0.0.1:$two ssl http2; location / { proxy_pass http://127.0.0.1:$behind; } }
}
NGINX
./usr/bin/docker-registry serve config.yml >registry.log 2>&1 &
servers+=($!)
./usr/sbin/nginx -p "$folder" -c nginx.conf -e error.log &
servers+=($!)
for _ in $(seq 100); do
    curl -s -f -k -o /dev/null "https://localhost:$one/v2/" && break
    sleep 0.1
done
export DOCKER_CONFIG="$folder" SSL_CERT_FILE="$folder/cert.pem"
echo '{}' >config.json

pushes() { # pushes NAME PORT: how many of twelve pushes by NAME fail
    local failed=0
    for _ in $(seq 12); do
        rm -rf layout
        python3 image.py layout
        if [ "$1" = oras ]; then
            ./oras cp --from-oci-layout --to-plain-http=false layout:1 "localhost:$2/$1:1" >push.log 2>&1 && continue
            grep -q -E 'GOAWAY|cannot rewind body' push.log || { cat push.log >&2; exit 1; }
        else
            ./crane push layout "localhost:$2/$1:1" >push.log 2>&1 && continue
        fi
        failed=$((failed + 1))
    done
    echo "$failed"
}

over_two=$(pushes oras "$two")
over_one=$(pushes oras "$one")
crane=$(pushes crane "$two")
./oras version | sed -n 1p
echo "crane $(./crane version)"
./usr/sbin/nginx -v 2>&1
sort requests.log | uniq -c | sed "s/ $two / nginx's port with http2, /; s/ $one / nginx's other port, /"
echo "oras, HTTP/1.1: $over_one of 12 pushes fail"
echo "oras, HTTP/2:   $over_two of 12 pushes fail"
echo "crane, HTTP/2:  $crane of 12 pushes fail"
[ "$over_one" = 0 ] && [ "$over_two" -ge 1 ] && [ "$crane" = 0 ]
