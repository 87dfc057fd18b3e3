"""Floor 6: adapters that carry. Imports errors, wire, trust and `protocol.machine`.

`addresses`        where something goes; subnets
`datagram`         the sans-I/O machine of sealed datagrams
`datagram_config`  its bounds
`events`           what it hears and asks for
`first_contact`    how strangers become contacts
`conversations`    first contacts under way
`paging`           records that do not fit one datagram
`contacts`         peers that can be sealed to
`packets`          the layout of datagrams
`cookies`          proof that an address receives
`buckets`          token buckets in fixed memory
`replay`           which counters were seen
`ports`            what transport asks of the node, and what it offers
`udp`              datagrams over sockets
`interfaces`       several sockets as one carrier
`frames`           frames over a stream of bytes
`streams`          mutual TLS 1.3 over TCP
`stream_config`    the bounds of streams
`contexts`         TLS contexts, replaced when trust changes
`turnstile`        how many strangers may be inside
`loopback`         datagrams and streams inside one process
"""
