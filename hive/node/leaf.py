"""This node's TLS leaf: kept, checked, and made anew where the key of its issuer is here."""

from __future__ import annotations

from pathlib import Path

from hive.custody.keyfile import write_private
from hive.errors import StoreError
from hive.node.desk import Desk
from hive.node.logs import Log
from hive.protocol.core import Core
from hive.trust.records import IssuerRecord, NodeRecord
from hive.trust.tls import verify_leaf
from hive.wire.ids import RecordId


class Leaf:
    """The certificate that streams show."""

    def __init__(self, path: Path, core: Core, desk: Desk, log: Log) -> None:
        self._path = path
        self._core = core
        self._desk = desk
        self._log = log

    def is_own(self, untrusted_der: bytes) -> bool:
        """Whether a TLS leaf is the one of this node's newest record, by its issuer."""
        signed = self._core.trust.signed(self._core.own.record)
        if signed is None or not isinstance(signed.record, NodeRecord):
            return False
        issuer = self._core.trust.signed(RecordId(signed.record.issuer_record))
        if issuer is None or not isinstance(issuer.record, IssuerRecord):
            return False
        return verify_leaf(untrusted_der, signed.record, issuer.record.key)

    def take(self, untrusted_der: bytes) -> None:
        """Keeps what a renewal brought, where it is our record's."""
        if self.is_own(untrusted_der):
            write_private(self._path, untrusted_der)

    def kept_or_made(self) -> bytes:
        """The kept leaf where it is the newest record's; an issuer makes its own."""
        try:
            der = self._path.read_bytes() if self._path.exists() else b""
            if self.is_own(der):
                return der
            if der:
                self._log.write(
                    "warning", "leaf_unusable", reason=f"{self._path} is not our record's"
                )
            made = self._desk.leaf_for(self._core.own.record)
            if made:
                write_private(self._path, made)
        except (OSError, StoreError) as error:
            self._log.write("error", "leaf_not_kept", reason=str(error))
            made = self._desk.leaf_for(self._core.own.record)
        return made
