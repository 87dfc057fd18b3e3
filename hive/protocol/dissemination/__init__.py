"""Dissemination: new deltas reach interested members at once; reconciliation heals the rest.

`disseminator`  the door: the views of cell and ring, and the trees over both
`views`         HyParView: with whom streams are kept
`places`        a view's neighbours, and each org's share of them
`plumtree`      PlumTree: which of them get payloads, and which digests
`edges`         links, and how each tree uses them
`parcels`       payloads packed into messages
`payloads`      ids seen, and payloads kept for grafts
`missing`       ids announced and not brought, and whom to ask when
`messages`      what the machines say
`events`        what enters and what leaves
`config`        every interval and bound
"""
