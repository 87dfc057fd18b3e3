"""X.509 for mutual TLS: anchors derived from issuer records, leaves bound to node records.

An issuer needs no certificate of its own: its anchor is a function of its attested record, the
same bytes on every peer, and trusted because the record's chain was verified. A trust anchor's
own signature proves nothing (RFC 5280 section 6.1.1 takes name and key only), so the anchor
carries one by a key that everybody knows, and nothing accepts it as proof.

A leaf says: subject CN = id of the node record (hex), URI name
`spiffe://<federation>/<org>/node/<inception>`, validity = the record's, key = the node's own
or one that stands in for it where the node's key cannot leave its hardware; the issuer's
signature vouches for the binding. Serials are digests, so the same leaf is the same bytes
(Ed25519; a P-256 issuer signs with fresh randomness).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hive.errors import ConfigError, MalformedFrame
from hive.trust.keys import ED25519, P256, Ed25519Key, P256Key, PublicKey, is_sound
from hive.trust.records import IssuerRecord, NodeRecord
from hive.wire.codec import encode
from hive.wire.ids import DIGEST_BYTES, FederationId, Inception, RecordId, digest

LEAF_BYTES_MAX: Final = 4_096
_SERIAL_BYTES: Final = 19
_MS_PER_S: Final = 1_000
_LAST_S: Final = 253_402_300_799
"""9999-12-31, the last second X.509 can say."""
_SPIFFE: Final = "spiffe://"

_ALGORITHM: Final = {
    ED25519: bytes.fromhex("300506032b6570"),
    P256: bytes.fromhex("300a06082a8648ce3d040302"),
}
"""The algorithm in DER that stands between the signed part of a certificate and its signature."""

_NO_LEAF: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

SoftwareKey = Ed25519Key | P256Key
_PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
_AnyPublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class LeafName:
    """What a leaf says of its holder; true once `verify_leaf` said so."""

    federation: FederationId
    org: Inception
    inception: Inception
    node_record_id: RecordId


def issuer_anchor(record: IssuerRecord) -> bytes:
    """The DER trust anchor of an issuer whose record was verified."""
    everybodys_key = ed25519.Ed25519PrivateKey.from_private_bytes(digest("hive/tls-anchor", b""))
    name = _issuer_name(record)
    public = _to_library(record.key)
    builder = (
        _validity(x509.CertificateBuilder(), record.not_before_ms, record.not_after_ms)
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(_serial("hive/tls-anchor-serial", record.to_body()))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_issuer=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(everybodys_key, None).public_bytes(Encoding.DER)


def issue_leaf(
    record: NodeRecord,
    issuer: IssuerRecord,
    issuer_key: SoftwareKey,
    tls_key: PublicKey | None = None,
) -> bytes:
    """The DER leaf of a node record, signed by the issuer whose key is at hand.

    `tls_key` stands in for the record's key where that one cannot be used by a TLS library.
    """
    if issuer_key.public != issuer.key:
        raise ConfigError("the key is not the issuer record's", hint="unlock the issuer's own key")
    key = tls_key or record.key
    record_id = record.id_of(record.to_body())
    issuer_public = _to_library(issuer.key)
    builder = (
        _validity(x509.CertificateBuilder(), record.not_before_ms, record.not_after_ms)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, record_id.hex())]))
        .issuer_name(_issuer_name(issuer))
        .public_key(_to_library(key))
        .serial_number(_serial("hive/tls-leaf-serial", encode((record_id, key.to_plain()))))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_issuer=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(_uri(record))]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False
        )
    )
    return builder.sign(*_signing(issuer_key)).public_bytes(Encoding.DER)


def read_leaf_untrusted(untrusted_der: bytes) -> LeafName:
    """What a leaf claims; raises `MalformedFrame`."""
    certificate = _certificate_untrusted(untrusted_der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        federation, org, kind, inception = uri.removeprefix(_SPIFFE).split("/")
    except _NO_LEAF as error:
        raise MalformedFrame(f"not a node's leaf: {type(error).__name__}") from None
    if not uri.startswith(_SPIFFE) or kind != "node":
        raise MalformedFrame("a leaf's URI names no node")
    return LeafName(
        FederationId(_from_hex(federation)),
        Inception(_from_hex(org)),
        Inception(_from_hex(inception)),
        RecordId(_from_hex(str(common_name.value))),
    )


def verify_leaf(untrusted_der: bytes, record: NodeRecord, issuer_key: PublicKey) -> bool:
    """Whether the issuer's key signed this leaf for exactly this record.

    The caller has verified the record's chain and that `issuer_key` is of its issuer record;
    time is judged by the record's validity, which the leaf repeats to the second.
    """
    try:
        name = read_leaf_untrusted(untrusted_der)
        certificate = _certificate_untrusted(untrusted_der)
    except MalformedFrame:
        return False
    if not _is_wrapped_plainly(untrusted_der, certificate, issuer_key):
        return False
    if not _is_signed_by(certificate, issuer_key):
        return False
    expected = LeafName(
        FederationId(record.federation),
        Inception(record.org),
        Inception(record.inception),
        RecordId(record.id_of(record.to_body())),
    )
    validity = (_moment(record.not_before_ms), _moment(record.not_after_ms))
    found = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    return name == expected and found == validity


def leaf_key_untrusted(untrusted_der: bytes) -> PublicKey:
    """The public key inside a leaf; raises `MalformedFrame`."""
    try:
        return _from_library(_certificate_untrusted(untrusted_der).public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise MalformedFrame("a leaf's key has an unknown algorithm") from None


def leaf_pem(der: bytes, key: SoftwareKey) -> bytes:
    """Leaf and private key in one PEM, as TLS libraries load them. Secret."""
    private = _private(key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate_pem(der) + private


def certificate_pem(der: bytes) -> bytes:
    """A certificate as PEM."""
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def _certificate_untrusted(untrusted_der: bytes) -> x509.Certificate:
    if len(untrusted_der) > LEAF_BYTES_MAX:
        raise MalformedFrame("a certificate is too long")
    try:
        return x509.load_der_x509_certificate(untrusted_der)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise MalformedFrame("not a certificate") from None


def _is_wrapped_plainly(
    untrusted_der: bytes, certificate: x509.Certificate, key: PublicKey
) -> bool:
    """Whether nothing but the key's algorithm and the signature stands around what is signed."""
    signature = _der(0x03, b"\x00" + certificate.signature)
    inside = certificate.tbs_certificate_bytes + _ALGORITHM[key.algorithm] + signature
    return _der(0x30, inside) == untrusted_der


