"""Store paths, narinfos, derivations and a machine that several unit tests work with."""

from pathlib import Path

from nix_autocache.machine.observe import Facts
from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import NarFile, render
from nix_autocache.nix.store import Nix, PathInfo, StorePath
from nix_autocache.nix.store_client import StoreClient

PATH = StorePath("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a")
OTHER = StorePath("/nix/store/1123456789abcdfghijklmnpqrsvwxyz-b")
KEY, OTHERS = keys.generate("ours-1"), keys.generate("theirs-1")
FILE = NarFile("nar/x.nar.zst", "zstd", "1" * 52, 99)
INFO = PathInfo(PATH, f"{OTHER}.drv", (OTHER,), f"sha256:{'0' * 52}", 120, "", ())
SIGNED = render(INFO, FILE, KEY)
UNSIGNED = render(INFO, FILE, None)
READERS = (KEY.public,)

HASH = "0123456789abcdfghijklmnpqrsvwxyz"
CA = (
    'Derive([("out","","r:sha256","")],[],[],"x86_64-linux","/bin/sh",["-c","echo ca > $out"],[("builder","/bin/sh"),'
    '("name","ca"),("out","/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9"),("outputHashAlgo","sha256"),'
    '("outputHashMode","recursive"),("system","x86_64-linux")])'
)

BARE_MACHINE = Facts(
    system="Linux",
    root=False,
    sudo=True,
    systemd=True,
    namespaces=True,
    nix=None,
    daemon="none",
    trusted=False,
    configuration_fixed=False,
    provisioned=False,
    build_users=0,
    users_can_be_made=True,
    store_writable=False,
    nix_can_be_made=False,
    ours=None,
)


def derivation(directory: Path, text: str, name: str = "ca") -> StorePath:
    path = directory / f"{HASH}-{name}.drv"
    path.write_text(text)
    return StorePath(path)


def output(name: str) -> StorePath:
    return StorePath(f"/nix/store/{HASH}-{name}")


class Nothing(StoreClient):
    """A store in which nothing is used."""

    def __init__(self) -> None:
        super().__init__(Nix(Path("/nonexistent")))

    def path_infos(self, paths: object) -> dict[StorePath, PathInfo]:
        return {}


def narinfo(cache: Path, letter: str, *references: str, archive: str = "") -> Path:
    """A narinfo of the path with the hash of that letter, and its archive of 100 bytes."""
    (cache / "nar").mkdir(parents=True, exist_ok=True)
    paths = [StorePath(f"/nix/store/{each * 32}-{each}") for each in (letter, *references)]
    url = archive or f"nar/{letter}.nar"
    (cache / url).write_bytes(bytes(100))
    known = PathInfo(paths[0], "", tuple(paths[1:]), f"sha256:{'0' * 52}", 100, "", ())
    file = cache / f"{letter * 32}.narinfo"
    file.write_text(render(known, NarFile(url, "none", "0" * 52, 100), None))
    return file
