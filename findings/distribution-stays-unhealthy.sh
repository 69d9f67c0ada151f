#!/usr/bin/env bash
# distribution 3.1.2: with `health.http` of its own address beside any other check, a failure that lasts a moment never ends.
# While a check fails, every request gets 503, and so does the registry's own check: it finds itself unhealthy because it
# answers that it is unhealthy, also after the other check has been well again for many of its intervals. Only a restart ends it.
#
# Needs: curl, Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 2>go.log ||
    { cat go.log; exit 1; }
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')

run() { # run OTHER_CHECKS: status of /v2/ before a file appears, while it is there, and 5 s after it has gone
    cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {inmemory: {}}
http: {addr: "127.0.0.1:$port"}
health:
  file: [{file: $folder/maintenance, interval: 200ms}]
$1
YAML
    OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
    registry=$!
    sleep 3
    before=$(ask)
    touch maintenance
    sleep 2
    during=$(ask)
    rm maintenance
    sleep 5
    echo "$before $during $(ask)"
    kill "$registry"
    wait "$registry" 2>/dev/null || true
}

ask() { curl -s --max-time 5 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/v2/"; }

./registry --version
run "" >alone
run "  http: [{uri: \"http://127.0.0.1:$port/v2/\", interval: 300ms, timeout: 1s}]" >both
echo "status of /v2/ before, while, and 5 s after a file of health.file exists"
echo "health.file                             $(cat alone)"
echo "health.file, health.http of itself      $(cat both)"
[ "$(cat alone)" = "200 503 200" ] && [ "$(cat both)" = "200 503 503" ]
