#!/usr/bin/env bash
# distribution 3.1.2: GET of a blob with `If-Match: "x"`, whose ETag is another, is answered 412 with the blob's own
# Content-Length, and without a body. A client that reads it as HTTP says waits for bytes that do not come, until the
# connection ends; curl then reports a transfer that was cut off (status 18).
#
# Answers 200, 304, 206 and 416 have a Content-Length that fits.
#
# Needs: curl, Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 2>go.log ||
    { cat go.log; exit 1; }
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:$port", relativeurls: true}
YAML
OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
registry=$!
base="http://127.0.0.1:$port"
for _ in $(seq 100); do
    curl -s -o /dev/null "$base/v2/" && break
    sleep 0.1
done
printf 0123456789 >blob
digest=sha256:$(sha256sum blob | cut -d' ' -f1)
upload=$(curl -s -o /dev/null -D - -X POST "$base/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
curl -s -f -X PUT --data-binary @blob -H "Content-Type: application/octet-stream" "$base$upload&digest=$digest"

ask() { # ask HEADER: status, Content-Length, bytes of the body, curl's own status
    local status=0 code
    code=$(curl -s --max-time 10 -o body -D answer -w '%{http_code}' -H "$1" "$base/v2/app/blobs/$digest") || status=$?
    echo "$code, Content-Length $(tr -d '\r' <answer | sed -n 's/^Content-Length: //p'), $(stat -c %s body 2>/dev/null || echo 0) bytes, curl $status"
    rm -f body
}

./registry --version
whole=$(ask "Accept: */*")
same=$(ask "If-Match: \"$digest\"")
part=$(ask "Range: bytes=2-4")
end=$(ask "Range: bytes=10-")
other=$(ask 'If-Match: "x"')
echo "a blob of 10 bytes         $whole"
echo "If-Match: its own ETag     $same"
echo "Range: bytes=2-4           $part"
echo "Range: bytes=10-           $end"
echo "If-Match: \"x\"              $other"
[ "$whole" = "200, Content-Length 10, 10 bytes, curl 0" ] && [ "$same" = "$whole" ] &&
    [ "$part" = "206, Content-Length 3, 3 bytes, curl 0" ] && [[ "$end" = "416, "*"curl 0" ]] &&
    [[ "$other" = "412, Content-Length 10, 0 bytes, curl "* ]] && [[ "$other" != *"curl 0" ]]
