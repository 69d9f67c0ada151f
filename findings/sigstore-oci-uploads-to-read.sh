#!/usr/bin/env bash
# @sigstore/oci 0.7.2 (npm; what GitHub's attest actions push with): with credentials, everything begins with the start of an upload,
# also where a tag's digest is only read (`getImageDigest`): by POST …/blobs/uploads/ it looks for a challenge. A registry that asks
# for no credentials starts the upload (202), and that ends in "Invalid challenge: ", so the digest cannot be read, and the upload
# stays until somebody purges it. Without credentials the same call of the same registry works; oras 1.3.6 reads it with
# credentials too.
#
# A job that always hands over name and password so fails at an open registry, and each try leaves a folder there; and who may only
# pull must pass a question for the right to push.
#
# Needs: Debian 12 (apt-get, dpkg-deb), curl, Node.js 20.17 or later with npm, Python 3, Go, the Go module proxy. Takes half a minute
# to a minute. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x docker-registry_*.deb .
GOBIN="$folder" CGO_ENABLED=0 go install oras.land/oras/cmd/oras@v1.3.6 2>go.log || { cat go.log; exit 1; }
npm install --silent --no-audit --no-fund --no-save @sigstore/oci@0.7.2 >npm.log 2>&1 || { cat npm.log; exit 1; }
export DOCKER_CONFIG="$folder"
echo '{}' >config.json
host="127.0.0.1:$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')"
cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "$host"}
YAML
./usr/bin/docker-registry serve config.yml >registry.log 2>&1 &
registry=$!
for _ in $(seq 100); do
    curl -s -f -o /dev/null "http://$host/v2/" && break
    sleep 0.1
done
./oras push --plain-http "$host/app:1" config.json:application/json >push.log 2>&1 || { cat push.log; exit 1; }

cat >ask.js <<'JS'
const { getImageDigest } = require('@sigstore/oci')

const [imageName, username, password] = process.argv.slice(2)
const credentials = username && { username, password }
getImageDigest({ imageName, imageTag: '1', credentials }).then(
  (digest) => console.log(digest),
  (error) => console.log(`${error.message}: ${error.cause.message}`)
)
JS
uploads() { find data -path '*/app/_uploads/*' -name startedat | wc -l; }

digest=$(./oras resolve --plain-http --username user --password secret "$host/app:1" 2>oras.log) || { cat oras.log; exit 1; }
none=$(node ask.js "$host/app")
before=$(uploads)
given=$(node ask.js "$host/app" user secret)
after=$(uploads)
sleep 0.2
posts=$(grep 'POST /v2/app/blobs/uploads/' registry.log | grep -c minipass-fetch)
node -p '"@sigstore/oci " + require("@sigstore/oci/package.json").version'
echo "oras resolve, with credentials:      $digest"
echo "getImageDigest, no credentials:      $none"
echo "getImageDigest, with credentials:    $given"
echo "it started $posts upload; uploads that nobody goes on with: $before before, $after after"
[ "$none" = "$digest" ] && [[ "$given" == *": Invalid challenge: " ]] && [ "$posts" -eq 1 ] && [ "$before" -eq 0 ] && [ "$after" -eq 1 ]
