#!/usr/bin/env bash
# crane 0.22.1 and oras 1.3.6 keep to different rules about where a token server (`realm` of WWW-Authenticate) may be. Of one at a
# port of its own beside a registry at 127.0.0.1, crane refuses the address that oras takes, and oras the name that crane takes:
#
#   crane: an address that is loopback, link-local or private, unless the realm has the registry's host and port
#   oras:  a host that is or resolves to a loopback or link-local address, unless it is the registry's host, at whatever port
#
# So there is no realm at that port for both, until the registry is called localhost too. skopeo 1.9.3 takes each of them.
#
# Needs: Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
for program in github.com/google/go-containerregistry/cmd/crane@v0.22.1 oras.land/oras/cmd/oras@v1.3.6; do
    GOBIN="$folder" CGO_ENABLED=0 go install "$program" 2>go.log || { cat go.log; exit 1; }
done
mkdir none
export DOCKER_CONFIG="$folder/none"

cat >registry.py <<'PY'
"""A registry with one tag, a token server at its own port and another, and the realm that the file `realm` names."""

import http.server
import json
import pathlib
import threading


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/token"):
            return self.answer(200, {"token": "opaque"})
        if self.headers.get("Authorization") != "Bearer opaque":
            realm = pathlib.Path("realm").read_text()
            return self.answer(401, {"errors": []}, f'Bearer realm="http://{realm}/token",service="registry"')
        return self.answer(200, {"name": "app", "tags": ["seen"]})

    def answer(self, status, document, challenge=None):
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_):
        pass


servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) for _ in range(2)]
print(*(server.server_port for server in servers), flush=True)
threading.Thread(target=servers[0].serve_forever).start()
servers[1].serve_forever()
PY
python3 registry.py >ports &
server=$!
until [ -s ports ]; do sleep 0.1; done
read -r own other <ports

seen() { # seen REGISTRY REALM: what crane and oras say of the registry's tags
    printf %s "$2" >realm
    local told
    for command in "crane ls --insecure" "oras repo tags --plain-http"; do
        # shellcheck disable=SC2086
        told=$(./$command "$1/app" 2>&1) || true
        case $told in
            seen) told=takes ;;
            *"is a private or link-local address"* | *"in blocked prefix"*) echo "$told" >>refusals && told=refuses ;;
        esac
        printf '%s %s ' "${command%% *}" "$told"
    done
}

echo "crane $(./crane version), oras $(./oras version | sed -n 's/^Version: *//p')"
result=""
for host in 127.0.0.1 localhost; do
    for realm in "127.0.0.1:$own" "127.0.0.1:$other" "localhost:$other"; do
        told=$(seen "$host:$own" "$realm")
        result+="$told/"
        printf 'registry %-14s realm %-14s %s\n' "$host:5000" "$(sed "s/:$own/:5000/; s/:$other/:5001/" <<<"$realm")" "$told"
    done
done
sed "s/:$own/:5000/g; s/:$other/:5001/g; s/.*\(realm host\)/\1/; s/.*\(bearer realm\)/\1/" refusals | sort -u
both="crane takes oras takes /"
neither="crane refuses oras refuses /"
[ "$result" = "${both}crane refuses oras takes /crane takes oras refuses /$neither$neither$both" ]
