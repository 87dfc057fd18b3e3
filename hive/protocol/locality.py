"""Step 5, where a delta may be: a well-formed namespace, and this node in its admissible set (P7).

An author signs the regions that may hold a delta, and they must be those that the law names for
its namespace: so a namespace has one admissible set, which egress and relays ask the law for, and
whoever holds a delta can prove from its header alone where it may not be.
"""

from __future__ import annotations

from hive.memory.namespaces import is_namespace
from hive.protocol import refusals
from hive.protocol.judgement import Judgement, Verdict, View
from hive.protocol.refusals import Refusal


def namespace_is_well_formed(judgement: Judgement, view: View) -> Verdict | None:
    if is_namespace(judgement.header.namespace):
        return None
    return Refusal(refusals.BAD_NAMESPACE, judgement.header.namespace[:64])


def region_is_admissible(judgement: Judgement, view: View) -> Verdict | None:
    """Nothing of it is kept, not even its id."""
    residency = judgement.header.residency
    if not residency or view.region in residency:
        return None
    return Refusal(refusals.OUTSIDE_RESIDENCY)


def residency_is_lawful(judgement: Judgement, view: View) -> Verdict | None:
    header = judgement.header
    if header.residency == view.law.regions(header.namespace):
        return None
    return Refusal(refusals.RESIDENCY_UNLAWFUL, ", ".join(header.residency))
