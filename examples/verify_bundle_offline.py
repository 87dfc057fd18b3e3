"""Evidence: memories exported to one file that anybody verifies without a node or a network.

Run it: python examples/verify_bundle_offline.py
"""

from __future__ import annotations

import base64
import contextlib
import tempfile
from pathlib import Path

from hive.client.client import connect
from hive.errors import MalformedFrame
from hive.memory.bundle import verify_bundle
from hive.node import clocks
from hive.node.home import initialise
from hive.wire.ids import Digest


def main() -> None:
    """One party exports; another, who knows only the federation's id, verifies."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        made = initialise(home, org_name="clinic")
        with connect(home) as hive:
            hive.remember("Batch 7 was kept at 4 °C from Monday to Friday.", source="sensor 12")
            hive.remember("Batch 7 was released on Saturday.", source="release desk")
            namespace = made.namespaces[0]
            content = base64.b64decode(hive.call("bundle", namespace=namespace)["bundle"])

    # From here on there is no home, no store and no key: only the file and a digest.
    trusted = Digest(bytes.fromhex(made.federation))
    now_ms = clocks.read().wall_us // 1_000
    report = verify_bundle(content, trusted, now_ms)
    print(f"{len(content)} bytes, {len(report.deltas)} deltas: {report.totals}")
    assert report.is_valid
    assert report.is_root_trusted
    assert len(report.deltas) == 2

    # Of another federation it proves nothing.
    elsewhere = verify_bundle(content, Digest(bytes(32)), now_ms)
    assert not elsewhere.is_root_trusted
    assert not elsewhere.is_valid

    # And no bit of it can be turned.
    for position in range(0, len(content), len(content) // 50):
        damaged = bytearray(content)
        damaged[position] ^= 1
        with contextlib.suppress(MalformedFrame):
            assert not verify_bundle(bytes(damaged), trusted, now_ms).is_valid
    print("genuine under its own root, worthless under another, and no bit of it can be turned")


if __name__ == "__main__":
    main()
