"""`hive join`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import command
from ..inputs import ADDRESS, INVITE_BYTES_MAX, NAMESPACE, read_file_bounded
from ..session import Session
from ..views import emit_made


@command("join", example="hive join berlin.invite --home hive-berlin --listen 192.0.2.7:7440")
@click.argument("invite", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--name", type=NAMESPACE, help="The node's; the invite's otherwise.")
@click.option("--listen", type=ADDRESS, default="127.0.0.1:7440", show_default=True)
@click.option("--advertise", default="", help="The numeric address that peers should use.")
def join(session: Session, invite: Path, name: str | None, listen: str, advertise: str) -> None:
    """Make a node's home with nothing but an invite, and enrol the node.

    INVITE is the file that `hive invite` made, or `-` for stdin. The inviting node must be up; an
    invite serves once.
    """
    untrusted = read_file_bounded(invite, INVITE_BYTES_MAX)
    from hive.node.enrolment import join as enrol

    made = enrol(
        session.home,
        untrusted.decode("utf-8", "replace"),
        name=name or "",
        listen=listen,
        advertise=advertise,
        passphrase=session.new_passphrase(),
    )
    emit_made(session, made)
