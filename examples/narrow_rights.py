"""Rights only narrow: an agent that may write in one corner can write nowhere else.

Run it: python examples/narrow_rights.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hive.client.client import connect
from hive.errors import NotPermitted, Refused
from hive.node.home import initialise


def main() -> None:
    """Issues an agent with one narrowed capability and lets it try more."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        initialise(home, org_name="press", agent_name="editor")
        with connect(home) as hive:
            corner = {"prefix": "press/weather", "actions": ["remember", "recall"]}
            hive.call("agent_issue", name="forecaster", capabilities=[corner], hours=1)

            inside = hive.remember(
                "Rain from the west on Tuesday.", agent="forecaster", namespace="press/weather"
            )
            print(f"written inside its corner: {inside['id'][:16]}…")

            for namespace in ("press/politics", "press/weathermen"):
                why = None
                try:
                    hive.remember("Trust me.", agent="forecaster", namespace=namespace)
                except Refused as refused:
                    why = (refused.step, refused.reason)
                print(f"{namespace}: refused, step and reason {why}")
                assert why == (5, "not_covered")

            secret = hive.remember("The minister resigns.", namespace="press/politics")
            seen = hive.recall("minister resigns", agent="forecaster")
            assert secret["id"] not in [hit["id"] for hit in seen["hits"]]
            assert seen["namespaces"] == ["press/weather"]
            print("recall: what it may not read is not there for it")

            try:
                hive.forget([inside["id"]], agent="forecaster")
            except NotPermitted as error:
                print(f"forget: {error}")
            else:
                raise AssertionError("the forecaster forgot without the right to")


if __name__ == "__main__":
    main()
