"""The Linux system calls that put a process behind walls of its own, through ctypes.

One function per wall; each raises OSError with the wall's name when the kernel refuses. Nothing
here knows what runs behind them: that is `service`. Read by Linux only.
"""

import contextlib
import ctypes
import fcntl
import os
import platform
import signal
import socket
import struct
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

NEW_USER, NEW_MOUNTS, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x00020000, 0x20000000, 0x40000000
NEW_IPC, NEW_NAMES, NEW_CGROUP, NEW_TIME = 0x08000000, 0x04000000, 0x02000000, 0x00000080
EVERYTHING = NEW_USER | NEW_MOUNTS | NEW_PROCESSES | NEW_NETWORK | NEW_IPC | NEW_NAMES

READ_ONLY, NO_SETUID, NO_DEVICES, NO_PROGRAMS, BIND, RECURSIVE = 1, 2, 4, 8, 0x1000, 0x4000
_PRIVATE = 0x40000


def _checked(result: int, wall: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{wall}: {os.strerror(number)}")
    return result


def _system_call(wall: str, number: int, *arguments) -> int:
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words), wall)


def _prctl(wall: str, option: int, *arguments: int) -> int:
    words = [ctypes.c_ulong(each) for each in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *words), wall)


# --- Namespaces and mounts ------------------------------------------------------------------------


def fork_behind_walls() -> int:
    """Like os.fork, and the child is process 1 of fresh namespaces of every kind.

    One call does what a fork, `unshare` and a second fork would do, for a third of the time less.
    It goes past the C library, so the child should do little more than fork properly itself.
    """
    is_a_child = signal.SIGCHLD
    return _system_call(
        "fresh namespaces", _numbers()["clone"], EVERYTHING | is_a_child, 0, 0, 0, 0
    )


def become(user: int, outside: tuple[int, int]) -> None:
    """In a fresh user namespace: be an ordinary user, who outside is the (user, group) one was."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {outside[0]} 1")
    _write("/proc/self/gid_map", f"{user} {outside[1]} 1")


def new_mounts() -> None:
    """A view of the file system that can be changed without anybody else seeing it."""
    _checked(_libc.unshare(ctypes.c_int(NEW_MOUNTS)), "a mount namespace")
    mount("none", "/", flags=RECURSIVE | _PRIVATE)


def forbid_further_namespaces() -> None:
    """A user namespace of one's own would bring back the right to mount."""
    _write("/proc/sys/user/max_user_namespaces", "0")


def _write(path: str, text: str) -> None:
    """In one write and nothing else: these files are taken line by whole line, or not at all."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, options: str = ""):
    done = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _checked(done, f"mounting {target}")


def everything_read_only() -> None:
    """What is mounted now, all the way down, for this namespace alone and for good."""
    attributes = ctypes.create_string_buffer(
        struct.pack("=4Q", READ_ONLY | NO_SETUID, 0, _PRIVATE, 0)
    )
    here, recursive, set_attributes = -100, 0x8000, 442
    _system_call(
        "making everything read-only",
        set_attributes,
        here,
        ctypes.c_char_p(b"/"),
        recursive,
        attributes,
        32,
    )


def name_this_machine(name: str) -> None:
    _checked(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "the machine's name")
    _checked(_libc.setdomainname(b"", ctypes.c_size_t(0)), "the machine's name")


def loopback_up() -> None:
    """A fresh network has one device, switched off: programs may talk to themselves through it."""
    read_flags, write_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        _, flags = struct.unpack("16sh22x", fcntl.ioctl(any_socket, read_flags, request))
        fcntl.ioctl(any_socket, write_flags, struct.pack("16sh22x", b"lo", flags | up))


def gather_pages() -> None:
    """Move this process's memory into huge pages, where the kernel can (Linux 6.1): a fork copies
    one entry for each page, so with 512 times fewer it takes a quarter of the time."""
    huge, collapse = 2**21, 25
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    for where, rights, *_, file in (line.split(maxsplit=5) for line in lines):
        if "w" in rights and (file == "0" or file == "[heap]"):
            start, end = (int(each, 16) for each in where.split("-"))
            start, end = -(-start // huge) * huge, end // huge * huge
            if start < end:  # what cannot be moved stays as it is
                _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), collapse)


# --- What a process may still do ------------------------------------------------------------------


def readable_by_others(yes: bool) -> None:
    """Whether a process of the same user may look into this one's memory and descriptors."""
    _prctl("closing this process to others", 4, int(yes))


