"""What a peer is made of: every bound and interval, and what it reads and asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from hive.protocol.authorship import AuthorshipConfig
from hive.protocol.budget import BudgetConfig
from hive.protocol.core import CustodyPort
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.dissemination.config import DisseminationConfig
from hive.protocol.freshness import FreshnessConfig
from hive.protocol.introductions import IntroductionConfig
from hive.protocol.judgement import (
    IngressConfig,
)
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.rings import HierarchyConfig
from hive.protocol.membership.view import View
from hive.protocol.ports import DurabilityPort, EpochPort, LawPort, StoreReader
from hive.protocol.quota import QuotaConfig
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.recordkeeping import RecordkeepingConfig
from hive.protocol.waiting import WaitingConfig
from hive.trust.state import TrustConfig, TrustState


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """Every bound and interval of a peer, one part each."""

    trust: TrustConfig = field(default_factory=TrustConfig)
    ingress: IngressConfig = field(default_factory=IngressConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    quota: QuotaConfig = field(default_factory=QuotaConfig)
    waiting: WaitingConfig = field(default_factory=WaitingConfig)
    freshness: FreshnessConfig = field(default_factory=FreshnessConfig)
    authorship: AuthorshipConfig = field(default_factory=AuthorshipConfig)
    recordkeeping: RecordkeepingConfig = field(default_factory=RecordkeepingConfig)
    introduction: IntroductionConfig = field(default_factory=IntroductionConfig)
    membership: SwimConfig = field(default_factory=SwimConfig.for_lan)
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig.for_lan)
    discovery: DiscoveryConfig = field(default_factory=DiscoveryConfig.for_lan)
    dissemination: DisseminationConfig = field(default_factory=DisseminationConfig.for_lan)
    reconciliation: ReconciliationConfig = field(default_factory=ReconciliationConfig.for_lan)
    interest: tuple[str, ...] = ("",)
    """Namespace prefixes this node wants pushed; "" wants everything it may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPorts:
    """What a peer reads, and the law it asks.

    `trust` and `members` are what it knows before it reads anything: peers of one process that
    know the same may share the one and begin with views of one base.
    """

    reader: StoreReader
    custody: CustodyPort
    epochs: EpochPort
    law: LawPort
    durability: DurabilityPort
    trust: TrustState | None = None
    members: View | None = None
