"""What several commands show alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .output import outline
from .session import Session

if TYPE_CHECKING:
    from hive.node.home import Made


def emit_made(session: Session, made: Made) -> None:
    """A new home, and what comes next."""
    data = {
        "home": str(made.path),
        "federation": made.federation,
        "node": made.name,
        "org": made.org,
        "agent": made.agent,
        "namespaces": list(made.namespaces),
        "custody_class": made.custody_class,
    }
    session.emit(data, outline(data))
    session.say("Next: `hive up` to meet others, or `hive remember` at once.")
