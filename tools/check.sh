#!/bin/sh
# Builds and tests everything, the way each change has to pass:
#
#     sh tools/check.sh [STAGE]...
#
#     gcc      gcc, release with debug information: every test
#     install  install it, build C and C++ programs against it through pkg-config, run them
#     lint     cppcheck
#     asan     clang with AddressSanitizer and UBSan: all but the cluster and stress tests
#     tsan     clang with ThreadSanitizer: the stress programs
#     fuzz     libFuzzer, 60 s in all; and a canary that it must catch
#
# Without arguments all of them, in this order. The last line is "N passed, N failed, N skipped"; the
# exit status is 0 only if nothing failed. Everything it writes is in build-check/, one log per stage.
set -u

root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
cd "$root" || exit 2
. tools/install-deps.sh
out=$root/build-check
stages=${*:-gcc install lint asan tsan fuzz}
fuzz_seconds=60
n_passed=0 n_failed=0 n_skipped=0

install_missing $PACKAGES_BUILD $PACKAGES_CHECK || {
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}
mkdir -p "$out/tmp"
export TMPDIR="$out/tmp" LC_ALL=C
unset DESTDIR CFLAGS CXXFLAGS LDFLAGS

# ---- results -----------------------------------------------------------------------------------

say ()
{
    printf '%s\n' "$*"
}

# result passed|failed|skipped NAME [LOG]: one test of ours.
result ()
{
    case $1 in
    passed) n_passed=$((n_passed + 1)) ;;
    skipped) n_skipped=$((n_skipped + 1)) ;;
    failed)
        n_failed=$((n_failed + 1))
        say "FAILED $2"
        [ -z "${3-}" ] || tail -n 40 "$3" | sed 's/^/    /'
        ;;
    esac
}

# try NAME LOG COMMAND...: a test that passes when the command does.
try ()
{
    name=$1 log=$2
    shift 2
    "$@" >"$out/last.log" 2>&1
    status=$?
    cat "$out/last.log" >>"$log"
    if [ $status = 0 ]; then
        result passed "$name"
    else
        result failed "$name" "$out/last.log"
        return 1
    fi
}

# ---- stages that run meson's tests --------------------------------------------------------------

# configure STAGE COMPILER OPTION...
configure ()
{
    stage=$1 compiler=$2
    shift 2
    if [ -f "$out/$stage/build.ninja" ]; then
        ninja -C "$out/$stage" build.ninja
        return
    fi
    CC=$compiler CXX=$(echo "$compiler" | sed 's/gcc/g++/; s/clang/clang++/') \
        meson setup "$out/$stage" "$@" || {
        rm -rf "${out:?}/$stage"
        return 1
    }
}

# count STAGE: add what meson's tests said.
count ()
{
    log=$out/$1/meson-logs/testlog.json
    counts=$(python3 tests/count.py "$log") || {
        result failed "$1: no results of tests" "$out/$1.log"
        return 1
    }
    set -- "$1" $(echo "$counts" | head -n 1)
    n_passed=$((n_passed + $2)) n_failed=$((n_failed + $3)) n_skipped=$((n_skipped + $4))
    if [ "$3" -gt 0 ]; then
        echo "$counts" | sed "1d; s/^/FAILED $1: /"
        grep -vE '^ *[0-9]+/[0-9]+ .* OK ' "$out/last.log" | tail -n 60 | sed 's/^/    /'
    fi
}

# run_tests STAGE OPTION...: build what the tests need, and run them.
run_tests ()
{
    stage=$1
    shift
    rm -f "$out/$stage/meson-logs/testlog.json"
    timeout -k 10 900 meson test -C "$out/$stage" --print-errorlogs "$@" >"$out/last.log" 2>&1
    status=$?
    cat "$out/last.log" >>"$out/$stage.log"
    [ -f "$out/$stage/meson-logs/testlog.json" ] || {
        # No suite of these names has a test yet: nothing was run, nothing is wrong.
        grep -q 'No suitable tests defined' "$out/$stage.log" ||
            result failed "$stage: tests did not run (status $status)" "$out/$stage.log"
        return
    }
    count "$stage"
    [ $status != 124 ] || result failed "$stage: tests took over 15 minutes" "$out/$stage.log"
}

stage_gcc ()
{
    try "gcc: configure" "$out/gcc.log" configure gcc gcc -Dprefix="$out/installed" &&
        try "gcc: build" "$out/gcc.log" ninja -C "$out/gcc" && run_tests gcc --timeout-multiplier 3
}

stage_asan ()
{
    # Fibers have stacks of their own, which the fake stacks of use-after-return do not know.
    export ASAN_OPTIONS=detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1
    try "asan: configure" "$out/asan.log" configure asan clang -Db_sanitize=address,undefined \
        -Db_lundef=false &&
        try "asan: build" "$out/asan.log" ninja -C "$out/asan" &&
        run_tests asan --suite unit --suite trace --suite sim --suite tune --suite conform --suite alloc \
            --timeout-multiplier 3
    unset ASAN_OPTIONS UBSAN_OPTIONS
}

stage_tsan ()
{
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
    try "tsan: configure" "$out/tsan.log" configure tsan clang -Db_sanitize=thread -Db_lundef=false &&
        run_tests tsan --suite stress --timeout-multiplier 3
    unset TSAN_OPTIONS
}

# ---- the others ----------------------------------------------------------------------------------

