#!/bin/sh
# Computes and draws every figure of this folder, one after the other, each with its command:
#
#     sh docs/figures/all.sh BUILD [OUT]      OUT: where NAME.svg and NAME.json go; BUILD/figures
#
# ONLY="NAME..." in the environment: these ones. Some seven minutes on one core; the last line says what is missing.
set -u

build=${1:?usage: all.sh BUILD [OUT]}
out=${2:-$build/figures}
missing=
mkdir -p "$out" || exit 2

figure () # NAME OPTION...
{
    case " ${ONLY-$1} " in
    *" $1 "*) ;;
    *) return ;;
    esac
    echo "== $*"
    "$build/tools/peer-figures" "$@" --json "$out/$1.json" --plot "$out/$1.svg" || missing="$missing $1"
}

figure sparrow --peers 1000 --jobs 1000
figure delay
figure messages
figure probes
figure tree --peers 1,4,16,64,256,1024,4096
figure grain
figure number
figure speculation
figure slow
figure loss
figure detection
figure views
figure control

echo "not as it should be:${missing:- none}"
[ -z "$missing" ]
