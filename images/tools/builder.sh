#!/bin/sh
# What only the builder stage has: pip, in an environment that no image gets; strip; and the
# certificates, of which an image needs the bundle alone (without those of images/certs).
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends binutils ca-certificates python3-venv >/dev/null
python3 -m venv /build
