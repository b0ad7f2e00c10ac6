"""The nouns and contracts: no I/O, no clock, nothing of a vendor."""
