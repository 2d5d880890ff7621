"""Take from this process what a decoder never needs: files, network, programs, other processes.

Two walls of the Linux kernel, neither of which needs a privilege (decision 21):

- Landlock, by its three system calls: no file but those named, no TCP, no signal to and no abstract
  socket of a process outside; what the kernel's version of it knows.
- seccomp, by libseccomp: no socket, no new process or program, no look into another process, no
  change of owner, mode or identity. It answers EPERM; the program goes on.

Both hold for every thread and process that is started afterwards, and nobody can lift them.
``launch`` imports this file at each start of ffmpeg: it needs few modules of the standard library.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable

_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


class Jail:
    """What a jailed process may still reach. Paths that are not there are left out.

    It is no dataclass: to import those takes half as long as to start Python.

    Args:
        read: files, and folders with all that is in them.
        look: folders whose files may be listed and not read.
        write: folders in which anything may be read, made, changed and deleted; files to be
            changed.
        program: the path of one program that it may become. It stays in the jail. A script is
            not held.
    """

    __slots__ = ("look", "program", "read", "write")

    def __init__(
        self,
        *,
        read: Iterable[str] = (),
        look: Iterable[str] = (),
        write: Iterable[str] = (),
        program: str = "",
    ) -> None:
        self.read, self.look, self.write = tuple(read), tuple(look), tuple(write)
        self.program = program


# Where programs look for code, fonts and what the C library reads. None of it is a secret.
SYSTEM = (
    *("/usr", "/lib", "/lib64", "/bin", "/opt/python"),
    *("/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/var/cache/fontconfig"),
    *("/dev/null", "/dev/zero", "/dev/urandom", "/proc/self"),
)


def lock_in(jail: Jail) -> list[str]:
    """Lock this process in, as far as the kernel allows it.

    Call it before threads are started: those that run already are not held.

    Returns:
        The walls that do not stand, each with the reason; none if both do.
    """
    if sys.platform != "linux":
        return [f"landlock and seccomp: {sys.platform} has neither"]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if jail.program and _head(jail.program)[:2] == b"#!":
        return [f"landlock and seccomp: {jail.program} is a script, which starts other programs"]
    missing = []
    for name, wall in (("landlock", _landlock), ("seccomp", _seccomp)):
        try:
            wall(libc, jail)
        except OSError as error:
            missing.append(f"{name}: {error.strerror or error}")
    return missing


# --- Landlock -----------------------------------------------------------------------------------

# linux/landlock.h and include/uapi/asm-generic/unistd.h: the same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_FILE_RIGHTS = (0, 13, 14, 15, 15, 16)
"""How many rights of files each version of the interface knows, from 0 on: 2 adds links between
folders, 3 truncation, 5 the control of devices."""
_NETWORK = 0b11
"""From version 4 on: binding and connecting TCP."""
_SCOPES = 0b11
"""From version 6 on: abstract sockets and signals."""


def landlock_version(libc: ctypes.CDLL) -> int:
    """The version of the interface, from 1.

    Raises:
        OSError: ENOSYS: the kernel has none; EOPNOTSUPP: it is not among its security modules.
    """
    return _checked(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def _landlock(libc: ctypes.CDLL, jail: Jail) -> None:
    version = landlock_version(libc)
    every = (1 << _FILE_RIGHTS[min(version, len(_FILE_RIGHTS) - 1)]) - 1
    handled = [every]
    if version >= 4:
        handled.append(_NETWORK)
    if version >= 6:
        handled.append(_SCOPES)
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    rules = _checked(
        libc.syscall(
            _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
        )
    )
    changes = every & ~(_EXECUTE | _IOCTL_DEV)
    program = (jail.program, _loader(jail.program)) if jail.program else ()
    try:
        _allow(libc, rules, jail.read, _READ_FILE | _READ_DIR)
        _allow(libc, rules, jail.look, _READ_DIR)
        _allow(libc, rules, ("/dev/null",), _READ_FILE | _WRITE_FILE)
        _allow(libc, rules, jail.write, changes)
        _allow(libc, rules, program, _READ_FILE | _EXECUTE)
        _checked(libc.syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0)))
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            is_folder = os.path.isdir(f"/proc/self/fd/{place}")  # noqa: PTH112
            given = rights if is_folder else rights & _OF_FILES
            rule = struct.pack("=Qi", given, place)  # packed, as the header has it
            _checked(
                libc.syscall(
                    _ADD_RULE,
                    ctypes.c_int(rules),
                    ctypes.c_int(_PATH_BENEATH),
                    rule,
                    ctypes.c_uint32(0),
                )
            )
        finally:
            os.close(place)


def _loader(program: str) -> str:
    """What the kernel starts for a program, to load its shared libraries; nothing if it has none.

    Source: ELF of 64 bits, elf(5), PT_INTERP.
    """
    head = _head(program)
    if head[:5] != b"\x7fELF\x02":
        return ""
    (table,) = struct.unpack_from("=Q", head, 32)
    size, count = struct.unpack_from("=HH", head, 54)
    for at in range(table, min(table + size * count, len(head) - size), size):
        if struct.unpack_from("=I", head, at) == (_PT_INTERP,):
            (start,) = struct.unpack_from("=Q", head, at + 8)
            return os.fsdecode(head[start:].partition(b"\0")[0])
    return ""


_PT_INTERP = 3


def _head(program: str) -> bytes:
    with open(program, "rb") as file:  # noqa: PTH123  (pathlib takes as long as Python to start)
        return file.read(1 << 16)


# --- seccomp ------------------------------------------------------------------------------------

_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
"""SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM) and (ENOSYS) of seccomp.h."""
_NOT_EQUAL, _MASKED_EQUAL = 1, 7
"""Of enum scmp_compare."""
_CLONE_THREAD = 0x00010000  # linux/sched.h
_UNKNOWN = -1
"""What libseccomp says of a call that is newer than it."""

_DENIED = (
    # The network, and rings in which calls go past this filter.
    *("socket", "socketpair", "bind", "connect", "listen", "accept", "accept4"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    # Processes: new ones, and those of others.
    *("fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"),
    *("pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kcmp", "tkill", "rt_sigqueueinfo"),
    *("rt_tgsigqueueinfo", "setpriority", "ioprio_set", "migrate_pages", "move_pages"),
    # What other processes of this user share.
    *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd"),
    *("msgrcv", "msgctl", "mq_open", "mq_unlink", "add_key", "request_key", "keyctl"),
    # What Landlock does not hold of files: whose they are, their modes, dates and attributes.
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat"),
    *("utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr", "fsetxattr"),
    *("setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
    *("name_to_handle_at", "open_by_handle_at", "fanotify_init", "quotactl", "quotactl_fd"),
    # Who this process is, and where.
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups"),
    *("setfsuid", "setfsgid", "capset", "setns", "unshare", "chroot", "pivot_root", "personality"),
    # The kernel.
    *("mount", "umount2", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("mount_setattr", "swapon", "swapoff", "bpf", "perf_event_open", "userfaultfd", "syslog"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    *("acct", "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime"),
    *("adjtimex", "iopl", "ioperm", "lookup_dcookie", "vhangup", "nfsservctl"),
)
_PROGRAMS = ("execve", "execveat")
_OF_OTHERS = ("kill", "tgkill", "sched_setaffinity", "sched_setscheduler", "sched_setparam")
"""Calls whose first argument is a process. It may be this one; ``tgkill`` is how it aborts."""


class _Compare(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _seccomp(_: ctypes.CDLL, jail: Jail) -> None:
    library = ctypes.CDLL("libseccomp.so.2")  # raises OSError where it is not installed
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    if not rules:
        raise OSError("libseccomp has no memory")
    try:
        for name, action, comparisons in _rules(jail):
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == _UNKNOWN:
                continue
            array = (_Compare * len(comparisons))(*comparisons)
            _succeeds(
                library.seccomp_rule_add_array(
                    rules, ctypes.c_uint32(action), number, len(comparisons), array
                )
            )
        _succeeds(library.seccomp_load(rules))
    finally:
        library.seccomp_release(rules)


def _rules(jail: Jail) -> Iterable[tuple[str, int, tuple[_Compare, ...]]]:
    """Calls, what becomes of them, and of which arguments."""
    for name in _DENIED if jail.program else (*_DENIED, *_PROGRAMS):
        yield name, _EPERM, ()
    # Threads may be started, by `clone`, whose flags can be read: those of `clone3` cannot, and the
    # C library takes the older one where it is told that there is none.
    yield "clone3", _ENOSYS, ()
    yield "clone", _EPERM, (_Compare(0, _MASKED_EQUAL, _CLONE_THREAD, 0),)
    for name in _OF_OTHERS:
        yield name, _EPERM, (_Compare(0, _NOT_EQUAL, os.getpid(), 0),)
    yield "prlimit64", _EPERM, (_Compare(0, _NOT_EQUAL, 0, 0),)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _succeeds(result: int) -> None:
    """Functions of libseccomp return an error number with its sign turned."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def hide() -> None:
    """Let no other process of this user read this one's memory and environment.

    What Landlock denies where it is there, this denies everywhere: a process that has taken no
    part in it cannot be read through /proc or ptrace (prctl(2), PR_SET_DUMPABLE).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


_PR_SET_DUMPABLE = 4  # linux/prctl.h