stage_lint ()
{
    # cppcheck knows that assert () does not return when its condition is false; ours it does not.
    try "lint: cppcheck" "$out/lint.log" cppcheck --quiet --std=c11 --inline-suppr --error-exitcode=1 \
        --enable=warning,portability,performance --suppress=missingIncludeSystem -j 2 \
        -DPXI_BASE_ASSERT_H '-DPXI_ASSERT(x)=assert(x)' \
        -D_GNU_SOURCE -D__GNUC__=12 -D__x86_64__ -Iinclude -Isrc src tools examples
}

# A program against the installed library, in one language and one way of linking.
build_against ()
{
    language=$1 linking=$2 program=$out/installed/app-$1-$2
    flags=$(pkg-config --cflags peerexec) libs=$(pkg-config --libs peerexec)
    # Static is our library only: Debian's libzmq.pc names archives that Debian does not have.
    [ "$linking" = shared ] ||
        libs="$(echo "$libs" | sed 's/-lpeerexec/-l:libpeerexec.a/')
            $(pkg-config --libs libzmq libprotobuf-c nettle jansson) -lpthread -ldl -lm"
    case $language in
    c) gcc -std=c99 -Wall -Wextra -pedantic -Werror $flags tests/install/app.c -o "$program" $libs ;;
    c++) g++ -std=c++11 -Wall -Wextra -pedantic -Werror $flags tests/install/app.cpp -o "$program" $libs ;;
    esac || return 1
    LD_LIBRARY_PATH=$libdir timeout 60 "$program"
}

# Each public header by itself, in both languages.
headers_stand_alone ()
{
    for header in "$out"/installed/include/peerexec/*.h; do
        for language in c c++; do
            echo "#include <peerexec/$(basename "$header")>" |
                gcc -x $language -fsyntax-only -Wall -Wextra -Werror -I"$out/installed/include" - ||
                return 1
        done
    done
}

stage_install ()
{
    log=$out/install.log
    rm -rf "$out/installed"
    try "install: install" "$log" meson install -C "$out/gcc" --no-rebuild || return
    libdir=$(dirname "$(find "$out/installed" -name libpeerexec.so)")
    export PKG_CONFIG_PATH="$libdir/pkgconfig"
    try "install: public headers stand alone" "$log" headers_stand_alone
    for language in c c++; do
        for linking in shared static; do
            try "install: $language, $linking" "$log" build_against $language $linking
        done
    done
    unset PKG_CONFIG_PATH
}

# fuzz_one PROGRAM SECONDS
fuzz_one ()
{
    name=$(basename "$1")
    work=$out/fuzz-work/$name
    mkdir -p "$work/corpus"
    seeds=tests/fuzz/corpus/$name
    [ -d "$seeds" ] || seeds=
    timeout -k 5 $(($2 + 60)) "$1" -max_total_time="$2" -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$work/" "$work/corpus" $seeds
}

# is_caught PROGRAM SECONDS: the fuzzer found an input that it objects to, and kept it.
is_caught ()
{
    rm -f "$out/fuzz-work/$(basename "$1")"/crash-*
    ! fuzz_one "$@" && ls "$out/fuzz-work/$(basename "$1")"/crash-*
}

stage_fuzz ()
{
    log=$out/fuzz.log
    try "fuzz: configure" "$log" configure fuzz clang -Dfuzz=true -Db_sanitize=address,undefined \
        -Db_lundef=false || return
    targets=$(ninja -C "$out/fuzz" -t targets all | sed -n 's|^\(tests/fuzz/fuzz-[^/.: ]*\): .*|\1|p')
    [ -n "$targets" ] || return
    try "fuzz: build" "$log" ninja -C "$out/fuzz" $targets || return
    n_targets=$(echo "$targets" | grep -vc canary)
    for target in $targets; do
        case $target in
        *canary*) # finding nothing here would mean that the fuzzer looks at nothing
            try "fuzz: $(basename "$target") is caught" "$log" is_caught "$out/fuzz/$target" 20 ;;
        *)
            try "fuzz: $(basename "$target")" "$log" fuzz_one "$out/fuzz/$target" \
                $((fuzz_seconds / n_targets)) ;;
        esac
    done
}

# ---- all of it -----------------------------------------------------------------------------------

# Processes whose program lies in build-check: none may be left.
left_over ()
{
    for process in /proc/[0-9]*; do
        case $(readlink "$process/exe" 2>/dev/null) in
        "$out"/*) echo "${process#/proc/}" ;;
        esac
    done
}

for stage in $stages; do
    case $stage in
    gcc | install | lint | asan | tsan | fuzz) ;;
    *)
        say "no stage '$stage': gcc install lint asan tsan fuzz" >&2
        exit 2
        ;;
    esac
done

before=$(left_over)
for stage in $stages; do
    : >"$out/$stage.log"
    began=$(date +%s) had="$n_passed $n_failed $n_skipped"
    "stage_$stage"
    set -- $had
    say "$stage: $((n_passed - $1)) passed, $((n_failed - $2)) failed, $((n_skipped - $3)) skipped" \
        "($(($(date +%s) - began)) s)"
done
if [ -z "$before" ]; then # otherwise another check is running here
    left=$(left_over)
    if [ -n "$left" ]; then
        for process in $left; do
            result failed "left over: $process $(tr '\0' ' ' <"/proc/$process/cmdline")"
            kill -9 "$process"
        done
    fi
fi
rm -rf "$out/tmp" "$out/last.log"
say "$n_passed passed, $n_failed failed, $n_skipped skipped"
[ $n_failed = 0 ]
