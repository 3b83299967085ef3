# Sourced by quickstart.sh and check.sh: installs the Debian packages that are missing, and only those.
# Sets no options and defines two lists and one function:
#
#     install_missing $PACKAGES_BUILD $PACKAGES_CHECK

# To build and run.
PACKAGES_BUILD="gcc libc6-dev meson ninja-build pkg-config python3 binutils
    libzmq3-dev libczmq-dev libprotobuf-c-dev protobuf-c-compiler nettle-dev libjansson-dev libpng-dev
    opencl-c-headers"

# To check: the other compiler, its sanitizers, fuzzer and symbolizer, C++ callers, tests, static analysis,
# plots of figures, an OpenCL device made of the CPU and the loader that finds it.
PACKAGES_CHECK="g++ clang libclang-rt-14-dev llvm libcriterion-dev cppcheck gnuplot-nox
    pocl-opencl-icd ocl-icd-libopencl1"

install_missing ()
{
    if ! command -v dpkg-query >/dev/null 2>&1; then
        echo "this is not a Debian: the packages that are needed have to be there: $*" >&2
        return 0
    fi
    missing=
    for package in "$@"; do
        case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
        *" ok installed") ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "missing packages:$missing; install them as root, or install sudo" >&2
            return 1
        fi
        as_root=sudo
    fi
    echo "installing:$missing"
    $as_root apt-get -qq update &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
            $missing >/dev/null
}
