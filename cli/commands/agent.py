"""`hive agent`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..command import command, group
from ..inputs import ALLOW, INVITE_BYTES_MAX, NAMESPACE, read_file_bounded
from ..moments import moment
from ..output import table
from ..session import Session


@group("agent", example="hive agent list")
def agent() -> None:
    """Issue, list and renew the agents of this node: who may write and recall what."""


@command("issue", example="hive agent issue scribe --allow acme/research=remember,recall")
@click.argument("name", type=NAMESPACE)
@click.option(
    "--allow",
    "allowed",
    type=ALLOW,
    multiple=True,
    metavar="PREFIX=ACTIONS",
    help="One capability; repeat for more.  [default: all that the issuer may give]",
)
@click.option("--region", "regions", multiple=True, help="Only from this region.")
@click.option("--assertion", "assertions", multiple=True, help="What the issuer vouches for.")
@click.option("--hours", type=click.IntRange(1, 24), default=24, show_default=True)
@click.option(
    "--custody",
    type=click.Choice(["file", "ssh-agent"]),
    default="file",
    show_default=True,
    help="Who holds the agent's key.",
)
@click.option(
    "--ssh-key",
    "ssh_keys",
    multiple=True,
    metavar="KEY",
    help="With ssh-agent: the key's comment or fingerprint, then its successor's.",
)
def issue(
    session: Session,
    name: str,
    allowed: tuple[dict[str, Any], ...],
    regions: tuple[str, ...],
    assertions: tuple[str, ...],
    hours: int,
    custody: str,
    ssh_keys: tuple[str, ...],
) -> None:
    """Issue an agent whose capabilities are narrowed from those of the issuer, or of this node.

    A node that was invited with `issue_agent` issues within what it was given. The agent's key is
    made here and stays here, or it is one that the ssh-agent of the node's `SSH_AUTH_SOCK` holds:
    then a software key of an hour signs in its place. The record renews itself while the node is
    up.
    """
    if (custody == "ssh-agent") != (len(ssh_keys) == 2):
        raise click.UsageError("--custody ssh-agent and two --ssh-key go together")
    if (regions or assertions) and not allowed:
        raise click.UsageError("--region and --assertion narrow what --allow names")
    capabilities = [
        {**each, "regions": list(regions), "assertions": list(assertions)} for each in allowed
    ]
    made = session.call(
        "agent_issue",
        name=name,
        capabilities=capabilities,
        hours=hours,
        ssh_keys=list(ssh_keys),
    )
    session.emit(made, _shown([made]))


@command("join", example="hive agent join scout.invite")
@click.argument("invite", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
def join(session: Session, invite: Path) -> None:
    """Enrol an agent of this node through an invite, where this node cannot issue itself.

    INVITE is the file of `hive invite NAME --kind agent` on a node that holds the issuer's key, or
    `-` for stdin. The agent's key is made here and stays here.
    """
    untrusted = read_file_bounded(invite, INVITE_BYTES_MAX)
    made = session.call("agent_join", invite=untrusted.decode("utf-8", "replace"))
    session.emit(made, _shown([made]))


@command("list", example="hive agent list --json")
def list_(session: Session) -> None:
    """List the agents whose keys this node holds, and what they may do."""
    found = session.call("agents")
    session.emit(found, _shown(found["agents"]))
    if not found["agents"]:
        session.say("No agent yet; issue one with `hive agent issue NAME`.")


@command("renew", example="hive agent renew scribe")
@click.argument("name", type=NAMESPACE)
def renew(session: Session, name: str) -> None:
    """Renew an agent's record now: the same key and rights under new dates."""
    made = session.call("agent_renew", name=name)
    session.emit(made, _shown([made]))


def _shown(agents: list[dict[str, Any]]) -> str:
    rows = []
    for each in agents:
        rights = "; ".join(
            f"{right['prefix'] or 'everywhere'}: {','.join(right['actions'])}"
            + (f" from {','.join(right['regions'])}" if right["regions"] else "")
            for right in each["capabilities"]
        )
        state = "valid until" if each["valid"] else "not valid, ended"
        rows.append(
            (
                each["name"],
                each["inception"][:12],
                f"{state} {moment(each['not_after_ms'])}",
                rights,
            )
        )
    return table(rows)


for _command in (issue, join, list_, renew):
    agent.add_command(_command)
