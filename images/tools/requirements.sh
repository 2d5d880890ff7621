#!/bin/sh
# The hashed requirements into /opt/safelight/lib, trimmed and compiled.
set -eu
cd /build
set -- certs/*.crt
if [ -e "$1" ]; then
    cat /etc/ssl/certs/ca-certificates.crt "$@" >bundle.pem
    export PIP_CERT=/build/bundle.pem
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONHASHSEED=0
bin/pip install -qq --require-hashes --only-binary :all: -r requirements-build.txt
# pyvips is published as source alone. Without pkg-config it cannot compile itself against another
# libvips than the one that pyvips-binary brings.
PKG_CONFIG=false bin/pip install -qq --require-hashes --no-build-isolation \
    --only-binary :all: --no-binary pyvips --no-compile --target /opt/safelight/lib -r requirements.txt
case "${CLASSIFIER:-}" in
"") ;;
opennsfw)
    bin/pip install -qq --require-hashes --only-binary :all: --no-deps --no-compile \
        --target /opt/safelight/lib -r classifier.txt 2>classifier.log || { cat classifier.log >&2; exit 1; }
    # Tools for training and conversion: half of the runtime's Python.
    rm -r /opt/safelight/lib/onnxruntime/transformers /opt/safelight/lib/onnxruntime/quantization \
        /opt/safelight/lib/onnxruntime/tools
    ;;
*)
    echo "CLASSIFIER must be opennsfw, not ${CLASSIFIER}" >&2
    exit 1
    ;;
esac
bin/python trim.py /opt/safelight/lib
# Symbols that only a debugger reads; half of the wheels still have them.
find /opt/safelight/lib -name '*.so*' -type f -exec strip --strip-unneeded {} +
# unchecked-hash: a file's date means nothing, and the start of every process is spared a stat and
# a comparison a module. One process: what it has seen before decides how marshal writes a module.
bin/python -m compileall -q --invalidation-mode unchecked-hash \
    -s /opt/safelight/lib -p /opt/safelight/lib /opt/safelight/lib
chmod -R u=rwX,go=rX /opt/safelight

# The layer from its root: a folder that COPY makes would have the date of the build.
mkdir -p /layers/libraries/opt/safelight /layers/libraries/etc/ssl/certs
mv /opt/safelight/lib /layers/libraries/opt/safelight/
cp /etc/ssl/certs/ca-certificates.crt /layers/libraries/etc/ssl/certs/
sh dates.sh /layers/libraries
