"""The virtual world: the shipped machines, unchanged, under virtual time and seeded faults.

It stands on hive and beside nothing; `cli` loads it for `hive simulate`. Everything follows from
one seed, to the bit. The lower modules drive whatever they are given: whole peers, or single
machines in statistical tests.

    def deliver(destination, source, event): ...       # a machine's `handle`, its effects posted
    engine = Engine(deliver, entities=1_000)
    network = Network(topology, seed)
    packet = network.packet(source, destination, len(payload), engine.now_us)
    engine.post(packet.at_us - engine.now_us, destination, source, event)
    engine.run(until_us=60_000_000)
    engine.digest()                                    # equal for equal histories

`engine`        a calendar of events in one order, virtual time, the running hash
`network`       what becomes of each packet, and what it costs
`disturbances`  what can be wrong with links, as data
`topology`      regions, clusters, zones; latency between them
`cells`         membership alone: cells and rings under faults and liars
`cell_figures`  how fast deaths are noticed, who dies falsely, what quiet costs
`draws`         cheap keyed randomness
`gossip`        dissemination alone: shipped views and trees, the rest modelled
`gossip_figures` its redundancy, hops and latency beside their goals
`fleet`         whole peers in great number, in cells that begin settled
`fleet_run`     a fleet over worker processes, and what it came to
`settlement`    settled cells: what is equal for all members exists once
`calibration`   what engine and network cost by themselves

Worlds of whole peers:

`trial`         a case is run through its phases and judged
`scenario`      what a world is made of, as TOML (`scenarios/`)
`swarm`         which faults a seed draws
`faults`        faults as data
`users`         what users do, as data
`promises`      P1 to P14 as checks
`liars`         Byzantine nodes: a real machine with a liar around it
`world`         nodes, links, time; effects performed as a driver does
`links`         first contact, datagrams and streams between nodes
`happenings`    what can be due at a node
`nodes`         a peer, its disk, clocks, keys and processor
`disks`         pending against durable, and what a crash leaves
`clocks`        skew, drift, jumps
`signatures`    real verification, paid once
`sweep`         many seeds over a grid of settings, resumable
`pool`          worker processes; one that dies is a finding
`shrinking`     the smallest part of a case that still fails
`mutants`       shipped machines with one thing wrong, to be caught
`federation`    a federation with every key at hand

What is reported:

`experiments`   which studies with which settings make the rows of the report
`studies`       one run of one seed of each machine, measured
`lookups`       discovery alone: lookups right after peers died
`timeline`      the course of a trial, second by second
`results`       rows, read and grouped by what was run
`origin`        the machine, versions and commit of a row
`statistics`    quantiles without memory, intervals over seeds
`theory`        what papers expect, to stand beside
`plots`         static plots as SVG
`report`        all sections of the report
`report_figures` those of single machines
`report_worlds` those of whole peers
`report_pages`  HTML and its twin in Markdown
`compare`       which figures moved beyond their intervals
"""
