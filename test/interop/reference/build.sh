#!/bin/sh
# Builds the c-toxcore reference peers against Debian's own static library, into .tmp/reference of the repository (git-ignored)
# or $CTOX_OUT. Does nothing when the results are newer than what they are made of.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${CTOX_OUT:-$here/../../../.tmp/reference}
mkdir -p "$out"
out=$(cd "$out" && pwd)
library=$(gcc -print-file-name=libtoxcore.a)

version=$(dpkg-query -W -f '${Version}' libtoxcore-dev 2>/dev/null || echo unknown)
case "$version" in
  0.2.18-*) ;;
  *) echo "warning: the declarations in toxabi.h were written for 0.2.18, found $version" >&2 ;;
esac

# True when $1 is missing or older than a source or the library.
stale() {
  [ -e "$1" ] || return 0
  [ -n "$(find "$here" "$library" -newer "$1" \( -name '*.c' -o -name '*.h' -o -name build.sh -o -name '*.a' \) | head -n 1)" ]
}

# Builds beside the target and renames, so that a peer that is running is never overwritten.
build() {
  target=$1
  shift
  stale "$out/$target" || return 0
  gcc -O2 -g -std=gnu11 -Wall -Wextra -Wno-unused-parameter "$@" -o "$out/$target.$$"
  mv "$out/$target.$$" "$out/$target"
  echo "built $target (libtoxcore $version)"
}

libraries="-l:libtoxcore.a -lsodium -lopus -lvpx -lm -lpthread"
# The list is split into words on purpose.
# shellcheck disable=SC2086
build ctoxpeer "$here/ctoxpeer.c" $libraries
# shellcheck disable=SC2086
build ctoxtcp "$here/ctoxtcp.c" $libraries
build bindlo.so -shared -fPIC "$here/bindlo.c" -ldl
