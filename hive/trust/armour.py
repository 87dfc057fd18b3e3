"""Text armour: bytes as lines that survive copy, paste and mail, or say what happened to them.

    -----BEGIN HIVE INVITE-----
    bytes 214 check 9f2c41d07b3e55a1
    <base64, 64 characters a line>
    -----END HIVE INVITE-----

Text around it, quoting with "> " and other line ends are tolerated; everything else is named.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

from hive.errors import MalformedFrame

LINE_CHARACTERS: Final = 64
ARMOUR_BYTES_MAX: Final = 64 * 1_024
"""A file beyond this is not read."""

_HEADER: Final = re.compile(r"bytes (\d{1,6}) check ([0-9a-f]{16})")
_RESEND: Final = "ask its sender to send the whole file again, as an attachment if mail mangled it"


def armour(title: str, payload: bytes) -> bytes:
    """The payload as text; `title` is upper-case words."""
    text = base64.b64encode(payload).decode("ascii")
    lines = [text[at : at + LINE_CHARACTERS] for at in range(0, len(text), LINE_CHARACTERS)]
    header = f"bytes {len(payload)} check {_check(title, payload)}"
    framed = [f"-----BEGIN {title}-----", header, *lines, f"-----END {title}-----", ""]
    return "\n".join(framed).encode("ascii")


def unarmour(title: str, untrusted: bytes) -> bytes:
    """The payload again; raises `MalformedFrame` saying what is wrong and what to do."""
    if len(untrusted) > ARMOUR_BYTES_MAX:
        raise MalformedFrame(f"the file exceeds {ARMOUR_BYTES_MAX} bytes", hint="is it the right?")
    lines = [
        line.strip().lstrip(">").strip()
        for line in untrusted.decode("utf-8", "replace").split("\n")
    ]
    header, body = _between(title, [line for line in lines if line])
    return _payload(title, header, body)


def _between(title: str, lines: list[str]) -> tuple[str, str]:
    begin, end = f"-----BEGIN {title}-----", f"-----END {title}-----"
    if begin not in lines:
        raise MalformedFrame(
            f"no line says {begin!r}", hint="is it the right file? Its first line may be missing"
        )
    inside = lines[lines.index(begin) + 1 :]
    if end not in inside:
        raise MalformedFrame(f"it is cut off: no line says {end!r}", hint=_RESEND)
    inside = inside[: inside.index(end)]
    if not inside:
        raise MalformedFrame("it is empty between its first and last line", hint=_RESEND)
    return inside[0], "".join(inside[1:])


def _payload(title: str, header: str, body: str) -> bytes:
    found = _HEADER.fullmatch(header)
    if found is None:
        raise MalformedFrame("its second line is damaged", hint=_RESEND)
    try:
        payload = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        payload = None
    announced = int(found[1])
    expected_characters = -(-announced // 3) * 4
    if len(body) < expected_characters:
        detail = f"{len(body)} of {expected_characters} characters are there"
        raise MalformedFrame(f"it is cut off: {detail}", hint=_RESEND)
    if payload is None or len(payload) != announced or _check(title, payload) != found[2]:
        raise MalformedFrame("it was altered on its way: its check does not fit", hint=_RESEND)
    return payload


def _check(title: str, payload: bytes) -> str:
    return hashlib.sha256(title.encode() + b"\0" + payload).hexdigest()[:16]
