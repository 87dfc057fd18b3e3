"""`hive verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from hive.errors import ConfigError

from ..command import command
from ..inputs import OLD_FILE, read_file_bounded
from ..output import FAILED, outline
from ..session import Session

if TYPE_CHECKING:
    from hive.wire.ids import Digest

BUNDLE_BYTES_MAX = 128 * 1_024 * 1_024
FEDERATION_BYTES_MAX = 65_536


@command(
    "verify", example="hive verify research.bundle --federation federation.root", has_home=False
)
@click.argument("file", type=OLD_FILE)
@click.option("--root", "root", metavar="HEX", help="The digest of the root that you trust.")
@click.option("--federation", type=OLD_FILE, help="The federation's file that you trust.")
def verify(session: Session, file: Path, root: str | None, federation: Path | None) -> None:
    """Verify an exported bundle offline: every signature, chain, receipt and fork in it.

    Without --root or --federation only its own root is taken, and the report says so. The exit
    code is 1 where anything does not verify.
    """
    if root is not None and federation is not None:
        raise click.UsageError("name --root or --federation, not both")
    trusted = _digest(root) if root is not None else _of_file(federation)
    from hive.memory.bundle import verify_bundle
    from hive.node import clocks

    content = read_file_bounded(file, BUNDLE_BYTES_MAX)
    report = verify_bundle(content, trusted, clocks.read().wall_us // 1_000)
    data = json.loads(report.to_json())
    session.emit(data, _shown(data))
    if trusted is None:
        session.say("No root was named: the bundle was judged by the root that it brings itself.")
    if not report.is_valid or (trusted is not None and not report.is_root_trusted):
        session.say("The bundle does not verify.")
        click.get_current_context().exit(FAILED)


def _shown(report: dict[str, Any]) -> str:
    """Totals, then whatever does not stand."""
    bad = [each for each in report["deltas"] if each["verdict"] == "refused"]
    head = {name: value for name, value in report.items() if name != "deltas"}
    return outline(head | ({"refused_deltas": bad} if bad else {}))


def _digest(text: str) -> Digest:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise ConfigError(f"{text!r} is no digest", hint="64 hexadecimal digits, as in status")
    return cast("Digest", found)


def _of_file(federation: Path | None) -> Digest | None:
    if federation is None:
        return None
    from hive.node import clocks
    from hive.node.founded import read_federation

    content = read_file_bounded(federation, FEDERATION_BYTES_MAX)
    founded = read_federation(content, clocks.read().wall_us // 1_000)
    return cast("Digest", founded.state.federation)
