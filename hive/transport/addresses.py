"""Addresses: where a datagram or stream goes; only transport knows them.

An address is (numeric host, port). Subnets are /24 for IPv4 and /48 for IPv6; budgets against
strangers are counted per subnet. Hosts that are no numeric address (a loopback network's names)
form one subnet each.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, TypeAlias

from hive.errors import ConfigError

Address: TypeAlias = tuple[str, int]

PORT_MAX: Final = 65_535
NAME_LENGTH_MAX: Final = 253
_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMBERS: Final = re.compile(r"[0-9.]+")
"""No name: an address that somebody mistyped."""
_IPV4_SUBNET_BYTES: Final = 3
_IPV6_SUBNET_BYTES: Final = 6


def subnet_of(address: Address) -> bytes:
    """The bytes that name the address's subnet."""
    host = address[0].partition("%")[0]
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return b"n" + host.encode("utf-8", "replace")
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return b"6" + parsed.packed[:_IPV6_SUBNET_BYTES]
        parsed = parsed.ipv4_mapped
    return b"4" + parsed.packed[:_IPV4_SUBNET_BYTES]


def is_numeric(host: str) -> bool:
    """Whether the host is an address; a name would have the socket ask a resolver, and wait."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def address_bytes(address: Address) -> bytes:
    """One byte string an address, for authenticators; different for different addresses."""
    return address[1].to_bytes(4, "big") + address[0].encode("utf-8", "replace")


def parse_address(text: str) -> Address:
    """`192.0.2.1:7000` or `[2001:db8::1]:7000`; raises `ConfigError`."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ConfigError(f"{text!r} is not host:port", hint="write 192.0.2.1:7000 or [::1]:7000")
    host = host.removeprefix("[").removesuffix("]")
    try:
        numeric = ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(
            f"{host!r} is not a numeric address", hint="resolve the name first; [::1]:7000 for IPv6"
        ) from None
    return str(numeric), int(port)


def parse_seed(text: str) -> Address:
    """The same, or `seed.example.org:7000` whose name has yet to be resolved."""
    host, _, port = text.rpartition(":")
    if not _NAME.fullmatch(host) or len(host) > NAME_LENGTH_MAX or _NUMBERS.fullmatch(host):
        return parse_address(text)
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= PORT_MAX):
        raise ConfigError(f"{text!r} has no port", hint="write seed.example.org:7440")
    return host.lower(), int(port)


def format_address(address: Address) -> str:
    """The text that `parse_address` reads."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
