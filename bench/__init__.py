"""Benches: how fast drctl is beside its peers. `python -m bench --list` names them; each module says what it compares.

They are for people and for `docs/bench.md`; no test takes a verdict from them. Rules: a peer and drctl are measured in
the same run, turn by turn; a ratio is the median over rounds of the ratios within a round, so that a busy machine
disturbs both sides; a peer that is not installed is named; what the figures were taken under stands beside them.
"""
