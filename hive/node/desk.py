"""The desk: enrolment, renewal and issuing where this node holds an issuer's key.

Everything made here is an ordinary record and is admitted like anybody else's. An invite is
spent once, and the ledger is durable before the answer leaves. Requests come from strangers and
from our own nodes alike; each is judged by the invite's secret or by the key it renews.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from hive.custody.signer import HeldKey
from hive.errors import HiveError, MalformedFrame, NotPermitted, StateError
from hive.node import clocks
from hive.node.home import software_key
from hive.node.paperwork import (
    FIND_AGENT,
    REBIRTH,
    RENEW_AGENT,
    RENEW_NODE,
    EnrolmentLetter,
    EnrolmentReply,
    RenewalLetter,
    RenewalReply,
)
from hive.node.signers import Signers
from hive.protocol.core import OwnNode
from hive.protocol.ports import PutMeta, StoreReader
from hive.trust.capability import Capability
from hive.trust.envelope import Signed
from hive.trust.invite import (
    EnrolmentAnswer,
    EnrolmentRequest,
    Honoured,
    Invite,
    InviteLedger,
    InviteReason,
    seal_answer,
    write_invite,
)
from hive.trust.issuing import (
    NodePlace,
    issue_agent,
    issue_node,
    narrowed,
    renew_agent,
    renew_node,
)
from hive.trust.keys import PublicKey, is_sound, verify
from hive.trust.links import issuable_of
from hive.trust.records import AgentRecord, IssuerRecord, NodeRecord
from hive.trust.sealing import NONCE_BYTES
from hive.trust.state import TrustState
from hive.trust.tls import issue_leaf
from hive.wire.codec import Array, Octets, decode_untrusted, encode
from hive.wire.ids import DIGEST_BYTES, Digest, RecordId

LEDGER_META: Final = "invites"
LEDGER_BYTES_MAX: Final = 16 * 1024 * 1024
INVITE_HOURS_MAX: Final = 24
HOUR_MS: Final = 3_600_000
REFUSAL_COUNT_MAX: Final = 64
"""Refusals that wait to be logged; strangers cause them."""
_LEDGER: Final = Array(Octets(1, 65_536), 4_096)


class Desk:
    """Issues for one organisation; `is_open` where this node may."""

    def __init__(
        self, trust: TrustState, own: OwnNode, signers: Signers, reader: StoreReader
    ) -> None:
        self._trust = trust
        self._own = own
        self._signers = signers
        self._ledger = InviteLedger()
        kept = reader.meta(LEDGER_META)
        if kept:
            bodies = decode_untrusted(kept, _LEDGER, bytes_max=LEDGER_BYTES_MAX)
            self._ledger.restore(bodies)
        self.refusals: deque[str] = deque(maxlen=REFUSAL_COUNT_MAX)

    # Who issues.

    def issuer(self) -> tuple[Signed[IssuerRecord], HeldKey] | None:
        """The valid issuer record that lives longest, of keys in this node's custody."""
        now_ms = clocks.read().wall_us // 1_000
        found: tuple[Signed[IssuerRecord], HeldKey] | None = None
        ends_ms = 0
        for signed in self._trust.records_of(IssuerRecord):
            record = signed.record
            assert isinstance(record, IssuerRecord)
            named = self._signers.find(record.key.digest)
            chain = self._trust.chain_of(signed.id)
            if named is None or chain is None or not isinstance(named.signer, HeldKey):
                continue
            if chain.not_after_ms < ends_ms or not chain.is_valid_at(now_ms):
                continue
            if not self._trust.is_revoked(chain):
                typed = Signed(record, signed.body, signed.signatures, signed.id)
                found, ends_ms = (typed, named.signer), chain.not_after_ms
        return found

    @property
    def is_open(self) -> bool:
        """Whether this node can issue now."""
        return self.issuer() is not None

    def _require_issuer(self) -> tuple[Signed[IssuerRecord], HeldKey]:
        found = self.issuer()
        if found is None:
            raise NotPermitted(
                "this node holds no valid issuer key",
                hint="ask on the node where your organisation's issuer key lives",
            )
        return found

    def deputy(self) -> tuple[Signed[NodeRecord], HeldKey] | None:
        """This node's own record, where it holds `issue_agent` and lives."""
        now_ms, record = clocks.read().wall_us // 1_000, self._own.record
        signed, chain = self._trust.signed(record), self._trust.chain_of(record)
        named = self._signers.find(self._own.key.digest)
        if signed is None or chain is None or named is None:
            return None
        if not isinstance(signed.record, NodeRecord) or not issuable_of(signed.record):
            return None
        if not isinstance(named.signer, HeldKey) or not chain.is_valid_at(now_ms):
            return None
        if self._trust.is_revoked(chain):
            return None
        typed = Signed(signed.record, signed.body, signed.signatures, signed.id)
        return typed, named.signer

    def agent_parent(self) -> tuple[Signed[IssuerRecord] | Signed[NodeRecord], HeldKey] | None:
        """Who signs agents here: the issuer, else this node as its deputy."""
        return self.issuer() or self.deputy()

    def require_agent_parent(self) -> tuple[Signed[IssuerRecord] | Signed[NodeRecord], HeldKey]:
        """The same; raises `NotPermitted` where this node may issue no agent."""
        found = self.agent_parent()
        if found is None:
            raise NotPermitted(
                "this node holds no valid issuer key, and no `issue_agent` of its own",
                hint="ask on the node where your organisation's issuer key lives, or be invited "
                "there with `hive invite NODE --allow NAMESPACE=issue_agent,…`",
            )
        return found

    def may_renew(self, kind: str) -> bool:
        """Whether this desk may answer a letter of its own node."""
        return self.is_open or (kind == RENEW_AGENT and self.deputy() is not None)

    def path_to(self, record: RecordId) -> tuple[bytes, ...]:
        """The envelopes from R(0) to an admitted record."""
        chain = self._trust.chain_of(record)
        ids = chain.record_ids if chain else ()
        found = [signed for each in ids if (signed := self._trust.signed(each)) is not None]
        return tuple(signed.to_bytes() for signed in found)

    def leaf_for(self, record: RecordId) -> bytes:
        """The TLS leaf of a node record that this desk's own issuer signed, else nothing."""
        signed, found = self._trust.signed(record), self.issuer()
        if signed is None or found is None or not isinstance(signed.record, NodeRecord):
            return b""
        issuer = self._trust.signed(RecordId(signed.record.issuer_record))
        if issuer is None or not isinstance(issuer.record, IssuerRecord):
            return b""
        held = self._signers.find(issuer.record.key.digest)
        if held is None or not isinstance(held.signer, HeldKey):
            return b""
        return issue_leaf(signed.record, issuer.record, software_key(held.signer))

    # Invites.

    def invite(
        self,
        *,
        kind: str,
        name: str,
        region: str,
        capabilities: Sequence[Capability],
        addresses: Sequence[str],
        hours: int,
    ) -> tuple[str, PutMeta]:
        """A new invite as text, and the ledger to keep before it is given away."""
        if not 1 <= hours <= INVITE_HOURS_MAX:
            raise StateError(
                f"{hours} hours", hint=f"an invite lives 1 to {INVITE_HOURS_MAX} hours"
            )
        signed, _ = self._require_issuer()
        now_ms = clocks.read().wall_us // 1_000
        root, org = self._trust.root, self._trust.chain_of(signed.id)
        if root is None or org is None:
            raise StateError("the issuer's chain is not known here", hint="restore its records")
        invite = Invite(
            federation=self._trust.federation,
            root=root.id,
            org=org.org_name,
            issuer=signed.record.inception,
            addresses=tuple(addresses),
            kind=kind,
            name=name,
            region=region,
            capabilities=narrowed(signed.record.capabilities, capabilities),
            secret=clocks.entropy(DIGEST_BYTES),
            not_before_ms=now_ms,
            not_after_ms=now_ms + hours * HOUR_MS,
        )
        self._ledger.issue(invite, now_ms)
        return write_invite(invite).decode("ascii"), self._kept()

    def _kept(self) -> PutMeta:
        return PutMeta(LEDGER_META, encode(self._ledger.export()))

    def enrol(self, letter: EnrolmentLetter) -> tuple[EnrolmentReply, PutMeta | None, bytes]:
        """Answers a joiner: the reply, the ledger to keep first, and the new record's envelope."""
        now_ms = clocks.read().wall_us // 1_000
        try:
            judged = self._ledger.spend(letter.sealed, now_ms)
        except MalformedFrame as error:
            self.refusals.append(f"enrolment: {error}")
            return EnrolmentReply(b"", b""), None, b""
        if not isinstance(judged, Honoured):
            self.refusals.append(f"invite {judged.reason.value}: {judged.detail}")
            is_counted = judged.reason is InviteReason.USED  # else strangers' letters cost writes
            return EnrolmentReply(b"", b""), self._kept() if is_counted else None, b""
        try:
            return self._enrol(judged)
        except HiveError as error:
            answer = EnrolmentAnswer(records=(), refusal=str(error)[:200])
            sealed = seal_answer(judged.invite.secret, answer, clocks.entropy(NONCE_BYTES))
            return EnrolmentReply(sealed, b""), self._kept(), b""

    def _enrol(self, judged: Honoured) -> tuple[EnrolmentReply, PutMeta, bytes]:
        issuer, held = self._require_issuer()
        request = judged.request
        made: Signed[NodeRecord] | Signed[AgentRecord]
        leaf = b""
        before = self._made_before(judged, issuer) if judged.is_repeat else None
        if before is not None:
            answer = EnrolmentAnswer(records=self.path_to(before), refusal="")
            sealed = seal_answer(judged.invite.secret, answer, clocks.entropy(NONCE_BYTES))
            return EnrolmentReply(sealed, self.leaf_for(before)), self._kept(), b""
        if judged.invite.kind == "node":
            made = self._new_node(issuer, held, judged.invite, request)
            leaf = issue_leaf(made.record, issuer.record, software_key(held))
        else:
            made = self._new_agent(issuer, held, judged.invite, request)
        answer = EnrolmentAnswer(records=(*self.path_to(issuer.id), made.to_bytes()), refusal="")
        sealed = seal_answer(judged.invite.secret, answer, clocks.entropy(NONCE_BYTES))
        return EnrolmentReply(sealed, leaf), self._kept(), made.to_bytes()

    def _made_before(self, judged: Honoured, issuer: Signed[IssuerRecord]) -> RecordId | None:
        """What the same letter was given before; said again it earns nothing new."""
        found = self._of_key(judged.request.key, issuer.record.org)
        if found is not None:
            chain = self._trust.chain_of(found)
            if chain is None or self._trust.is_revoked(chain):
                raise NotPermitted("what this invite gave was revoked")
        elif clocks.read().wall_us // 1_000 > judged.invite.not_after_ms:
            raise NotPermitted("the invite has ended")
        return found

    def _of_key(self, key: PublicKey, org: bytes) -> RecordId | None:
        """The newest node or agent record of a key in an organisation."""
        newest: tuple[int, RecordId] | None = None
        for signed in (
            *self._trust.records_of(NodeRecord),
            *self._trust.records_of(AgentRecord),
        ):
            record = signed.record
            assert isinstance(record, NodeRecord | AgentRecord)
            if record.key == key and record.org == org:
                newest = max(newest or (0, signed.id), (record.not_before_ms, signed.id))
        return newest[1] if newest else None

    def _new_node(
        self,
        issuer: Signed[IssuerRecord],
        held: HeldKey,
        invite: Invite,
        request: EnrolmentRequest,
    ) -> Signed[NodeRecord]:
        return issue_node(
            issuer,
            held,
            name=invite.name or request.name,
            key=request.key,
            datagram_key=request.datagram_key,
            next_key_digest=Digest(request.next_key_digest),
            place=NodePlace(
                invite.region or request.region,
                request.zone,
                request.cell,
                request.storage_backends,
            ),
            custody_class=request.custody_class,
            capabilities=invite.capabilities,
            not_before_ms=clocks.read().wall_us // 1_000,
        )

    def _new_agent(
        self,
        issuer: Signed[IssuerRecord],
        held: HeldKey,
        invite: Invite,
        request: EnrolmentRequest,
    ) -> Signed[AgentRecord]:
        return issue_agent(
            issuer,
            held,
            name=invite.name or request.name,
            key=request.key,
            next_key_digest=Digest(request.next_key_digest),
            custody_class=request.custody_class,
            capabilities=invite.capabilities,
            not_before_ms=clocks.read().wall_us // 1_000,
        )

    # Agents.

    def agent(
        self,
        *,
        name: str,
        key: PublicKey,
        next_key_digest: Digest,
        custody_class: str,
        capabilities: Sequence[Capability],
        hours: int = 24,
    ) -> Signed[AgentRecord]:
        """A new agent with narrowed capabilities; the record is still to be admitted."""
        parent, held = self.require_agent_parent()
        return issue_agent(
            parent,
            held,
            name=name,
            key=key,
            next_key_digest=next_key_digest,
            custody_class=custody_class,
            capabilities=capabilities,
            not_before_ms=clocks.read().wall_us // 1_000,
            life_ms=hours * HOUR_MS,
        )

    # Renewal.

    def renew(self, letter: RenewalLetter) -> tuple[RenewalReply, bytes]:
        """Re-signs a record of this organisation for whoever holds its key.

        Only the newest of an identity: a letter said again, by whoever overheard it, is answered
        with what it earned before and mints nothing.
        """
        try:
            return self._renew(letter)
        except HiveError as error:
            self.refusals.append(f"{letter.kind}: {error}")
            return RenewalReply((), b"", str(error)[:200]), b""

    def _renew(self, letter: RenewalLetter) -> tuple[RenewalReply, bytes]:
        if letter.kind == FIND_AGENT:
            return self._found(letter), b""
        parent, held = self._parent_for(letter.kind)
        old = self._trust.signed(RecordId(letter.record_id))
        chain = self._trust.chain_of(RecordId(letter.record_id))
        if old is None or chain is None:
            raise StateError("the record is not known here")
        if chain.org != parent.record.org or self._trust.is_revoked(chain):
            raise NotPermitted("the record is another organisation's, or was revoked")
        if not verify(chain.key, "renewal", letter.subject(), letter.signature):
            raise NotPermitted("the request is not signed by the record's key")
        if not is_sound(letter.key):
            raise NotPermitted("the new key is no sound key")
        newest = self._of_key(letter.key if letter.kind == REBIRTH else chain.key, chain.org)
        if newest is not None and newest != old.id:
            return RenewalReply(self.path_to(newest), self.leaf_for(newest), ""), b""
        made = self._renewed(letter, parent, held, old)
        leaf = b""
        if isinstance(made.record, NodeRecord) and isinstance(parent.record, IssuerRecord):
            leaf = issue_leaf(made.record, parent.record, software_key(held))
        records = (*self.path_to(parent.id), made.to_bytes())
        return RenewalReply(records, leaf, ""), made.to_bytes()

    def _parent_for(self, kind: str) -> tuple[Signed[IssuerRecord] | Signed[NodeRecord], HeldKey]:
        return self.require_agent_parent() if kind == RENEW_AGENT else self._require_issuer()

    def _found(self, letter: RenewalLetter) -> RenewalReply:
        """The newest record of an agent, for who shows that it holds its key."""
        if not is_sound(letter.key):
            raise NotPermitted("the key is no sound key")
        if not verify(letter.key, "renewal", letter.subject(), letter.signature):
            raise NotPermitted("the request is not signed by the key")
        found = self._of_key(letter.key, self._own.org)
        signed = self._trust.signed(found) if found else None
        if found is None or signed is None or not isinstance(signed.record, AgentRecord):
            raise StateError("no agent of this organisation has this key")
        return RenewalReply(self.path_to(found), b"", "")

    def _renewed(
        self,
        letter: RenewalLetter,
        parent: Signed[IssuerRecord] | Signed[NodeRecord],
        held: HeldKey,
        old: Signed,  # type: ignore[type-arg]
    ) -> Signed[NodeRecord] | Signed[AgentRecord]:
        now_ms = clocks.read().wall_us // 1_000
        record = old.record
        if letter.kind == RENEW_AGENT and isinstance(record, AgentRecord):
            return renew_agent(parent, held, old, not_before_ms=now_ms)
        issuer, held = self._require_issuer()
        if letter.kind == RENEW_NODE and isinstance(record, NodeRecord):
            key = letter.datagram_key
            return renew_node(issuer, held, old, datagram_key=key, not_before_ms=now_ms)
        if letter.kind == REBIRTH and isinstance(record, NodeRecord):
            return issue_node(
                issuer,
                held,
                name=record.name,
                key=letter.key,
                datagram_key=letter.datagram_key,
                next_key_digest=Digest(letter.next_key_digest),
                place=NodePlace(record.region, record.zone, record.cell, record.storage_backends),
                custody_class=record.custody_class,
                capabilities=record.capabilities,
                not_before_ms=now_ms,
            )
        raise StateError(f"{letter.kind!r} does not fit the record")
