"""The two examples that move a database, carried out on fakes: what was done on which host, on good days and on bad."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING

from drctl.core.ports import HttpReply, PortState, Reach
from drctl.core.values import Duration
from drctl.errors import Exit
from tests.engine.rig import Crash
from tests.engine.test_examples import Example, named, unit
from tests.fakes.hosts import said

if TYPE_CHECKING:
    from drctl.core.ports import Command, Reply

ZONE, SITE_A, SITE_B = "192.0.2.53", "192.0.2.41", "192.0.2.43"
APP = ("web1", "web2", "web3", "web4")


class Databases:
    """The pair: which one is the primary, how far the standby is, and what is set on it."""

    def __init__(self, rig: Example) -> None:
        self.lag = Duration.parse("0s")
        self.missing = 0
        self.down: set[str] = set()
        self.standby = {"db-b"}
        self.read_only: str | None = None
        self.marks = 0
        for name in ("db-a", "db-b"):
            rig.host(name).on(lambda command: "psql" in command.script, partial(self.sql, name))

    def sql(self, name: str, command: Command) -> Reply:
        text = command.stdin.decode() if isinstance(command.stdin, bytes) else ""
        if name in self.down:
            return said("ready 2\n", 2, "psql: error: connection refused")
        if "pg_promote" in text:
            self.standby.discard(name)
        self.marks += "recovery_marks" in text
        if "ALTER SYSTEM" in text:
            self.read_only = "on" if "ALTER SYSTEM SET" in text else None
        if "drctl_before" in text or "pg_file_settings" in text:
            value = {"value": self.read_only or "off", "pending_restart": False, "written": self.read_only}
            return said(json.dumps({**value, "fault": None, "loaded": True}))
        if "pg_wal_lsn_diff" in text:
            return said(json.dumps([{"missing": self.missing}]))
        if "pg_is_in_recovery" not in text:
            return said("")
        standby = name in self.standby
        lag = str(self.lag.micros) if standby else None
        figures = {"in_recovery": standby, "lsn": "0/30000A8", "timeline": 1, "system_id": "7"}
        return said(json.dumps({**figures, "lag_us": lag, "replayed_us": "1790000000000000" if standby else None}))


def acts(rig: Example, *names: str) -> dict[str, list[str]]:
    """The commands that changed something on these hosts, in order, without those of kinds."""
    return {name: [text for text in rig.host(name).effects if "\n" not in text] for name in names}


class Switch(Example):
    """A site that is moved: scheduled work on two hosts only, configuration management on three."""

    def __post_init__(self) -> None:
        Example.__post_init__(self)
        self.dbs = Databases(self)
        self.tables = {"web1": "5 * * * * bill\n6 * * * * mail", "web3": "7 * * * * index"}
        self.before = dict(self.tables)
        self.agents = dict.fromkeys(("web1", "web2", "web3"), True) | {"web4": False}
        self.zone: dict[str, int | str] = {"ttl": 3600, "address": SITE_A}
        for name in APP:
            self.application(name)
        self.world.dialer.ports["primary", 5432] = PortState.REFUSED
        unit(self.host("db-a"), self.turned)
        self.host("local").on("dns-set-ttl", self.set_ttl).on("dns-set-address", self.set_address)
        self.host("local").on("dns-has-ttl", lambda command: 0 if named(command, "TTL") == str(self.zone["ttl"]) else 1)
        web = self.world.http_
        web.answer("https://192.0.2.210/silences", 201, '{"id": "S-9"}')
        web.answer("https://192.0.2.210/silences/S-9", 204)
        web.answer("https://shop.example/healthz", 200)
        self.serve()

    def application(self, name: str) -> None:
        def listed(_: Command) -> Reply:
            table = self.tables.get(name)
            return said(table) if table is not None else said("", 1, "no crontab")

        def put(command: Command) -> int:
            assert isinstance(command.stdin, bytes)
            self.tables[name] = command.stdin.decode().removesuffix("\n")
            return 0

        def agent(command: Command) -> int:
            if "config-agent enable" in command.script or "config-agent disable" in command.script:
                self.agents[name] = "config-agent enable" in command.script
                return 0
            return 0 if self.agents[name] is ("is-enabled" in command.script) else 1

        def remove(_: Command) -> int:
            del self.tables[name]
            return 0

        self.host(name).on("crontab -", put).on("crontab -l", listed).on("crontab -r", remove)
        self.host(name).on("config-agent", agent).on("cache-clear", 0)

    def turned(self) -> None:
        self.dbs.down ^= {"db-a"}

    def set_ttl(self, command: Command) -> int:
        self.zone["ttl"] = int(named(command, "TTL"))
        self.serve()
        return 0

    def set_address(self, command: Command) -> int:
        self.zone["address"] = named(command, "TARGET")
        self.serve()
        return 0

    def serve(self) -> None:
        ttl, address = int(self.zone["ttl"]), str(self.zone["address"])
        self.world.dns.zones[ZONE] = {("shop.example", "A"): (ttl, (address,))}

    def go(self) -> Exit:
        """Run, and let the commander agree to whatever is asked."""
        code = self.run()
        while code is Exit.PAUSED:
            asked = self.question()
            choice = "approve" if asked["kind"] == "approval" else "confirm"
            self.answer(choice, step=asked["path"], by="li" if choice == "approve" else "ops", target="db-b")
            code = self.resume()
        return code

    def as_it_was(self) -> bool:
        agents = dict.fromkeys(("web1", "web2", "web3"), True) | {"web4": False}
        return self.tables == self.before and self.agents == agents and self.zone["ttl"] == 3600


def switch() -> Switch:
    return Switch("site-switchover.yaml", inputs={"window": "C-17"})


def test_a_site_is_moved_and_what_was_suspended_is_put_back_as_it_was() -> None:
    rig = switch()
    began = rig.clock.micros
    assert rig.go() is Exit.DONE, rig.lines[-1]
    assert rig.zone["address"] == SITE_B
    assert rig.as_it_was()
    assert rig.clock.micros - began >= Duration.parse("1h").micros, "the wait is as long as the old TTL"
    assert [request.method for request in rig.world.http_.sent] == ["POST", "DELETE"]
    assert rig.world.http_.effects[-1] == "https://192.0.2.210/silences/S-9"
    assert acts(rig, "web2", "web4") == {
        "web2": ['config-agent disable "switchover $WINDOW"', "config-agent enable"],
        "web4": ["cache-clear"],
    }
    assert {"outage_start", "fenced", "promoted", "traffic_switched", "outage_end"} <= set(rig.state.marks)


def test_a_standby_that_does_not_catch_up_takes_the_move_back_before_anything_is_cut_off() -> None:
    rig = switch()
    rig.dbs.missing = 4096
    assert rig.go() is Exit.ROLLED_BACK, rig.lines[-1]
    assert rig.outcome("caught_up") == "timeout"
    assert acts(rig, "db-a", "db-b") == {"db-a": [], "db-b": []}, "neither stopped nor promoted"
    assert rig.dbs.standby == {"db-b"}
    assert rig.dbs.read_only is None, "users write again"
    assert rig.as_it_was()
    assert rig.zone["address"] == SITE_A


def test_a_move_that_dies_anywhere_in_its_preparation_still_puts_everything_back_when_it_is_aborted() -> None:
    whole = switch()
    whole.run()
    for seq in range(2, len(whole.lines), 7):
        rig = switch()
        rig.crash_at(seq, after=True)
        with contextlib.suppress(Crash):
            rig.run()
        code = rig.abort()
        assert code in {Exit.ABORTED, Exit.NOTHING_CHANGED, Exit.EXCEPTIONS}, (seq, code)
        assert rig.as_it_was(), seq


# -- the standby is promoted ------------------------------------------------------------------------------------------

POOLERS = ("pool1", "pool2", "pool3")
POWER = "http://192.0.2.250/db-a"


class Promotion(Example):
    """Site A is gone; three poolers at site B, each open or paused, with long transactions or without."""

    def __post_init__(self) -> None:
        Example.__post_init__(self)
        self.dbs = Databases(self)
        self.dbs.down.add("db-a")
        self.dbs.lag = Duration.parse("2s")
        self.host("db-a").down = True
        self.paused = dict.fromkeys(POOLERS, False)
        self.slow = dict.fromkeys(POOLERS, 0)
        self.broken: dict[str, int] = {}
        self.most_paused = 0
        for name in POOLERS:
            host = self.host(name).on("pool-count-slow", partial(self.count, name))
            host.on("pool-is-paused", partial(self.is_paused, name))
            host.on("pool-pause", partial(self.pause, name)).on("pool-resume", partial(self.let_go, name))
        self.host("db-b").on("pool-end-slow", self.end_slow)
        self.world.http_.answer(POWER, 200, '{"state": "on"}')
        self.world.http_.answers[f"{POWER}/off"] = self.power_off
        self.world.http_.answer("http://192.0.2.43:8080/healthz", 200)

    def count(self, name: str, _: Command) -> Reply:
        return said(str(self.slow[name]))

    def is_paused(self, name: str, _: Command) -> int:
        return 0 if self.paused[name] else 1

    def pause(self, name: str, _: Command) -> int:
        if self.broken.get(name, 0):
            self.broken[name] -= 1
            return 1
        self.paused[name] = True
        return 0

    def let_go(self, name: str, _: Command) -> int:
        self.paused[name] = False
        return 0

    def end_slow(self, _: Command) -> int:
        self.slow = dict.fromkeys(POOLERS, 0)
        return 0

    def power_off(self) -> HttpReply:
        self.world.http_.answer(POWER, 200, '{"state": "off"}')
        return HttpReply(reach=Reach.COMPLETE, status=202)

    def commander_agrees(self) -> Exit:
        asked = self.question()
        assert (asked["kind"], asked["path"]) == ("approval", "failover/promote")
        self.answer("approve", step="promote", by="li", target="db-b")
        return self.resume()


def promotion(limit: str = "10s") -> Promotion:
    return Promotion("replica-promotion.yaml", inputs={"limit": Duration.parse(limit)})


def test_the_standby_is_promoted_behind_paused_poolers_and_the_loss_stands_in_what_is_approved() -> None:
    rig = promotion()
    assert rig.run() is Exit.PAUSED, rig.lines[-1]
    assert all(rig.paused.values())
    assert rig.dbs.standby == {"db-b"}, "not before somebody agreed"
    assert "2s" in str(rig.question())
    assert rig.commander_agrees() is Exit.DONE, rig.lines[-1]
    assert rig.dbs.standby == set()
    assert acts(rig, *POOLERS) == {name: ["pool-pause", "pool-resume"] for name in POOLERS}
    assert rig.world.http_.effects == [f"{POWER}/off"]
    assert {"outage_start", "fenced", "promoted", "outage_end", "service_restored"} <= set(rig.state.marks)


def test_one_pooler_that_cannot_be_paused_opens_the_others_again_and_nothing_is_cut_off() -> None:
    rig = promotion()
    rig.broken["pool2"] = 1000
    assert rig.run() is Exit.STEP_FAILED
    assert not any(rig.paused.values())
    done = acts(rig, *POOLERS)
    assert done["pool1"][:2] == ["pool-pause", "pool-resume"]
    assert "pool-resume" not in done["pool2"], "it was seen not to be paused"
    assert rig.host("db-a").asked == []
    assert rig.dbs.standby == {"db-b"}
    assert rig.world.http_.sent == []


def test_a_pooler_that_fails_once_is_tried_again_with_the_others() -> None:
    rig = promotion()
    rig.broken["pool2"] = 1
    assert rig.run() is Exit.PAUSED, rig.lines[-1]
    assert all(rig.paused.values())
    assert acts(rig, "pool1", "pool2") == {
        "pool1": ["pool-pause", "pool-resume", "pool-pause"],
        "pool2": ["pool-pause", "pool-pause"],
    }
    assert rig.commander_agrees() is Exit.DONE
    assert not any(rig.paused.values())


def test_long_transactions_are_ended_after_half_of_the_wait_once() -> None:
    rig = promotion()
    rig.slow["pool3"] = 4
    assert rig.run() is Exit.PAUSED, rig.lines[-1]
    assert rig.host("db-b").count("pool-end-slow") == 1
    assert all(rig.paused.values())


def test_a_loss_above_the_limit_stops_before_the_fence_and_an_abort_lets_the_traffic_go() -> None:
    rig = promotion()
    rig.dbs.lag = Duration.parse("11s")
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("loss") == "failed"
    assert all(rig.paused.values()), "a person decides first"
    assert rig.world.http_.sent == []
    assert rig.abort() is Exit.ABORTED, rig.lines[-1]
    assert not any(rig.paused.values())
    assert rig.dbs.standby == {"db-b"}


def test_a_loss_that_grows_while_the_commander_thinks_stops_the_promotion() -> None:
    rig = promotion()
    assert rig.run() is Exit.PAUSED
    rig.dbs.lag = Duration.parse("30s")
    assert rig.commander_agrees() is Exit.STEP_FAILED
    assert rig.dbs.standby == {"db-b"}


def test_a_primary_that_is_not_proven_off_is_not_followed_by_a_promotion() -> None:
    rig = promotion()
    rig.world.http_.answer(f"{POWER}/off", 500)
    rig.world.dialer.ports["primary", 5432] = PortState.SILENT
    assert rig.run() is Exit.STEP_FAILED
    assert rig.outcome("fence") == "failed"
    assert rig.dbs.standby == {"db-b"}
