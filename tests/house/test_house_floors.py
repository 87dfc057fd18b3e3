"""Goal: every import contract can fail. Method: plant one fault in a copy of the tree and lint."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from house_tree import PRODUCT, PURE, ROOT, contracts, pyproject


@dataclass(frozen=True)
class Fault:
    """A file to add to the tree, and the contract that must break."""

    contract: str
    file: str
    text: str

    def __str__(self) -> str:
        said = self.text.split("\n")[-1].strip() or "unlisted"
        return f"{self.contract}: {self.file} {said}"


CLOCK_FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import time"

FAULTS = (
    Fault("floors", "hive/wire/planted.py", "import hive.trust.keys"),
    Fault("floors", "hive/memory/planted.py", "import hive.protocol.machine"),
    Fault("floors", "hive/store/planted.py", "import hive.transport"),
    Fault("floors", "hive/transport/planted.py", "import hive.custody"),
    Fault("floors", "hive/protocol/planted.py", "import hive.node"),
    Fault("floors", "hive/planted.py", ""),
    Fault("roof", "hive/node/planted.py", "import cli"),
    Fault("roof", "simulations/planted.py", "import cli"),
    Fault("machines", "hive/protocol/membership/planted.py", "import hive.protocol.discovery"),
    Fault("machines", "hive/protocol/ingress.py", "import hive.protocol.membership"),
    Fault("machines", "hive/protocol/refusals.py", "import hive.protocol.ingress"),
    Fault("machines", "hive/protocol/machine.py", "import hive.protocol.ports"),
    Fault("machines", "hive/protocol/planted.py", ""),
    Fault("acyclic", "cli/one/planted.py", "import cli.two.planted"),
    Fault("pure", "hive/wire/planted.py", "import time"),
    Fault("pure", "hive/trust/planted.py", "from secrets import token_bytes"),
    Fault("pure", "hive/memory/planted.py", "from pathlib import Path"),
    Fault("pure", "hive/law/planted.py", "import os.path"),
    Fault("pure", "hive/protocol/planted.py", "import logging"),
    Fault("pure", "hive/protocol/planted.py", CLOCK_FOR_TYPES),
    Fault("msgpack", "hive/store/planted.py", "import msgpack"),
    Fault("msgpack", "cli/planted.py", "def load():\n    import msgpack"),
    Fault("cryptography", "hive/transport/planted.py", "import nacl.bindings"),
    Fault("cryptography", "hive/node/planted.py", "from cryptography import x509"),
    Fault("keeping", "hive/node/planted.py", "import lmdb"),
    Fault("keeping", "cli/planted.py", "import hnswlib"),
    Fault("kademlia", "hive/node/planted.py", "import kademlia.network"),
    Fault("tasks", "hive/store/planted.py", "import trio"),
    Fault("tasks", "hive/node/planted.py", "import asyncio"),
    Fault("sockets", "hive/store/planted.py", "import socket"),
)


def plant(tree: Path, fault: Fault) -> None:
    path = tree / fault.file
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "__init__.py").touch()
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n{fault.text}\n", encoding="utf-8")
    if fault.contract == "acyclic":
        plant(tree, Fault("", "cli/two/planted.py", "import cli.one.planted"))


def copy_tree(target: Path) -> None:
    for folder in PRODUCT:
        shutil.copytree(
            ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", target)


def lint(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_tree_keeps_every_contract(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    result = lint(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_breaks_its_contract(fault: Fault, tmp_path: Path) -> None:
    copy_tree(tmp_path)
    plant(tmp_path, fault)
    result = lint(tmp_path, "--contract", fault.contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contracts()[fault.contract]['name']} BROKEN" in result.stdout


def test_every_contract_has_a_planted_fault() -> None:
    assert sorted({fault.contract for fault in FAULTS}) == sorted(contracts())


def test_every_pure_floor_is_under_the_pure_contract() -> None:
    assert contracts()["pure"]["source_modules"] == [f"hive.{floor}" for floor in PURE]


def test_everything_installed_is_under_the_contracts() -> None:
    assert tuple(pyproject()["tool"]["importlinter"]["root_packages"]) == PRODUCT
