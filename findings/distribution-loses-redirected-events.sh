#!/usr/bin/env bash
# distribution 3.1.2: an endpoint of notifications that answers a POST with 302 or 303 (a moved webhook, a missing slash) is
# asked again at the new address by GET, without the event. The 200 to that GET counts as delivered: the event is gone, and
# metrics and log show a success. With 307 or 308 the event is posted again and arrives.
#
# Needs: curl, Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" "${webhook:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 2>go.log ||
    { cat go.log; exit 1; }
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
registry_port=$(port) webhook_port=$(port) debug_port=$(port)

cat >webhook.py <<'PY'
"""Answers POST /moved/<status> with that redirection to /here/<status>; writes each request that arrives there to a file."""

import http.server
import sys


class Webhook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        moved = self.path.startswith("/moved/")
        if not moved:
            with open("seen" + self.path.replace("/", "-"), "a") as seen:
                seen.write(f"{self.command} with {body.count(b'timestamp')} event\n")
        self.send_response(int(self.path.rpartition("/")[2]) if moved else 200)
        if moved:
            self.send_header("Location", self.path.replace("moved", "here"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Webhook).serve_forever()
PY
python3 webhook.py "$webhook_port" &
webhook=$!
{
    cat <<YAML
version: 0.1
log: {level: error}
storage: {inmemory: {}}
http: {addr: "127.0.0.1:$registry_port", relativeurls: true, debug: {addr: "127.0.0.1:$debug_port", prometheus: {enabled: true}}}
notifications:
  endpoints:
YAML
    for status in 302 303 307 308; do
        echo "    - {name: e$status, url: \"http://127.0.0.1:$webhook_port/moved/$status\", timeout: 2s, threshold: 3, backoff: 1s}"
    done
} >config.yml
OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
registry=$!
base="http://127.0.0.1:$registry_port"
for address in "$base/v2/" "http://127.0.0.1:$webhook_port/moved/200"; do
    for _ in $(seq 100); do
        curl -s -o /dev/null "$address" && break
        sleep 0.1
    done
done
printf 0123456789 >blob
upload=$(curl -s -o /dev/null -D - -X POST "$base/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
curl -s -f -X PUT --data-binary @blob -H "Content-Type: application/octet-stream" \
    "$base$upload&digest=sha256:$(sha256sum blob | cut -d' ' -f1)"
sleep 3
./registry --version
echo "one push of a blob, so one event for each endpoint; what arrives at the address that the endpoint redirects to:"
for status in 302 303 307 308; do
    counted=$(curl -s "http://127.0.0.1:$debug_port/metrics" |
        sed -n "s/^registry_notifications_events_total{endpoint=\"e$status\",type=\"\(Successes\|Failures\|Errors\)\"} /\1 /p" | tr '\n' ' ')
    echo "$status: $(cat "seen-here-$status"); counted: $counted" | tee "said-$status"
done
grep -q "GET with 0 event; counted: .*Successes 1 " said-302 && grep -q "GET with 0 event; counted: .*Successes 1 " said-303 &&
    grep -q "POST with 1 event; counted: .*Successes 1 " said-307 && grep -q "POST with 1 event; counted: .*Successes 1 " said-308
