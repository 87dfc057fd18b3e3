"""The virtual world in which the shipped peers run under seeded faults; empty until it is built."""
