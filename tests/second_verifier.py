"""A second verifier, written from docs/journal-format.md alone: standard library, nothing of drctl.

`python second_verifier.py journal.jsonl` prints one line of JSON. It checks frame, chain, Merkle tree, notes and the
shape of checkpoint lines, not signatures: for those feed `note + "\\n" + sig` to any C2SP signed-note tool.
"""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

LINE = re.compile(rb'(\{[\x20-\x7e]*),"~hash":"([0-9a-f]{64})"\}\Z')
NOTE = "{origin}\n{size}\n{root}\nhead {head}\ntime {ts}\n"


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key that stands twice")
    return dict(pairs)


def no_float(text: str) -> NoReturn:
    raise ValueError(f"a float: {text}")


def read(data: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(
        data.decode("ascii"), object_pairs_hook=once, parse_float=no_float, parse_constant=no_float
    )
    if record["v"] != 1:
        raise ValueError("version")
    return record


def merkle(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, level by level: an odd node at the end moves up as it is."""
    level = [sha(b"\x00", leaf) for leaf in leaves]
    while len(level) > 1:
        pairs = [sha(b"\x01", level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0] if level else sha(b"")


def checkpoint_is_exact(record: dict[str, Any], raw: bytes, state: dict[str, Any], leaves: list[bytes]) -> bool:
    origin = f"drctl/run/{state['uid']}"
    root = base64.b64encode(merkle(leaves)).decode()
    note = NOTE.format(origin=origin, size=len(leaves), root=root, head=state["head"].hex(), ts=record["ts"])
    start = f"\u2014 {origin} "
    sig = record["body"]["sig"]
    blob = base64.b64decode(sig[len(start) : -1], validate=True)
    exact = start + base64.b64encode(blob).decode() + "\n"
    key_id = sha(origin.encode(), b"\n\x01", state["key"])[:4]
    again = {"body": {"note": note, "sig": exact}, "seq": len(leaves), "ts": record["ts"], "type": "checkpoint", "v": 1}
    text = json.dumps(again, sort_keys=True, separators=(",", ":"))[:-1]
    rebuilt = text.encode() + b',"~hash":"' + record["~hash"].encode() + b'"}'
    return sig == exact and len(blob) == 68 and blob[:4] == key_id and rebuilt == raw


def new_key(body: dict[str, Any], head: bytes) -> bytes:
    if body["head"] != head.hex():
        raise ValueError("takeover")
    return base64.b64decode(body["pubkey"], validate=True)


def step(line: bytes, state: dict[str, Any], leaves: list[bytes]) -> None:
    """One line; raises ValueError, KeyError or TypeError when it is not what it should be."""
    found = LINE.match(line)
    if not found or len(line) > 65536:
        raise ValueError("frame")
    content, stated = found[1] + b"}", bytes.fromhex(found[2].decode())
    record = read(line)
    if not leaves:
        if record["type"] != "run_opened":
            raise ValueError("opening")
        state["uid"], state["key"] = record["run"], base64.b64decode(record["body"]["pubkey"], validate=True)
        state["head"] = sha(b"drctl/gen/v1\ndrctl/run/", state["uid"].encode(), b"\n", state["key"])
    if sha(b"drctl/rec/v1\n", state["head"], content) != stated or record["seq"] != len(leaves):
        raise ValueError("hash")
    if record["type"] == "checkpoint":
        if not checkpoint_is_exact(record, line, state, leaves):
            raise ValueError("checkpoint")
        state["signed"] = len(leaves) + 1
    elif record["run"] != state["uid"]:
        raise ValueError("run")
    elif record["type"] != "recovered":
        state["closed"] = record["type"] == "run_closed"
    if record["type"] == "run_taken_over" and "pubkey" in record["body"]:
        state["key"] = new_key(record["body"], state["head"])
    leaves.append(line)
    state["head"] = stated


def verify(data: bytes) -> tuple[str, int]:
    """(word, number of sound lines): word is whole, open, unsigned, torn or bad."""
    leaves: list[bytes] = []
    state: dict[str, Any] = {"signed": 0, "closed": False}
    *lines, rest = data.split(b"\n")
    for line in lines:
        try:
            step(line, state, leaves)
        except (ValueError, KeyError, TypeError):
            return ("torn" if b"\x00" in line else "bad"), len(leaves)
    if rest:
        return "torn", len(leaves)
    if state["signed"] != len(leaves) or not leaves:
        return "unsigned", len(leaves)
    return ("whole" if state["closed"] else "open"), len(leaves)


if __name__ == "__main__":
    word, sound = verify(Path(sys.argv[1]).read_bytes())
    sys.stdout.write(json.dumps({"verdict": word, "sound": sound}) + "\n")
