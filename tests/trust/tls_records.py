"""Issuer and node records for TLS; their chains are not what these tests are about."""

from __future__ import annotations

import dataclasses

from hive.trust.keys import Ed25519Key, P256Key, PublicKey
from hive.trust.records import DAY_MS, HOUR_MS, IssuerRecord, NodeRecord
from hive.wire.ids import RecordId, digest

NOW_MS = 1_800_000_000_000
FEDERATION = digest("test", b"federation")


def ed25519_key(name: str) -> Ed25519Key:
    return Ed25519Key(digest("test/key", name.encode()))


def p256_key(name: str) -> P256Key:
    return P256Key(digest("test/key", name.encode()))


def issuer_record(key: PublicKey, org: str = "acme", now_ms: int = NOW_MS) -> IssuerRecord:
    return IssuerRecord(
        federation=FEDERATION,
        inception=digest("test/issuer", key.octets),
        org=digest("test/org", org.encode()),
        org_record=digest("test/org-record", org.encode()),
        key=key,
        next_key_digest=digest("test", b"next"),
        generation=0,
        previous=b"",
        regions=(),
        capabilities=(),
        not_before_ms=now_ms - DAY_MS,
        not_after_ms=now_ms + 20 * DAY_MS,
    )


def node_record(
    key: PublicKey,
    issuer: IssuerRecord,
    name: str = "node",
    now_ms: int = NOW_MS,
    **changes: object,
) -> NodeRecord:
    record = NodeRecord(
        federation=issuer.federation,
        inception=digest("test/node", key.octets),
        org=issuer.org,
        issuer_record=issuer.id_of(issuer.to_body()),
        name=name,
        key=key,
        datagram_key=bytes(range(32)),
        next_key_digest=digest("test", b"next"),
        generation=0,
        previous=b"",
        region="eu",
        zone="eu-1",
        cell="cell",
        storage_backends=("lmdb",),
        custody_class="file",
        capabilities=(),
        not_before_ms=now_ms - HOUR_MS,
        not_after_ms=now_ms + 23 * HOUR_MS,
    )
    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]


def record_id(record: NodeRecord) -> RecordId:
    return RecordId(record.id_of(record.to_body()))