def no_new_privileges() -> None:
    _prctl("no new privileges", 38, 1)


def drop_capabilities() -> None:
    """All of them, also for programs started later."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="utf-8"))
    for each in range(last + 1):
        _prctl("dropping capabilities", 24, each)
    _prctl("dropping capabilities", 47, 4)
    version_3 = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    none = ctypes.create_string_buffer(24)
    _system_call("dropping capabilities", _numbers()["capset"], version_3, none)


def forget_keys() -> None:
    """A session's keyring (Kerberos tickets, disk keys) is inherited through every fork."""
    join_new_session = 1
    with contextlib.suppress(OSError):  # a kernel without keys has none to inherit
        _system_call("a fresh keyring", _numbers()["keyctl"], join_new_session, ctypes.c_void_p())


# --- System calls that nobody's homework needs ----------------------------------------------------

# The kernel keeps these from ordinary users in part, or not at all. Each is a way to look into
# other processes, to memory that no limit counts, to walls of one's own, or to a large and often
# broken part of the kernel. name: (number on x86-64, number on arm64)
_REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "syslog": (103, 116),
    "personality": (135, 92),
    "sched_setaffinity": (203, 122),
}
_NEEDED = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "ioctl": (16, 29),
    "socket": (41, 198),
    "keyctl": (250, 219),
    "capset": (126, 91),
    "seccomp": (317, 277),
}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def _machine() -> tuple[int, int]:
    try:
        return _MACHINES[platform.machine()]
    except KeyError:
        raise OSError(
            0, f"isolation is built for x86-64 and arm64, not for {platform.machine()}"
        ) from None


def _numbers() -> dict[str, int]:
    column, _ = _machine()
    return {name: numbers[column] for name, numbers in _NEEDED.items()}


def refuse_system_calls() -> None:
    """From here on, for this process and all it starts: refused calls fail like a missing right."""
    program = _filter_program()
    code = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    )
    # without the second flag, older kernels slow all arithmetic down for a filtered process
    set_filter, keep_speculation = 1, 4
    _system_call(
        "refusing system calls", _numbers()["seccomp"], set_filter, keep_speculation, header
    )


def _filter_program() -> bytes:
    """In the kernel's classic packet-filter code: load a word, compare, return."""
    column, architecture = _machine()
    number = _numbers()
    load, equal, at_least, any_bit, back = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, absent, no_family = 0x7FFF0000, 0x50000 | 1, 0x50000 | 38, 0x50000 | 97
    call, machine, first, second = 0, 4, 16, 24  # where things lie in what the filter is given

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    def only(name: str, *then: bytes) -> list[bytes]:
        """`then`, which returns, if it is this call; otherwise on, with the number loaded still."""
        return [line(equal, number[name], 0, len(then)), *then]

    lines = [
        line(load, machine),
        line(equal, architecture, 1, 0),
        line(back, refuse),
        line(load, call),
    ]
    if column == 0:  # calls of the x32 kind have numbers of their own
        lines += [line(at_least, 0x40000000, 0, 1), line(back, absent)]
    for numbers in _REFUSED.values():
        lines += [line(equal, numbers[column], 0, 1), line(back, refuse)]
    # what clone3 is asked lies in memory that no filter can read; the C library then uses clone
    lines += only("clone3", line(back, absent))
    lines += only(
        "clone",
        line(load, first),
        line(any_bit, EVERYTHING | NEW_CGROUP | NEW_TIME, 0, 1),
        line(back, refuse),
        line(back, allow),
    )
    push_into_terminal, terminal_of_linux = 0x5412, 0x541C
    lines += only(
        "ioctl",
        line(load, second),
        line(equal, push_into_terminal, 1, 0),
        line(equal, terminal_of_linux, 0, 1),
        line(back, refuse),
        line(back, allow),
    )
    # unlike these, other families (those between virtual machines) know no network namespace
    families = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
    lines += only(
        "socket",
        line(load, first),
        *(line(equal, family, len(families) - n, 0) for n, family in enumerate(families)),
        line(back, no_family),
        line(back, allow),
    )
    return b"".join([*lines, line(back, allow)])
