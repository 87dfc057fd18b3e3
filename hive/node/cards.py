"""What an organisation tells the others about itself before a ceremony, and the keys behind it.

The secrets stay in the founder's keyring, under the names `root`, `org` and `issuer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from hive.custody.signer import Entropy, Keyring
from hive.errors import ConfigError, MalformedFrame
from hive.memory.namespaces import GRAMMAR_HINT, is_namespace
from hive.trust.armour import armour, unarmour
from hive.trust.capability import (
    ASSERTION_COUNT_MAX,
    CAPABILITY_COUNT_MAX,
    NAME_BYTES_MAX,
    NAMESPACE_BYTES_MAX,
    REGION_COUNT_MAX,
)
from hive.trust.issuing import NODE_QUOTA, identity_of, org_inception
from hive.trust.keys import SEED_BYTES, PublicKey
from hive.trust.records import KEY_COUNT_MAX, RECORD_BYTES_MAX, IssuerRecord, RootRecord
from hive.wire.codec import Array, Integer, Octets, Text
from hive.wire.ids import DIGEST_BYTES, Inception
from hive.wire.schema import Many, Record, record

CARD: Final = "HIVE ORGANISATION CARD"
ROOT_KEY, ORG_KEY, ISSUER_KEY = KEY_NAMES = ("root", "org", "issuer")

_Id = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_Names = Annotated[tuple[str, ...], Array(Text(NAME_BYTES_MAX), REGION_COUNT_MAX)]


@record("card", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class Card(Record):
    """What an organisation tells the others about itself: nothing secret, nothing proven yet."""

    name: Annotated[str, Text(NAME_BYTES_MAX)]
    namespaces: Annotated[tuple[str, ...], Array(Text(NAMESPACE_BYTES_MAX), CAPABILITY_COUNT_MAX)]
    regions: _Names
    assertions: Annotated[tuple[str, ...], Array(Text(NAME_BYTES_MAX), ASSERTION_COUNT_MAX)]
    node_quota: Annotated[int, Integer(1, 1_000_000)]
    root_key: PublicKey
    root_next: _Id
    org_key: PublicKey
    org_next: _Id
    org_threshold: Annotated[int, Integer(1, KEY_COUNT_MAX)]
    keeper_keys: Annotated[tuple[PublicKey, ...], Many(KEY_COUNT_MAX - 1)]
    keeper_nexts: Annotated[tuple[bytes, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), 15)]
    issuer_key: PublicKey
    issuer_next: _Id

    @property
    def org(self) -> Inception:
        """The identity that the organisation will have."""
        return org_inception(self.org_keys, self.org_nexts)

    @property
    def org_keys(self) -> tuple[PublicKey, ...]:
        """The organisation's keys: the founder's and those of its keepers."""
        return (self.org_key, *self.keeper_keys)

    @property
    def org_nexts(self) -> tuple[bytes, ...]:
        """The commitments to their successors."""
        return (self.org_next, *self.keeper_nexts)

    @property
    def issuer(self) -> Inception:
        """The identity that its issuer will have."""
        return identity_of(IssuerRecord, self.org, self.issuer_key, self.issuer_next)


def make_keys(keyring: Keyring, entropy: Entropy) -> None:
    """Makes the founder's keys, each with its successor; those that are there stay."""
    for name in KEY_NAMES:
        if name not in keyring.names():
            keyring.create(name, entropy(SEED_BYTES), entropy(SEED_BYTES))


def make_card(
    keyring: Keyring,
    *,
    name: str,
    namespaces: Sequence[str],
    regions: Sequence[str] = (),
    assertions: Sequence[str] = (),
    node_quota: int = NODE_QUOTA,
    keepers: Sequence[Card] = (),
    org_threshold: int = 1,
) -> Card:
    """The card of an organisation under the keyring's keys; raises `ConfigError`.

    `keepers` are cards of others in the organisation, each with an org key of its own: so many of
    all these keys as `org_threshold` sign what is the organisation's.
    """
    for namespace in namespaces:
        if not is_namespace(namespace):
            raise ConfigError(f"{namespace!r} is no namespace", hint=GRAMMAR_HINT)
    if not name or not namespaces:
        raise ConfigError("an organisation has a name and namespaces", hint="name at least one")
    _require_keepers(name, keepers, org_threshold)
    publics = [keyring.signer(key).public for key in KEY_NAMES]
    nexts = [keyring.next_signer(key).public.digest for key in KEY_NAMES]
    return Card(
        name=name,
        namespaces=tuple(dict.fromkeys(namespaces)),
        regions=tuple(sorted(set(regions))),
        assertions=tuple(sorted(set(assertions))),
        node_quota=node_quota,
        root_key=publics[0],
        root_next=nexts[0],
        org_key=publics[1],
        org_next=nexts[1],
        org_threshold=org_threshold,
        keeper_keys=tuple(keeper.org_key for keeper in keepers),
        keeper_nexts=tuple(keeper.org_next for keeper in keepers),
        issuer_key=publics[2],
        issuer_next=nexts[2],
    )


def _require_keepers(name: str, keepers: Sequence[Card], org_threshold: int) -> None:
    if any(keeper.name != name for keeper in keepers):
        raise ConfigError(
            "a keeper's card is another organisation's", hint=f"make it with `--org {name}`"
        )
    if not 1 <= org_threshold <= 1 + len(keepers) or len(keepers) >= KEY_COUNT_MAX:
        raise ConfigError(
            f"{org_threshold} of {1 + len(keepers)} keys cannot sign for the organisation",
            hint="name the cards of more keepers, or a lower threshold",
        )


def make_succession_card(keyring: Keyring, own: Card, root: RootRecord, entropy: Entropy) -> Card:
    """The card for a root's successor: reveals the committed root key and commits to another.

    Where the root in force has the revealed key already, that one is past and moves on first.
    """
    if any(entry.key == keyring.next_signer(ROOT_KEY).public for entry in root.keys):
        keyring.promote(ROOT_KEY)
    following = keyring.stage(ROOT_KEY, entropy(SEED_BYTES))
    revealed = keyring.next_signer(ROOT_KEY).public
    return replace(own, root_key=revealed, root_next=following.digest)


def write_card(card: Card) -> bytes:
    """The card as text."""
    return armour(CARD, card.to_body())


def read_card(untrusted: bytes) -> Card:
    """The card again; raises `MalformedFrame` saying what is wrong with the file."""
    card = Card.from_body_untrusted(unarmour(CARD, untrusted))
    bad = [namespace for namespace in card.namespaces if not is_namespace(namespace)]
    if bad or not card.name:
        raise MalformedFrame(f"the card claims {bad or 'no name'}", hint=GRAMMAR_HINT)
    return card
