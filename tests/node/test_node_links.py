"""A free port for streams is the datagrams' own, unless somebody listens there."""

from __future__ import annotations

import socket

from hive.node.links import free_port_like


def test_a_port_on_which_somebody_listens_is_not_taken_for_streams() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert free_port_like("127.0.0.1", taken) == 0
    assert free_port_like("127.0.0.1", taken) == taken
