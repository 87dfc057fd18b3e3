"""The benchmark of lookups, small: its rows are what they say."""

from __future__ import annotations

from cli.bench.discovery import LookupReport, cost, under_loss


def test_lookups_in_a_small_village_are_right_and_their_report_is_plain() -> None:
    loss = under_loss(peer_count=30, lookup_count=10)
    row = cost(peer_count=6, lookup_count=5)
    assert [each.loss_percent for each in loss] == [0, 2, 5]
    assert all(each.right_share == 1.0 for each in loss[:2])
    assert row.right_share == 1.0
    assert row.datagrams_per_lookup == 2 * 5
    report = LookupReport(loss, row)
    assert report.as_dict()["goal_met"] == report.goal_met
    assert len(report.text().splitlines()) == 2 + 3 + 3
