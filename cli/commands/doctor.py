"""`hive doctor`."""

from __future__ import annotations

from typing import Any

import click

from ..command import command
from ..output import REFUSED, plain
from ..session import Session


@command("doctor", example="hive doctor || echo 'this node refuses writes'")
def doctor(session: Session) -> None:
    """Examine this node and say for each finding its cause and its remedy.

    Every reason for which ingress refused something is explained. The exit code is 3 when the
    node refuses writes now.
    """
    found = session.call("doctor")
    session.emit(found, "\n\n".join(_shown(finding) for finding in found["findings"]))
    if found["refuses_writes"]:
        session.say("This node refuses writes.")
        click.get_current_context().exit(REFUSED)
    if not found["findings"]:
        session.say("Nothing was found; this node takes writes.")


def _shown(finding: dict[str, Any]) -> str:
    step = finding.get("step")
    place = f", step {step}" if step not in (None, "", -1) else ""
    detail = f" ({finding['detail']})" if finding.get("detail") else ""
    return plain(
        f"{finding['severity']}: {finding['code']}{place}{detail}\n"
        f"  cause:  {finding['cause']}\n  remedy: {finding['remedy']}"
    )
