#!/usr/bin/env bash
# podman 4.3.1, Debian 12's: `podman search` of a registry that has v1 alone ends with "can't talk to a V1 container registry"
# without having searched, although its search is v1's `/v1/search`: it asks `/v2/` first, and then `/v1/_ping`, for the sake of that
# sentence. The same registry with `/v2/` and nothing below it is searched by `/v1/search`, and v2's catalog is read only where
# that is 404.
#
# So who turns v2 off ends v1's search for podman; `docker search` asks v1 alone.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with podman's libraries, Python 3. Takes half a minute. Status 0: still so; 1: the behaviour has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq podman=4.3.1+ds1-8+deb12u1+b3 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x podman_*.deb .

cat >registry.py <<'PY'
"""A registry that has what the file `has` names, one path a line; what it is asked is written to `asked`."""

import http.server
import json
import pathlib

FOUND = {
    "/v1/_ping": True,
    "/v1/search": {"query": "app", "num_results": 1, "results": [{"name": "by-v1/app", "description": ""}]},
    "/v2/": {},
    "/v2/_catalog": {"repositories": ["by-v2/app"]},
}


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.partition("?")[0]
        with open("asked", "a") as asked:
            asked.write(path + " ")
        found = path in pathlib.Path("has").read_text().split()
        content = json.dumps(FOUND[path] if found else {}).encode()
        self.send_response(200 if found else 404)
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
server=$!
until [ -s port ]; do sleep 0.1; done
unset REGISTRY_AUTH_FILE DOCKER_CONFIG
export HOME="$folder"

searched() { # searched PATH…: what podman says and asks of a registry that has these paths
    local status=0
    printf '%s\n' "$@" >has
    : >asked
    # podman takes no runroot of more than 50 characters.
    ./usr/bin/podman --root "$folder/root" --runroot "$folder/run" --storage-driver vfs search --format '{{.Name}}' \
        --tls-verify=false "127.0.0.1:$(cat port)/app" >told 2>&1 || status=$?
    echo "status $status: $(grep -o "by-v./app\|can't talk.*" told | paste -sd ' '); asked $(cat asked)"
}

./usr/bin/podman --version
alone=$(searched /v1/_ping /v1/search)
beside=$(searched /v1/_ping /v1/search /v2/ /v2/_catalog)
catalog=$(searched /v2/ /v2/_catalog)
echo "v1 alone            $alone"
echo "v1 and v2           $beside"
echo "v2 alone            $catalog"
[ "$alone" = "status 125: can't talk to a V1 container registry; asked /v2/ /v1/_ping " ] &&
    [ "$beside" = "status 0: by-v1/app; asked /v2/ /v1/search " ] &&
    [ "$catalog" = "status 0: by-v2/app; asked /v2/ /v1/search /v2/_catalog " ]
