"""Floor 7: trio: the only place with nurseries, real clocks and real randomness.

`clocks`         both clocks, read together; secret randomness
`home`           a node's folder: configuration, keys, store, projections
`config`         what an operator sets: default < file < environment < flag
`identity`       who this node is: found in its store, renewed, told from a copy
`rebirth`        a copied or restored store gets an identity of its own
`acquaintances`  whom to greet first: addresses, names, the peers of the last run
`book`           what transport asks of the trust state
`presets`        bounds and intervals by the network that the operator names
`signers`        the keys this node can sign with
`workers`        batches of signatures checked in threads
`projector`      feeds the store's tail to the recall projections
`whereabouts`    which addresses a node announces, and when they change
`datagrams`      the datagram machine on a UDP socket
`inbox`          events that wait for the peer, each sender's in turn
`links`          streams to peers, each with a bounded outbox
`driver`         performs a peer's effects: store, then send, then answer
`desk`           enrolment, renewal and issuing where this node holds an issuer's key
`paperwork`      what nodes and issuers say to each other
`errands`        paperwork said by who has no leaf to show
`kin`            where our own organisation's nodes, and everybody, are found again
`leaf`           the TLS leaf: kept, checked, made anew
`upkeep`         own records renewed before they end
`household`      one person's root, organisation and issuer renewed where one keyring can
`enrolment`      joining a federation with nothing but an invite
`cards`          what an organisation says of itself before a ceremony, and its keys
`newcomers`      agents that join a node which cannot issue, by invite
`ceremony`       founding a federation and enrolling an organisation, by files
`founded`        a federation's file: root, organisations and issuers, verified when read
`renewal`        issuers, organisations and roots that live on under new dates
`member`         the first node of an organisation in a founded federation
`agents`         the agents of this node: issued, listed, renewed
`sessions`       software keys of an hour for agents whose own keys lie outside
`governance`     what an operator does to identities: invite, rotate, revoke
`reports`        what a node says of itself: status, peers, metrics, findings
`tree`           regions, clusters, cells and who speaks for them
`views`          what users see of deltas, peers and the node's state
`arguments`      what a verb takes, told from its signature
`drafting`       what users say, checked and turned into bodies
`api`            the verbs that users call, one home for CLI, client and surfaces
`control`        the verbs over a socket in the node's folder
`metrics`        counters
`exposition`     the counters of every machine in the text format of Prometheus
`logs`           structured log lines
`node`           joins them all
"""
