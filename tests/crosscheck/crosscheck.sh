#!/bin/sh
# Runs exported .tflite files in TensorFlow's own interpreter and in tflite-runtime 2.14, the last
# of the runtimes that old phones' projects use. Makes its own environments under .crosscheck/;
# exits non-zero when an output differs. PYTHON: the interpreter that has edgevsr.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
python=${PYTHON:-.venv/bin/python}
work=.crosscheck
mkdir -p "$work"

environment() { # NAME PACKAGE…: an environment with these packages, made once
    name=$1
    shift
    if [ ! -f "$work/$name/ready" ]; then
        rm -rf "${work:?}/$name"
        "$python" -m venv "$work/$name"
        "$work/$name/bin/pip" install --quiet "$@"
        touch "$work/$name/ready"
    fi
}

environment tensorflow "tensorflow==2.21.*"
environment tflite-runtime "tflite-runtime==2.14.0" "numpy==1.26.4"

rm -rf "$work/files"
"$python" tests/crosscheck/run.py write "$work/files"

failed=0
for name in tensorflow tflite-runtime; do
    TF_CPP_MIN_LOG_LEVEL=3 "$work/$name/bin/python" -W ignore tests/crosscheck/run.py judge "$work/files" ||
        failed=1
done
exit $failed
