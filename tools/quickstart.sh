#!/bin/sh
# The main job, for a newcomer: install what is missing (Debian 12; root, or a user with sudo), build a
# release, and run a task tree over four peers of which one freezes and one dies. Everything that it
# makes is in build-quickstart/.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
. tools/install-deps.sh
build=build-quickstart

say () { printf '%s\n' "$*"; }

say "packages"
install_missing $PACKAGES_BUILD
say "build ($build)"
if ! { [ -f $build/build.ninja ] || meson setup $build --buildtype=release -Dtests=disabled; } >/dev/null 2>&1
then
    rm -rf $build
    meson setup $build --buildtype=release -Dtests=disabled || exit 1
fi
mkdir -p $build
ninja -C $build tools/peerd tools/px_exec tools/quickstart examples/uts.so >$build/quickstart.log 2>&1 || {
    tail -30 $build/quickstart.log
    say "quickstart: the build failed; see $build/quickstart.log"
    exit 1
}
exec $build/tools/quickstart $build/examples/uts.so $build
