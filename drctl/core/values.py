"""The values of the runbook language, and how they are written: one place to import them from.

The parts are `quantities` (durations, sizes, times), `value_types` (all other types) and `encoding` (text, JSON).
"""

from drctl.core.encoding import JSON, from_json, from_plain, json_text, parse_json, text_of, to_json
from drctl.core.quantities import Duration, Size, Time
from drctl.core.value_types import (
    LARGEST_INT,
    MAX_MEMBERS,
    MAX_TEXT,
    HostRef,
    Map,
    Secret,
    Unknown,
    Value,
    number,
    order_key,
    plain_number,
    same_family,
    type_name,
)

__all__ = [
    "JSON",
    "LARGEST_INT",
    "MAX_MEMBERS",
    "MAX_TEXT",
    "Duration",
    "HostRef",
    "Map",
    "Secret",
    "Size",
    "Time",
    "Unknown",
    "Value",
    "from_json",
    "from_plain",
    "json_text",
    "number",
    "order_key",
    "parse_json",
    "plain_number",
    "same_family",
    "text_of",
    "to_json",
    "type_name",
]
