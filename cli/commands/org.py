"""`hive org`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import command, group
from ..inputs import NAMESPACE, NEW_FILE, OLD_FILE
from ..session import Session
from .found import FEDERATION, FOUNDER, OUTPUT, YES


@group("org", example="hive org propose dora.card --federation federation.root -o dora.proposal")
def org() -> None:
    """Enrol an organisation in a federation that exists, or renew it: propose, sign, combine.

    The newcomer makes its card with `hive found card`. What is combined is admitted at any node.
    """


@command(
    "propose",
    example="hive org propose dora.card --federation federation.root -o dora.proposal",
    has_home=False,
)
@click.argument("card", type=OLD_FILE, required=False)
@click.option(
    "--renew",
    "renewed",
    type=NAMESPACE,
    multiple=True,
    help="Renew this organisation and its issuers instead; repeat for more.",
)
@click.option(
    "--issuers-only",
    is_flag=True,
    help="With --renew: the issuers alone, signed by the keepers of the organisations' keys.",
)
@FEDERATION
@OUTPUT
def propose(
    session: Session,
    card: Path | None,
    renewed: tuple[str, ...],
    issuers_only: bool,
    federation: Path,
    output: Path,
) -> None:
    """Propose the organisation whose CARD this is; mail the file to the root's holders.

    An organisation's record lives 90 days; with --renew the same keys get new dates.
    """
    from ..ceremonies import propose_org
    from ..renewals import propose_renewed

    if (card is None) != bool(renewed) or (issuers_only and not renewed):
        raise click.UsageError("give a CARD, or --renew with the names of organisations")
    if card is not None:
        propose_org(session, card, federation, output)
    else:
        propose_renewed(session, renewed, federation, output, issuers_only=issuers_only)


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


@command("renew", example="hive org renew --dir acme-founder --home acme-1")
@FOUNDER
@click.option(
    "--founder-passphrase-fd",
    type=click.IntRange(min=0),
    metavar="FD",
    help="Read the passphrase of the founder's keyring from this descriptor.",
)
@click.option("--federation", type=OLD_FILE, help="Go on from this file, without a node.")
@click.option("-o", "--output", type=NEW_FILE, help="Beside --federation: the file to make.")
def renew(
    session: Session,
    directory: Path,
    founder_passphrase_fd: int | None,
    federation: Path | None,
    output: Path | None,
) -> None:
    """Renew the organisation's issuer at this node, with the founder's keys.

    An issuer's record lives 30 days. Where the founder's keys lie on another machine, make a
    file there with --federation and -o, and give it to a node: `hive org admit`.
    """
    from ..renewals import renew_at_node, renew_in_file

    if (federation is None) != (output is None):
        raise click.UsageError("--federation and --output go together")
    if federation is None or output is None:
        renew_at_node(session, directory, founder_passphrase_fd)
    else:
        renew_in_file(session, directory, founder_passphrase_fd, federation, output)


@command("admit", example="hive org admit renewed.root --home acme-1")
@click.argument("file", type=OLD_FILE)
def admit(session: Session, file: Path) -> None:
    """Admit a federation's FILE at this node, which passes what is new on to the others."""
    from ..renewals import admit_file

    admit_file(session, file)


for _command in (propose, sign, combine, renew, admit):
    org.add_command(_command)
