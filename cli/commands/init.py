"""`hive init`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import command
from ..inputs import ADDRESS, NAMESPACE, OLD_FILE, SEED
from ..session import Session
from ..views import emit_made


@command("init", example="hive init --org home --agent me")
@click.option("--name", type=NAMESPACE, default="laptop", show_default=True, help="The node's.")
@click.option("--org", default="home", type=NAMESPACE, show_default=True, help="Its owner's name.")
@click.option("--agent", type=NAMESPACE, default="me", show_default=True, help="The first agent.")
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    type=NAMESPACE,
    multiple=True,
    help="An owned namespace; repeat for more.  [default: the org's name, and commons]",
)
@click.option("--region", default="local", show_default=True, help="Where the node stands.")
@click.option("--listen", type=ADDRESS, default="127.0.0.1:7440", show_default=True)
@click.option("--advertise", default="", help="The numeric address that peers should use.")
@click.option("--bootstrap", type=SEED, multiple=True, help="A node to greet first.")
@click.option(
    "--founder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="The founder's keyring, for the first node of an organisation.",
)
@click.option("--federation", type=OLD_FILE, help="The federation's file, beside --founder.")
@click.option(
    "--founder-passphrase-fd",
    type=click.IntRange(min=0),
    metavar="FD",
    help="Read the passphrase of the founder's keyring from this descriptor.",
)
def init(
    session: Session,
    name: str,
    org: str,
    agent: str,
    namespaces: tuple[str, ...],
    region: str,
    listen: str,
    advertise: str,
    bootstrap: tuple[str, ...],
    founder: Path | None,
    federation: Path | None,
    founder_passphrase_fd: int | None,
) -> None:
    """Make a node's home: one person's federation, or an organisation's first node.

    Alone it founds a federation of one on this machine. With --founder and --federation it makes
    the first node of an organisation that was founded or enrolled by the ceremony.
    """
    if (founder is None) != (federation is None):
        raise click.UsageError("--founder and --federation go together")
    if founder and namespaces:
        raise click.UsageError("with --founder the namespaces are those of the federation's file")
    if founder is None or federation is None:
        from hive.node.home import initialise

        made = initialise(
            session.home,
            name=name,
            org_name=org,
            namespaces=namespaces,
            agent_name=agent,
            region=region,
            listen=listen,
            passphrase=session.new_passphrase(),
        )
    else:
        from hive.node.member import initialise_member

        made = initialise_member(
            session.home,
            founder=founder,
            federation_file=federation,
            name=name,
            region=region,
            agent_name=agent,
            listen=listen,
            advertise=advertise,
            bootstrap=bootstrap,
            founder_passphrase=session.passphrase(founder, founder_passphrase_fd),
            passphrase=session.new_passphrase(),
        )
    emit_made(session, made)
