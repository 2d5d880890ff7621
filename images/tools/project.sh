#!/bin/sh
# The project itself into /opt/safelight/app, compiled.
set -eu
cd /build/source
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONHASHSEED=0
../bin/pip install -qq --no-deps --no-build-isolation --no-compile --target /opt/safelight/app .
rm -rf /opt/safelight/app/bin
# Says where it was built; and RECORD lists what was taken away.
rm -f /opt/safelight/app/*.dist-info/direct_url.json /opt/safelight/app/*.dist-info/RECORD
../bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/safelight/app
chmod -R u=rwX,go=rX /opt/safelight/app
mkdir -p /layers/project/opt/safelight
mv /opt/safelight/app /layers/project/opt/safelight/
sh ../dates.sh /layers/project
