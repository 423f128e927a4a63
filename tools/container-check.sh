#!/usr/bin/env bash
# Builds the image from local roots and runs it as its own user on a read-only root, without a container engine
# and without a registry of images. Needs root and Debian's buildah and mmdebstrap. See docs/container.md.
set -euo pipefail
cd "$(dirname "$0")/.."
# Where administrators' programs are, which not everybody looks for.
export PATH="$PATH:/usr/sbin:/sbin"

for tool in buildah mmdebstrap curl unshare; do
  command -v "$tool" >/dev/null || { echo "missing: $tool (apt-get install -y buildah mmdebstrap curl)" >&2; exit 2; }
done
# A machine that has just started as a container itself: no overlay file system, no user namespaces.
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs

port="${CONTAINER_CHECK_PORT:-18008}"
work="${CONTAINER_CHECK_DIR:-$(mktemp -d)}"
mkdir -p "$work"
container=""
mounted=""
cleanup() {
  [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
  [ -z "$mounted" ] || umount -R "$mounted" 2>/dev/null || true
  [ -z "$container" ] || buildah rm "$container" >/dev/null 2>&1 || true
}
trap cleanup EXIT

bun="$(readlink -f "$(command -v bun || echo ".tools/bun-$(cat .bun-version)/node_modules/.bin/bun")")"
[ "$("$bun" --version)" = "$(cat .bun-version)" ] || { echo "this is not Bun $(cat .bun-version): $bun" >&2; exit 2; }

echo "== base images from a Debian root"
[ -f "$work/root.tar" ] || mmdebstrap --quiet --variant=minbase --mode=root bookworm "$work/root.tar"
cp "$bun" "$work/bun"
# A machine behind a proxy trusts more than the world does; so must a build that fetches packages there.
cp "${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" "$work/ca.crt"
cat >"$work/Dockerfile" <<'BASE'
FROM scratch AS run
ADD root.tar /
FROM run AS build
COPY bun /usr/local/bin/bun
COPY ca.crt /usr/local/share/ca.crt
ENV NODE_EXTRA_CA_CERTS=/usr/local/share/ca.crt
BASE
buildah build -q --target run -t localhost/glissade-run-base "$work" >/dev/null
buildah build -q --target build -t localhost/glissade-build-base "$work" >/dev/null

echo "== the image"
build() {
  buildah build --format docker -t localhost/glissade \
    --build-arg BUILD_BASE=localhost/glissade-build-base \
    --build-arg RUN_BASE=localhost/glissade-run-base \
    --build-arg GLISSADE_COMMIT="$(git rev-parse --short=7 HEAD 2>/dev/null || true)" .
}
# Packages that do not come are asked for once more.
build || { sleep 5; build; }
buildah inspect --type image localhost/glissade | grep -A6 '"Healthcheck"' | tr -d '\n'; echo

echo "== run: user 65532, read-only root, a volume for /data"
container="$(buildah from localhost/glissade)"
root="$(buildah mount "$container")"
mounted="$work/mnt"
mkdir -p "$mounted" "$work/data"
mount --bind "$root" "$mounted"
mount --bind "$work/data" "$mounted/data"
mount -t proc proc "$mounted/proc"
mount --bind /dev "$mounted/dev"
mount -o remount,bind,ro "$root" "$mounted"
chown 65532:65532 "$work/data"
# As an engine would start it: the image's user and environment, nothing of this shell.
inside=(chroot --userspec=65532:65532 "$mounted" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin
  SYNCV3_DATA=/data SYNCV3_BINDADDR=127.0.0.1:$port)
"${inside[@]}" sh -c 'id -u; touch /tmp/x 2>/dev/null && echo "the root is writable" && exit 1; touch /data/x && rm /data/x'
"${inside[@]}" glissade --version
"${inside[@]}" glissade demo >"$work/log" 2>&1 &
server=$!
for _ in $(seq 300); do
  if "${inside[@]}" glissade --healthcheck >/dev/null 2>&1; then break; fi
  kill -0 "$server" 2>/dev/null || { cat "$work/log"; echo "the server ended" >&2; exit 1; }
  sleep 0.2
done
"${inside[@]}" glissade --healthcheck || { tail -20 "$work/log"; echo "not healthy" >&2; exit 1; }
curl -fsS http://127.0.0.1:$port/health/ready; echo
kill -TERM "$server"
code=0
wait "$server" || code=$?
server=""
[ "$code" -eq 0 ] || { tail -20 "$work/log"; echo "SIGTERM ended it with code $code" >&2; exit 1; }
if "${inside[@]}" glissade --healthcheck >/dev/null 2>&1; then echo "healthy though it has ended" >&2; exit 1; fi
echo "the container is sound"
