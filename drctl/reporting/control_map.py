"""Which section of a report answers which duty, for auditors."""

from __future__ import annotations

CONTROL_MAP: tuple[tuple[str, str, str], ...] = (
    ("SOC 2 A1.3", "recovery procedures are tested", "Verdict, Objectives, Phases, Steps, Evidence"),
    ("SOC 2 CC7.5", "recovery from incidents, and what was learned", "Incident, Timeline, Action items"),
    ("ISO 22301:2019 8.4", "business continuity plans and response", "Incident, Decisions, Phases"),
    ("ISO 22301:2019 8.5", "exercises: what was tested, by whom, the result", "Objectives, Decisions, Action items"),
    ("GB/T 20988-2025 8.3", "event response and take-over 应急响应与接管", "Timeline, Decisions, Phases"),
    ("GB/T 20988-2025 8.4", "rebuild and fall-back 重建与回退", "Not restored, not undone"),
    ("GB/T 20988-2025 8.5", "audit of disaster recovery 灾难恢复审计", "Evidence, Decisions, Exceptions"),
    ("GB/T 20988-2025 9", "test and evaluation 测试与评估", "Objectives, Where the time went"),
)  # fmt: skip
"""Standard and clause, its subject, sections of the report."""

CAVEAT = "Clauses are named for orientation; compare them with the official text before you rely on them."
FIELDS_FOR_PEOPLE = (
    "What went well", "What went badly", "Where we were lucky", "Contributing factors (there is rarely one cause)",
    "Who was affected, and how they were told", "Signed off by, date",
)  # fmt: skip
"""What no record can say."""
