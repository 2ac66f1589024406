#!/bin/sh
# Sets up an arm64 userland with LiteRT, for qemu-aarch64 to run: some 500 MB, some minutes.
# Needs root, and the packages qemu-user-static and debootstrap.
#   tests/emulated/setup.sh [FOLDER]     default: build/arm64
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-"$here/../../build/arm64"}
root=$folder/root site=$folder/site
python=${PYTHON:-"$here/../../.venv/bin/python"}

for program in qemu-aarch64-static debootstrap dpkg-deb; do
    command -v "$program" >/dev/null || {
        echo "$program is missing; run: apt-get install qemu-user-static debootstrap" >&2
        exit 2
    }
done

mkdir -p "$folder"
if [ ! -e "$folder/.fetched" ]; then
    rm -rf "$root"
    # The first stage only: what follows would run arm64 programs, and nothing here needs it.
    debootstrap --arch=arm64 --variant=minbase --foreign --include=python3,python3-numpy \
        bookworm "$root"
    touch "$folder/.fetched"
fi
if [ ! -x "$root/usr/bin/python3.11" ]; then
    for package in "$root"/var/cache/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$root"
    done
fi

# qemu 7.2 hands the host's own /proc/cpuinfo to programs that look for Arm's features in it.
mkdir -p "$root/proc"
for core in 0 1; do
    cat <<END
processor	: $core
BogoMIPS	: 48.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x3
CPU part	: 0xd0b
CPU revision	: 1

END
done >"$root/proc/cpuinfo"

litert=$("$python" -c 'from importlib.metadata import version; print(version("ai-edge-litert"))')
mkdir -p "$folder/wheels" "$site"
"$python" -m pip download --quiet --disable-pip-version-check --dest "$folder/wheels" --no-deps \
    --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 \
    --platform manylinux_2_27_aarch64 --only-binary=:all: --python-version 3.11 \
    --constraint "$here/../../constraints.txt" \
    "ai-edge-litert==$litert" numpy ml-dtypes flatbuffers typing-extensions backports-strenum tqdm
for wheel in "$folder"/wheels/*.whl; do
    "$python" -m zipfile --extract "$wheel" "$site"
done
echo "$folder is ready: pytest -m emulated"
