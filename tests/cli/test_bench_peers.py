"""Goal: many peers in one process join, stay and are measured. Method: a small number of them."""

from __future__ import annotations

from cli.bench.peers import measure


def test_peers_of_two_cells_join_and_are_measured_by_part() -> None:
    found = measure(peer_count=6, cell_count=3, quiet_s=1, parts_count=3)
    plain = found.as_dict()
    assert plain["peer_count"] == 6
    assert isinstance(plain["peer_bytes"], int)  # a process that shrinks meanwhile says so
    assert 0 < found.idle_median <= found.idle_most
    assert any(name.startswith("trust.") for name in found.parts)
    assert "goal" in found.text()
