"""Where a row comes from: the machine, the versions, the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
VERSIONS: Final = ("msgpack", "numpy", "pynacl", "cryptography", "numba", "dask")
UNKNOWN: Final = "not recorded"


@cache
def origin() -> dict[str, str]:
    """Read once a process."""
    return {"machine": _machine(), "versions": _versions(), "commit": _commit()}


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores {_processor()}, {memory:.0f} GiB, {platform.system()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> str:
    found = [f"{platform.python_implementation()} {platform.python_version()}"]
    for name in ("hive", *VERSIONS):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _commit() -> str:
    """The commit of the tree that runs; a changed tree says so, an installed hive has none."""
    try:
        done = [
            subprocess.run(
                ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (
                ("rev-parse", "--short=12", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no"),
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return f"{done[0]} with changes" if done[1] else done[0]
