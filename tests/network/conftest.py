"""Namespaces or a reason why not; one federation of six for all tests of faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from network_federation import Federation, federation, places, six
from network_hosts import why_impossible
from node_processes import Launcher


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--namespaces", action="store_true", help="fail, instead of skip, without namespaces"
    )


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    found = Launcher()
    yield found
    found.close()


@pytest.fixture(scope="session")
def namespaces(request: pytest.FixtureRequest) -> None:
    """Every test over real hosts stands on this."""
    reason = why_impossible()
    if reason and request.config.getoption("--namespaces"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def shared(
    namespaces: None, launcher: Launcher, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp("hosts")
    with federation(folder, places(12), "six hosts", launcher) as made:
        yield six(made)


@pytest.fixture
def six_hosts(shared: Federation) -> Iterator[Federation]:
    """Six running hosts, whole and without a fault; healed again after each test."""
    shared.network.heal()
    shared.start(*[host for host in list(shared.hosts.values())[:6] if not host.is_running])
    yield shared
    shared.network.heal()
