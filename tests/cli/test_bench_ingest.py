"""The benchmark of ingest measures what it says, on a few deltas and untimed."""

from __future__ import annotations

import json

from cli.bench import ingest


def test_every_row_of_the_ingest_benchmark_runs_and_is_reported():
    report = ingest.measure(deltas_count=320, rounds_count=1)
    assert len(report.rows) == 6 + len(ingest.REFUSED_STEPS)
    assert all(row.per_second > 0 and row.limit_per_second > 0 for row in report.rows)
    assert all(row.name in report.text() for row in report.rows)
    assert json.loads(json.dumps(report.as_dict()))["goal_met"] == report.goal_met
