"""`hive demo`: a real federation on loopback, measured and attacked; every line comes from it.

Three organisations found it, six node processes carry it, a seventh peer attacks it. Nothing is
scripted: each line is asked of the nodes, and what does not go as promised ends the demo.

`run`         the acts in their order, and what is left behind
`federation`  founding, joining by invite, starting and stopping
`member`      one node process: its home, its log, its control socket
`stage`       what the person sees while it runs, and the figures it gathers
`corpus`      real texts: docstrings of the standard library
`joining` `spreading` `recalling` `attacking` `crashing` `forgetting`   one act each
`intruder`    the hostile peer: a valid node identity and hand-made deltas
"""

from __future__ import annotations

from .run import run

__all__ = ["run"]
