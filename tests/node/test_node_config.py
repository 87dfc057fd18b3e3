"""What an operator sets: order of sources, clear refusals, and a README that lists all of it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from hive.errors import ConfigError
from hive.node import config
from hive.node.config import NodeConfig

README = Path(__file__).parents[2] / "README.md"


def test_every_setting_stands_in_the_readme_with_its_default() -> None:
    section = README.read_text(encoding="utf-8").split("## Configuration")[1].split("\n## ")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", section, re.MULTILINE))
    expected = {
        field.name: f"`{field.default}`" if field.default not in ("", ()) else "none"
        for field in dataclasses.fields(NodeConfig)
    }
    assert listed == expected


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    config.write(file, NodeConfig(name="a", udp_port=1, tls_port=2, map_mib_max=64))
    found = config.load(file, {"HIVE_UDP_PORT": "3", "HIVE_TLS_PORT": "4"}, {"tls_port": 5})
    assert (found.map_mib_max, found.udp_port, found.tls_port) == (64, 3, 5)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    settings = NodeConfig(name='say "hi" \\', bootstrap=("127.0.0.1:7440", "[::1]:7440"))
    config.write(file, settings)
    assert config.load(file, {}) == settings


@pytest.mark.parametrize(
    "text",
    [
        "colour = 1",
        "udp_port = 'x'",
        "udp_port = 70000",
        "network = 'moon'",
        "embedder = 'oracle'",
        "bootstrap = [1]",
        "listen = 'no address'",
        "namespace = 'Not/OK'",
        "map_mib_max = 1",
        "= broken",
    ],
)
def test_an_unfit_setting_is_refused_with_a_hint(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(file, {})
    assert caught.value.hint
