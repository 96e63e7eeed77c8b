# Makes a Python on Linux take itself for one on macOS, as far as our program asks: what macOS's standard library lacks
# is gone, and what it answers differently is answered so. Appended to pathlib, which our processes import first.
def _be_macos() -> None:
    import errno
    import os
    import socket
    import stat
    import struct
    import sys
    import types
    from typing import Any

    lacking: dict[Any, tuple[str, ...]] = {
        os: ("O_PATH", "SCHED_BATCH", "ST_NOEXEC", "memfd_create", "pidfd_open", "sched_setscheduler", "splice"),
        socket: ("AF_NETLINK", "SO_PEERCRED", "SOCK_CLOEXEC", "SOCK_NONBLOCK"),
    }
    peer_of_linux, release = socket.SO_PEERCRED, ("Darwin", "mac", "24.6.0", "Darwin Kernel Version 24.6.0", "arm64")
    chmod, open_ = os.chmod, os.open

    def chmod_of_macos(path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        assert follow_symlinks or not stat.S_ISLNK(os.lstat(path).st_mode), "Linux cannot change a link's mode"
        chmod(path, mode, dir_fd=dir_fd)

    def open_of_macos(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        try:
            return open_(path, flags, mode, dir_fd=dir_fd)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a socket
                raise OSError(errno.EOPNOTSUPP, "Operation not supported on socket", path) from None
            raise

    class Socket(socket.socket):
        def getsockopt(self, level: int, option: int, *more: Any) -> Any:
            if self.family == socket.AF_UNIX and (level, option) == (0, 1):  # SOL_LOCAL, LOCAL_PEERCRED
                _, user, group = struct.unpack("3i", super().getsockopt(socket.SOL_SOCKET, peer_of_linux, 12))
                return struct.pack("2Ih16I", 0, user, 1, group, *[0] * 15)
            return super().getsockopt(level, option, *more)

        def bind(self, address: Any) -> None:
            super().bind(self._short(address))

        def connect(self, address: Any) -> None:
            super().connect(self._short(address))

        def _short(self, address: Any) -> Any:
            if self.family == socket.AF_UNIX and len(os.fsencode(address)) > 103:
                raise OSError("AF_UNIX path too long")
            return address

    for module, names in lacking.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    sys.modules["_scproxy"] = types.ModuleType("_scproxy")
    replaced: dict[Any, dict[str, Any]] = {
        sys.modules["_scproxy"]: {"_get_proxies": dict, "_get_proxy_settings": dict},  # none are set
        sys: {"platform": "darwin"},
        os: {"uname": lambda: os.uname_result(release), "chmod": chmod_of_macos, "open": open_of_macos},
        socket: {"socket": Socket},
    }
    for module, values in replaced.items():
        for name, value in values.items():
            setattr(module, name, value)


_be_macos()
