#!/bin/sh
# Installs the Debian packages that building and testing need. Does nothing when they are there; needs root (or sudo) otherwise.
set -eu
packages="cmake ninja-build make gcc libc6-dev pkg-config llvm-19-dev clang-19 lld-19 libprotobuf-c-dev protobuf-c-compiler libprotobuf-dev libgraphviz-dev graphviz libcjson-dev
  zlib1g-dev libpng-dev libjpeg-dev libtiff-dev libwebp-dev libopenjp2-7-dev"
[ "${1:-}" = test ] && packages="$packages libcmocka-dev libclang-rt-19-dev qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross binutils xz-utils patch git"
missing=""
for p in $packages; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
