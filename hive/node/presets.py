"""The bounds and intervals of every machine, by the network that the operator names."""

from __future__ import annotations

from hive.node.config import NodeConfig
from hive.protocol.budget import BudgetConfig
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.dissemination.config import DisseminationConfig
from hive.protocol.membership.config import SwimConfig
from hive.protocol.peer_config import PeerConfig
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.transport.datagram_config import DatagramConfig
from hive.transport.stream_config import StreamConfig


def peer_config(settings: NodeConfig) -> PeerConfig:
    """The peer's machines."""
    if settings.network == "lan":
        return PeerConfig(budget=BudgetConfig.for_lan())
    return PeerConfig(
        membership=SwimConfig.for_internet(),
        discovery=DiscoveryConfig.for_internet(),
        dissemination=DisseminationConfig.for_internet(),
        reconciliation=ReconciliationConfig.for_internet(),
    )


def stream_config(settings: NodeConfig) -> StreamConfig:
    """TLS streams."""
    return StreamConfig.for_lan() if settings.network == "lan" else StreamConfig.for_internet()


def datagram_config(settings: NodeConfig) -> DatagramConfig:
    """Sealed datagrams."""
    is_lan = settings.network == "lan"
    return DatagramConfig.for_lan() if is_lan else DatagramConfig.for_internet()
