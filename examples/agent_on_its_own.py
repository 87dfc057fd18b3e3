"""One agent on one machine: no daemon, no network, the store opened by this very process.

Run it: python examples/agent_on_its_own.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hive.client.client import connect
from hive.node.home import initialise

NOTES = (
    "Water boils at 100 °C at sea level, and at 68 °C on top of Mount Everest.",
    "Sea otters hold hands while they sleep, so that they do not drift apart.",
    "The harbour master of Rotterdam answers on VHF channel 1.",
)


def main() -> None:
    """Remembers, recalls after a restart, and forgets."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        made = initialise(home, name="laptop", org_name="home", agent_name="scribe")
        print(f"federation {made.federation[:16]}…, agent {made.agent}")

        with connect(home) as hive:
            assert hive.is_embedded
            ids = [hive.remember(note, source="notebook")["id"] for note in NOTES]

        with connect(home) as hive:  # another process would see the same
            best = hive.recall("animals sleeping in the sea")["hits"][0]
            print(f"recalled: {best['text']}")
            assert best["id"] == ids[1]
            chain = [record["kind"] for record in best["chain"]]
            print(f"signed by {best['author_name']}; verified chain: {' → '.join(chain)}")
            assert chain == ["root", "org", "issuer", "agent"]

            hive.forget([ids[1]], reason="they asked us to")
            assert ids[1] not in [hit["id"] for hit in hive.recall("otters")["hits"]]
            shown = hive.call("show", id=ids[1])
            assert (shown["state"], shown["body"]) == ("forgotten", {})
            print("forgotten: the text is gone, the proof that it was forgotten stays")


if __name__ == "__main__":
    main()
