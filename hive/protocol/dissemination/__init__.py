"""Dissemination: new deltas reach interested members at once; reconciliation heals the rest.

`push`  own deltas to every interested, admissible member, coalesced and bounded
"""
