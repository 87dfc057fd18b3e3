"""A defect inside a verb ends that request and not the node."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import trio

from hive.node import control
from hive.node.api import Api
from hive.node.home import Home, initialise
from hive.node.logs import Log
from hive.node.node import running


async def defective() -> dict[str, Any]:
    raise ZeroDivisionError("a bug")


async def unspeakable() -> dict[str, Any]:
    return {"value": object()}


def test_a_defect_in_a_verb_is_told_and_logged_and_the_node_goes_on(tmp_path: Path) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    home, lines = Home(tmp_path / "home"), io.StringIO()

    async def main() -> list[dict[str, Any]]:
        settings = home.settings()
        async with running(home, settings, None, is_online=False, log=Log(lines)) as node:
            api = Api(node)
            api.verbs = {**api.verbs, "defective": defective, "unspeakable": unspeakable}
            asked = [b'{"verb": "defective"}', b'{"verb": "unspeakable"}', b'{"verb": "status"}']
            return [json.loads(await control._answered(api, line)) for line in asked]

    broken, mute, well = trio.run(main)
    assert "ZeroDivisionError" in broken["error"]["message"]
    assert "TypeError" in mute["error"]["message"]
    assert well["ok"]["node"]["name"] == "laptop"
    assert "verb_failed" in lines.getvalue()
