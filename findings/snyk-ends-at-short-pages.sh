#!/usr/bin/env bash
# @snyk/docker-registry-v2-client 4.0.5 (npm): `getTagsPaginated`, which its documentation recommends for repositories with many tags, asks
# for 1000 and takes a page of fewer for the last, whatever `Link` says: of a registry whose pages are smaller it gives out the
# first, and no error. distribution 3.1.2 has such pages where `tags.maxtags` is below 1000 (here 5, of 13 tags); by OCI's
# distribution-spec 1.1 a page may be shorter than was asked if there is a `Link`. `getTags`, which it advises against, follows it and
# gives out all 13, as oras 1.3.6 does.
#
# So whoever makes pages smaller cuts off what such a scan sees: the tags at the end of the alphabet are never looked at.
#
# Needs: openssl, curl, Node.js with npm, Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the
# behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
for program in github.com/distribution/distribution/v3/cmd/registry@v3.1.2 oras.land/oras/cmd/oras@v1.3.6; do
    GOBIN="$folder" CGO_ENABLED=0 go install "$program" 2>go.log || { cat go.log; exit 1; }
done
npm install --silent --no-audit --no-fund --no-save @snyk/docker-registry-v2-client@4.0.5 >npm.log 2>&1 || { cat npm.log; exit 1; }
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2>/dev/null
host="localhost:$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')"
cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:${host#*:}", relativeurls: true, tls: {certificate: cert.pem, key: key.pem}}
tags: {maxtags: 5}
YAML
OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
registry=$!
export SSL_CERT_FILE="$folder/cert.pem" NODE_EXTRA_CA_CERTS="$folder/cert.pem" DOCKER_CONFIG="$folder"
echo '{}' >config.json
base="https://$host"
for _ in $(seq 100); do
    curl -s --cacert cert.pem -f -o /dev/null "$base/v2/" && break
    sleep 0.1
done
digest=sha256:$(sha256sum config.json | cut -d' ' -f1)
upload=$(curl -s --cacert cert.pem -o /dev/null -D - -X POST "$base/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
curl -s --cacert cert.pem -f -X PUT --data-binary @config.json -H "Content-Type: application/octet-stream" "$base$upload&digest=$digest"
kind=application/vnd.oci.image.manifest.v1+json
empty="{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"$digest\",\"size\":3}"
echo "{\"schemaVersion\":2,\"mediaType\":\"$kind\",\"config\":$empty,\"layers\":[$empty]}" >manifest
for number in $(seq -w 13); do
    curl -s --cacert cert.pem -f -X PUT --data-binary @manifest -H "Content-Type: $kind" "$base/v2/app/manifests/v$number"
done

cat >ask.js <<'JS'
const registry = require('@snyk/docker-registry-v2-client')

const [call, host] = process.argv.slice(2)
registry[call](host, 'app').then(
  (tags) => console.log(`${tags.length} tags, up to ${tags[tags.length - 1]}`),
  (error) => console.log(error.message)
)
JS
paginated=$(node ask.js getTagsPaginated "$host")
plain=$(node ask.js getTags "$host")
oras=$(./oras repo tags --plain-http=false "$host/app" | wc -l)
answer=$(curl -s --cacert cert.pem -D - "$base/v2/app/tags/list?n=1000" | tr -d '\r' | grep -E -i '^link:|"tags"')
./registry --version
node -p '"@snyk/docker-registry-v2-client " + require("@snyk/docker-registry-v2-client/package.json").version'
echo "registry, n=1000:  $answer"
echo "oras repo tags:    $oras tags"
echo "getTags:           $plain"
echo "getTagsPaginated:  $paginated"
[ "$oras" -eq 13 ] && [ "$plain" = "13 tags, up to v13" ] && [ "$paginated" = "5 tags, up to v05" ]
