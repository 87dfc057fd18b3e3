"""`hive found`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import command, group
from ..inputs import NAMESPACE, NEW_FILE, OLD_FILE
from ..session import Session

FOUNDER = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="The founder's keyring.",
)
OUTPUT = click.option(
    "-o", "--output", type=NEW_FILE, required=True, help="The file to make; never overwritten."
)
FEDERATION = click.option(
    "--federation", type=OLD_FILE, required=True, help="The federation's file."
)
YES = click.option("--yes", is_flag=True, help="Sign without asking at the terminal.")


@group("found", example="hive found show federation.root")
def found() -> None:
    """Found a federation: cards, a proposal, signatures and the federation's file, all mailable.

    Each organisation makes a card; one proposes; each signs; anybody combines.
    """


@command(
    "card",
    example="hive found card --org acme --namespace acme --dir acme-founder -o acme.card",
    has_home=False,
)
@click.option("--org", type=NAMESPACE, required=True, help="The organisation's name.")
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    type=NAMESPACE,
    multiple=True,
    required=True,
    help="A namespace to own, the first being the default; repeat for more.",
)
@click.option("--region", "regions", multiple=True, help="Only these regions; all otherwise.")
@click.option("--assertion", "assertions", multiple=True, help="What its issuer may vouch for.")
@click.option("--nodes", type=click.IntRange(1, 1_000_000), default=64, show_default=True)
@click.option(
    "--keeper",
    "keepers",
    type=OLD_FILE,
    multiple=True,
    help="The card of one more keeper of the organisation's keys; repeat for more.",
)
@click.option(
    "--keys-needed",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="How many of its keepers sign for the organisation together.",
)
@FOUNDER
@OUTPUT
def card(
    session: Session,
    org: str,
    namespaces: tuple[str, ...],
    regions: tuple[str, ...],
    assertions: tuple[str, ...],
    nodes: int,
    keepers: tuple[Path, ...],
    keys_needed: int,
    directory: Path,
    output: Path,
) -> None:
    """Make an organisation's keys and the card that tells the others about them.

    Where several people keep the organisation's keys, each makes a card under the same --org; one
    of them then makes that of all with --keeper and --keys-needed.

    The secrets stay in DIR; keep it offline and back it up (`hive keys backup --dir`). The same
    command again makes the same card.
    """
    from ..ceremonies import make_card_file

    make_card_file(
        session,
        directory,
        output,
        name=org,
        namespaces=namespaces,
        regions=regions,
        assertions=assertions,
        node_quota=nodes,
        keepers=keepers,
        org_threshold=keys_needed,
    )


@command(
    "propose",
    example="hive found propose --name world --threshold 2 acme.card bell.card corp.card -o p",
    has_home=False,
)
@click.argument("cards", type=OLD_FILE, nargs=-1, required=True)
@click.option("--name", type=NAMESPACE, required=True, help="The federation's name.")
@click.option(
    "--threshold",
    type=click.IntRange(1, 16),
    required=True,
    help="How many of the founders decide together.",
)
@OUTPUT
def propose(
    session: Session, cards: tuple[Path, ...], name: str, threshold: int, output: Path
) -> None:
    """Propose a federation of the founders whose CARDS these are; mail the file to each."""
    from ..ceremonies import propose_federation

    propose_federation(session, cards, name, threshold, output)


@command("sign", example="hive found sign proposal --dir acme-founder -o acme.sig", has_home=False)
@click.argument("proposal", type=OLD_FILE)
@FOUNDER
@OUTPUT
@YES
def sign(session: Session, proposal: Path, directory: Path, output: Path, yes: bool) -> None:
    """Show a proposal and sign it with the founder's keys; mail the file back."""
    from ..ceremonies import sign_file

    sign_file(session, proposal, directory, output, is_agreed=yes)


@command(
    "combine",
    example="hive found combine proposal acme.sig bell.sig -o federation.root",
    has_home=False,
)
@click.argument("proposal", type=OLD_FILE)
@click.argument("signatures", type=OLD_FILE, nargs=-1, required=True)
@OUTPUT
def combine(session: Session, proposal: Path, signatures: tuple[Path, ...], output: Path) -> None:
    """Combine a proposal and its SIGNATURES into the federation's file, fully verified.

    Every organisation makes its first node of it: `hive init --founder DIR --federation FILE`.
    """
    from ..ceremonies import combine_files

    combine_files(session, proposal, signatures, output)


@command("show", example="hive found show proposal", has_home=False)
@click.argument("file", type=OLD_FILE)
def show(session: Session, file: Path) -> None:
    """Show what a card, proposal or federation's file says, and whether it is whole."""
    from ..ceremonies import show_file

    show_file(session, file)


@command(
    "succeed",
    example="hive found succeed --dir acme-founder --federation federation.root -o acme.next",
    has_home=False,
)
@FOUNDER
@FEDERATION
@OUTPUT
def succeed(session: Session, directory: Path, federation: Path, output: Path) -> None:
    """Make a root holder's card for the root's successor, under the key committed to.

    A root lives 400 days. Its holders mail these cards to one of them, for `hive found renew`.
    """
    from ..renewals import make_succession_file

    make_succession_file(session, directory, federation, output)


@command(
    "renew",
    example="hive found renew acme.next bell.next --federation federation.root -o successor",
    has_home=False,
)
@click.argument("cards", type=OLD_FILE, nargs=-1, required=True)
@FEDERATION
@OUTPUT
def renew(session: Session, cards: tuple[Path, ...], federation: Path, output: Path) -> None:
    """Propose the root's successor from the holders' new CARDS; a holder without one stays.

    Then `hive org sign`, `hive org combine` and `hive org admit`, as for an organisation.
    """
    from ..renewals import propose_successor

    propose_successor(session, cards, federation, output)


for _command in (card, propose, sign, combine, show, succeed, renew):
    found.add_command(_command)
