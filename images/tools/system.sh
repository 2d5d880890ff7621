#!/bin/sh
# Debian packages of an image, a user, and nothing that differs between two builds.
# Usage: system.sh PACKAGE...
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends "$@" >/dev/null

# ffmpeg's packages depend on OpenGL, whose software renderer brings LLVM and Z3. Nothing here
# draws with it, and ffmpeg opens none of it unless asked to: check.py runs ffmpeg afterwards.
for stem in libLLVM libz3 libgallium; do
    find /usr/lib -name "$stem*.so*" -delete
done
find /usr/lib -type d -name dri -prune -exec rm -rf {} +

# Python's own tests and the texts behind its help().
rm -rf /usr/lib/python3.13/test /usr/lib/python3.13/pydoc_data

# Debian compiles for the dates of the sources, which are about to change; as in requirements.sh.
find /usr/lib/python3* /usr/share/python3 -name __pycache__ -prune -exec rm -rf {} +
# -B: what is imported meanwhile must not be written as usual, and then be left alone.
PYTHONHASHSEED=0 python3 -B -m compileall -q -f --invalidation-mode unchecked-hash \
    /usr/lib/python3.13 /usr/lib/python3

# What only installs, draws or logs people in. A program that is not there cannot be used by whoever
# breaks in. Purged by dpkg, so that its list, which scanners read, stays true.
unused=
case " $* " in
    *' ffmpeg '*) ;; # whose libraries need some of them
    *)
        # Of what is left only `who` and its like, which are removed below, and dbm.ndbm use them.
        unused='bsdutils libpam-runtime libpam-modules libpam-modules-bin libpam0g libsemanage2
            libsepol2 libaudit1 libcap-ng0 libblkid1 libmount1 libsmartcols1 libudev1
            libsystemd0 libhogweed6t64 libnettle8t64 liblz4-1 libxxhash0 libdb5.3t64'
        ;;
esac
for package in $unused ncurses-bin apt libapt-pkg7.0 sqv debian-archive-keyring passwd login login.defs util-linux \
    mount init-system-helpers debconf perl-base; do
    if dpkg-query --show "$package" >/dev/null 2>&1; then
        dpkg --purge --force-depends --force-remove-essential --force-remove-protected \
            "$package" >/dev/null 2>&1
    fi
done
# Character sets of the C library; Python has its own.
rm -rf /usr/lib/*/gconv
# What only building and installing packages reads; the list and the files of each stay for scanners.
find /var/lib/dpkg/info -type f ! -name '*.list' ! -name '*.md5sums' -delete
rm -rf /usr/share/lintian /usr/share/bash-completion /usr/share/gdb /usr/share/gcc
if [ "$unused" ]; then
    rm /usr/bin/who /usr/bin/pinky /usr/bin/users /usr/lib/python3.13/lib-dynload/_dbm.*
fi
find / -xdev -type f -perm /6000 -exec chmod a-s {} +

# Numeric and without a home: Lambda and `docker run --user` bring users of their own anyway.
echo 'safelight:x:10001:10001::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
echo 'safelight:x:10001:' >>/etc/group

# Caches and logs; fontconfig's cache has dates of the build in it, and two fonts are found without. Licences stay: /usr/share/doc/*/copyright.
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/* /var/cache/debconf/* \
    /var/cache/fontconfig/* \
    /var/log/* /var/lib/dpkg/*-old /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- \
    /usr/share/man/* /usr/share/locale/* /usr/share/info/*
find /usr/share/doc -type f ! -name copyright -delete
find /usr/share/doc -type l -delete
sh /tmp/dates.sh /
rm /tmp/*.sh
touch --date 2000-01-01T00:00:00Z /tmp
