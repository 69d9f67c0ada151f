"""Small file systems of their own, for disks that fill up and volumes that are mounted within one another."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import find_program


@contextlib.contextmanager
def mounted_tmpfs(folder: Path, *, size: str = "4m", inodes: int = 10_000) -> Iterator[Path]:
    """Mounts an empty file system in memory on a folder until the end of the block; skips who may not mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root: run the tests as root to see disks fill up")
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},nr_inodes={inodes}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine mounts no tmpfs ({done.stderr.strip()}): CAP_SYS_ADMIN is needed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def mounted_ext4(folder: Path, *, size: str = "8M", inodes: int = 1000) -> Iterator[Path]:
    """The same with a file system on a disk (a file), which needs blocks for names and folders too."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root: run the tests as root to see disks fill up")
    image = folder.with_name(f"{folder.name}.img")
    folder.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(int(size.removesuffix("M")) * 1024 * 1024)
    make = [find_program("mkfs.ext4"), "-q", "-F", "-m", "0", "-N", str(inodes), str(image)]
    subprocess.run(make, check=True)
    done = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine mounts no file ({done.stderr.strip()}): CAP_SYS_ADMIN and a loop device are needed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def make_read_only(folder: Path) -> None:
    """Turns a mount read-only."""
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


def make_larger(folder: Path) -> None:
    """Doubles what fits."""
    subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)


def fill_up(folder: Path) -> Path:
    """Writes until nothing fits any more; returns the file whose deletion makes room."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1024, 1):  # the blocks of a small ext4 have 1024 bytes
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return filler
