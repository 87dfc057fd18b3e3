"""`hive org`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import command, group
from ..inputs import OLD_FILE
from ..session import Session
from .found import FOUNDER, OUTPUT, YES

FEDERATION = click.option(
    "--federation", type=OLD_FILE, required=True, help="The federation's file."
)


@group("org", example="hive org propose dora.card --federation federation.root -o dora.proposal")
def org() -> None:
    """Enrol an organisation in a federation that exists: propose, sign, combine.

    The newcomer makes its card with `hive found card`.
    """


@command(
    "propose",
    example="hive org propose dora.card --federation federation.root -o dora.proposal",
    has_home=False,
)
@click.argument("card", type=OLD_FILE)
@FEDERATION
@OUTPUT
def propose(session: Session, card: Path, federation: Path, output: Path) -> None:
    """Propose the organisation whose CARD this is; mail the file to the root's holders."""
    from ..ceremonies import propose_org

    propose_org(session, card, federation, output)


@command("sign", example="hive org sign dora.proposal --dir acme-founder -o a.sig", has_home=False)
@click.argument("proposal", type=OLD_FILE)
@FOUNDER
@OUTPUT
@YES
def sign(session: Session, proposal: Path, directory: Path, output: Path, yes: bool) -> None:
    """Show a proposal and sign it with a root holder's keys; mail the file back."""
    from ..ceremonies import sign_file

    sign_file(session, proposal, directory, output, is_agreed=yes)


@command(
    "combine",
    example="hive org combine dora.proposal a.sig b.sig --federation federation.root -o with-dora",
    has_home=False,
)
@click.argument("proposal", type=OLD_FILE)
@click.argument("signatures", type=OLD_FILE, nargs=-1, required=True)
@FEDERATION
@OUTPUT
def combine(
    session: Session,
    proposal: Path,
    signatures: tuple[Path, ...],
    federation: Path,
    output: Path,
) -> None:
    """Combine a proposal and its SIGNATURES into a federation's file that holds the newcomer."""
    from ..ceremonies import combine_files

    combine_files(session, proposal, signatures, output, federation)


for _command in (propose, sign, combine):
    org.add_command(_command)
