#!/usr/bin/env bash
# Docker 20.10.24, Debian 12's: `docker search --limit 5 HOST/app` sends `n=5` and prints whatever comes, here 30 names; podman
# 4.3.1 prints five of the same answer. So a registry has to cut it itself, and to know `n`. And Docker prints the names without
# the host: one that is copied into `docker pull` is the Hub's. podman prints the host before each.
#
# Needs: root (dockerd), Debian 12 (apt-get, dpkg-deb) with docker.io's and podman's libraries, Python 3. Takes half a minute. Status 0:
# still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
cleanup() {
    kill "${dockerd:-}" "${registry:-}" 2>/dev/null || true
    wait 2>/dev/null || true
    chmod -R u+w "$folder"
    rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"
apt-get download -qq docker.io=20.10.24+dfsg1-1+deb12u1+b6 containerd=1.6.20~ds1-1+deb12u3 runc=1.1.5+ds1-1+deb12u1 \
    podman=4.3.1+ds1-8+deb12u1+b3 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done
export PATH="$folder/usr/bin:$folder/usr/sbin:$PATH" HOME="$folder"
unset DOCKER_CONFIG REGISTRY_AUTH_FILE DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_CONTEXT

cat >registry.py <<'PY'
"""A registry whose search finds 30 names and knows no `n`; the queries are written to `asked`."""

import http.server
import json

RESULTS = [{"name": f"app{number}", "description": "", "star_count": 0} for number in range(30)]


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        document = {}
        if path == "/v1/search":
            document = {"query": "app", "num_results": len(RESULTS), "results": RESULTS}
            with open("asked", "a") as asked:
                asked.write(query + "\n")
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
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
host="127.0.0.1:$(cat port)"
export DOCKER_HOST="unix://$folder/docker.sock"
dockerd --host "$DOCKER_HOST" --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" --storage-driver vfs \
    --bridge none --iptables=false >dockerd.log 2>&1 &
dockerd=$!
for _ in $(seq 300); do
    docker version >/dev/null 2>&1 && break
    sleep 0.1
done

counted() { # counted COMMAND…: the query, how many names, and the first of them
    : >asked
    "$@" --limit 5 --format '{{.Name}}' "$host/app" >names
    echo "asks $(cat asked), prints $(wc -l <names), first $(head -n 1 names | sed "s/$host/HOST/")"
}

docker --version
podman --version
docker=$(counted docker search)
# podman takes no runroot of more than 50 characters.
podman=$(counted podman --root "$folder/root" --runroot "$folder/run" --storage-driver vfs search --tls-verify=false)
echo "docker search --limit 5     $docker"
echo "podman search --limit 5     $podman"
[ "$docker" = "asks q=app&n=5, prints 30, first app0" ] && [ "$podman" = "asks n=5&q=app, prints 5, first HOST/app0" ]
