"""TLS contexts: built when first needed, thrown away when trust or identity changes."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from hive.errors import ConfigError, TransportError
from hive.wire.version import OWN, Versions

ALPN_PREFIX: Final = "hive/"


class TlsContexts:
    """What this node shows and whom it trusts; open streams keep the context they began with.

    Streams carry the newest protocol version that both sides name in TLS's own negotiation.
    `leaf_pem` is leaf and private key (`trust.tls.leaf_pem`), None for a node that is not
    enrolled yet and can neither serve nor be known.
    """

    def __init__(
        self, leaf_pem: bytes | None, anchors: Sequence[bytes], versions: Versions = OWN
    ) -> None:
        self._versions = versions
        self._leaf_pem = leaf_pem
        self._anchors = tuple(anchors)
        self._server: ssl.SSLContext | None = None
        self._client: ssl.SSLContext | None = None

    def present(self, leaf_pem: bytes) -> None:
        """Shows another leaf from the next stream on."""
        self._leaf_pem, self._server, self._client = leaf_pem, None, None

    def trust(self, anchors: Sequence[bytes]) -> None:
        """Trusts exactly these issuers from the next stream on."""
        if tuple(anchors) != self._anchors:
            self._anchors, self._server, self._client = tuple(anchors), None, None

    def server(self) -> ssl.SSLContext:
        """Asks for a certificate, accepts none; a certificate that is shown must be good."""
        if self._server is None:
            if self._leaf_pem is None:
                raise ConfigError("a node without a leaf cannot serve", hint="enrol it first")
            self._server = self._make(ssl.PROTOCOL_TLS_SERVER, ssl.CERT_OPTIONAL)
            self._server.num_tickets = 0
        return self._server

    def client(self) -> ssl.SSLContext:
        """Shows our leaf and demands one."""
        if self._client is None:
            self._client = self._make(ssl.PROTOCOL_TLS_CLIENT, ssl.CERT_REQUIRED)
        return self._client

    def unsafe_client(self) -> ssl.SSLContext:
        """Shows nothing and believes anything; for enrolment only."""
        return self._bare(ssl.PROTOCOL_TLS_CLIENT, ssl.CERT_NONE)

    def _make(self, protocol: int, mode: ssl.VerifyMode) -> ssl.SSLContext:
        context = self._bare(protocol, mode)
        # An anchor is trusted because its issuer's record was verified, whoever signed it.
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        try:
            if self._anchors:
                context.load_verify_locations(cadata=b"".join(self._anchors))
            if self._leaf_pem is not None:
                with _as_file(self._leaf_pem) as path:
                    context.load_cert_chain(path)
        except OSError as error:  # no descriptor left, say; the next stream tries again
            raise TransportError(f"no TLS context could be made: {error}") from None
        return context

    def _bare(self, protocol: int, mode: ssl.VerifyMode) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.check_hostname = False
        context.verify_mode = mode
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(list(alpn_of(self._versions)))
        return context


def alpn_of(versions: Versions) -> tuple[str, ...]:
    """What TLS negotiates among, newest first."""
    return tuple(f"{ALPN_PREFIX}{n}" for n in range(versions.newest, versions.floor - 1, -1))


@contextmanager
def _as_file(secret: bytes) -> Iterator[str]:
    """A path that the ssl module can read: in memory on Linux, else a file only we may read."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("hive-leaf", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, secret)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(secret)
        file.flush()
        yield file.name
