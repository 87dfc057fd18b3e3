"""The first node of an organisation in a founded federation.

The organisation's root and org keys stay in the founder's keyring; only the issuer's key moves
into the node's, because that node enrols, renews and revokes from then on.
"""

from __future__ import annotations

from pathlib import Path

from hive.custody.file import FileKeyring
from hive.custody.passphrase import Passphrase, from_unlock_file
from hive.custody.signer import MissingPassphrase
from hive.node import clocks
from hive.node.cards import ISSUER_KEY
from hive.node.config import NodeConfig
from hive.node.founded import issuer_for, read_federation
from hive.node.home import (
    AGENT_PREFIX,
    ISSUER,
    NODE,
    Home,
    Made,
    make_datagram_key,
    make_folder,
    make_pair,
    require_names,
    settle,
    software_key,
)
from hive.transport.addresses import parse_address
from hive.trust.envelope import Signed
from hive.trust.issuing import NodePlace, issue_agent, issue_node
from hive.trust.records import AgentRecord, IssuerRecord, NodeRecord


def open_founder(founder: Path, passphrase: Passphrase | None) -> FileKeyring:
    """The founder's keyring; without a passphrase its unlock file serves."""
    found = passphrase or from_unlock_file(founder)
    if found is None:
        raise MissingPassphrase(
            "the founder's keyring needs its passphrase",
            hint="answer the prompt, or name an open descriptor in HIVE_PASSPHRASE_FD",
        )
    return FileKeyring(founder, found, clocks.entropy)


def initialise_member(
    path: Path,
    *,
    founder: Path,
    federation_file: Path,
    name: str,
    region: str,
    zone: str = "zone-1",
    cell: str = "cell-1",
    agent_name: str = "me",
    listen: str = "127.0.0.1:7440",
    advertise: str = "",
    bootstrap: tuple[str, ...] = (),
    founder_passphrase: Passphrase | None = None,
    passphrase: Passphrase | None = None,
) -> Made:
    """Makes a home whose node holds the organisation's issuer key; verifies everything first."""
    require_names(name, region, agent_name)
    host, port = parse_address(listen)
    now_ms = clocks.read().wall_us // 1_000
    founder_keys = open_founder(founder, founder_passphrase)
    founded = read_federation(federation_file.read_bytes(), now_ms)
    org = founded.org_of(founder_keys)
    issuer = issuer_for(founded, founder_keys, now_ms)
    keyring = make_folder(path, passphrase)
    held, following = founder_keys.signer(ISSUER_KEY), founder_keys.next_signer(ISSUER_KEY)
    keyring.create(ISSUER, software_key(held).seed, software_key(following).seed)
    node, agent = _first_records(keyring, issuer, name, agent_name, NodePlace(region, zone, cell))
    settings = NodeConfig(
        name=name,
        federation=founded.state.federation.hex(),
        agent=agent_name,
        namespace=org.record.namespaces[0],
        listen=host,
        advertise=advertise,
        udp_port=port,
        tls_port=port,
        bootstrap=bootstrap,
    )
    records = dict.fromkeys((*founded.envelopes, issuer.to_bytes()))
    settle(Home(path), settings, (*records, node.to_bytes(), agent.to_bytes()))
    return Made(
        path=path,
        federation=settings.federation,
        name=name,
        org=org.record.name,
        agent=agent_name,
        namespaces=org.record.namespaces,
        custody_class=keyring.custody_class,
    )


def _first_records(
    keyring: FileKeyring,
    issuer: Signed[IssuerRecord],
    name: str,
    agent_name: str,
    place: NodePlace,
) -> tuple[Signed[NodeRecord], Signed[AgentRecord]]:
    """The node's and the first agent's record, signed by the issuer."""
    now_ms, signer = clocks.read().wall_us // 1_000, keyring.signer(ISSUER)
    pair = make_pair(keyring, NODE)
    node = issue_node(
        issuer,
        signer,
        name=name,
        key=pair.key.public,
        datagram_key=make_datagram_key(keyring),
        next_key_digest=pair.next_key_digest,
        place=place,
        custody_class=keyring.custody_class,
        not_before_ms=now_ms,
    )
    first = make_pair(keyring, AGENT_PREFIX + agent_name)
    agent = issue_agent(
        issuer,
        signer,
        name=agent_name,
        key=first.key.public,
        next_key_digest=first.next_key_digest,
        custody_class=keyring.custody_class,
        capabilities=issuer.record.capabilities,
        not_before_ms=now_ms,
    )
    return node, agent
