"""Campaigns: the counted promises R1..R23, each one module here.

    python -m tests.campaign --list
    python -m tests.campaign bitflip [--count N] [--seed S] [--json]

A campaign is a module with `NAME`, `ROWS` (which promises it counts), `COUNT` and `CI_COUNT` (cases by default, and in
the suite) and `run(count, rng) -> Figures`; with `SECONDS` too when 60 are not enough for it in the suite. It goes
through its cases by `cases(...)`, so that the suite can put it into a box of time, and says with every broken promise
what is needed to see it again.
"""