def _der(tag: int, content: bytes) -> bytes:
    """One DER element with its shortest length."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _is_signed_by(certificate: x509.Certificate, key: PublicKey) -> bool:
    if not is_sound(key):
        return False
    public, body = _to_library(key), certificate.tbs_certificate_bytes
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(certificate.signature, body)
        else:
            public.verify(certificate.signature, body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _issuer_name(record: IssuerRecord) -> x509.Name:
    """Inception and generation: a rotated issuer has another name."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, record.inception.hex()),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, str(record.generation)),
        ]
    )


def _uri(record: NodeRecord) -> str:
    return f"{_SPIFFE}{record.federation.hex()}/{record.org.hex()}/node/{record.inception.hex()}"


def _serial(label: str, body: bytes) -> int:
    return int.from_bytes(digest(label, body)[:_SERIAL_BYTES], "big") | 1


def _moment(at_ms: int) -> datetime.datetime:
    """The second in which a time lies; X.509 knows no finer."""
    return datetime.datetime.fromtimestamp(min(at_ms // _MS_PER_S, _LAST_S), datetime.UTC)


def _validity(
    builder: x509.CertificateBuilder, not_before_ms: int, not_after_ms: int
) -> x509.CertificateBuilder:
    return builder.not_valid_before(_moment(not_before_ms)).not_valid_after(_moment(not_after_ms))


def _key_usage(*, is_issuer: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_issuer,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_issuer,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: SoftwareKey) -> _PrivateKey:
    if isinstance(key, Ed25519Key):
        return ed25519.Ed25519PrivateKey.from_private_bytes(key.seed)
    return key._private


def _signing(key: SoftwareKey) -> tuple[_PrivateKey, hashes.SHA256 | None]:
    return _private(key), None if isinstance(key, Ed25519Key) else hashes.SHA256()


def _to_library(key: PublicKey) -> _AnyPublicKey:
    if key.algorithm == ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(key.octets)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.octets)


def _from_library(key: object) -> PublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey(ED25519, key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return PublicKey(P256, key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))
    raise ValueError("neither Ed25519 nor P-256")


def _from_hex(text: str) -> bytes:
    """Exactly the lower-case hex of a digest; raises `MalformedFrame`."""
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        raise MalformedFrame("a leaf's name is not hex") from None
    if len(octets) != DIGEST_BYTES or octets.hex() != text:
        raise MalformedFrame("a leaf's name is no digest")
    return octets
