"""`traffic.switch` on the real shell of this machine, with a small nginx that can be told to refuse."""

import pytest

from drctl.core.kind import Change, FieldError, Seen
from drctl.core.values import Unknown
from drctl.kinds.traffic_switch import TrafficSwitch
from tests.kinds.worlds import Machine

NGINX = """
echo "$*" >>"$HOME/calls"
case $1 in
  -t) [ -e "$HOME/untested" ] || exit 0; echo "nginx: [emerg] unknown directive" >&2; exit 1;;
  -s) [ -e "$HOME/unloaded" ] || { cat "$HOME/routes/app.conf" >"$HOME/running"; exit 0; }; exit 7;;
esac
"""


@pytest.fixture
def gateway(machine: Machine) -> Machine:
    machine.program("nginx", NGINX)
    (machine.home / "routes").mkdir()
    (machine.home / "routes" / "app.conf").write_text("server 10.0.1.5:80;\n")
    (machine.home / "routes" / "app.conf").chmod(0o640)
    return machine


def route(machine: Machine) -> str:
    assert [path.name for path in (machine.home / "routes").iterdir()] == ["app.conf"], "something was left behind"
    return (machine.home / "routes" / "app.conf").read_text()


def switch(to: str = "10.0.2.5:80") -> TrafficSwitch:
    return TrafficSwitch(route="routes/app.conf", to=to)


def test_traffic_is_switched_and_switched_back(gateway: Machine) -> None:
    kind = switch()
    preview = kind.preview(gateway.probe())
    assert preview.change is Change.WOULD_CHANGE
    assert preview.prior == {"to": "10.0.1.5:80"}
    assert kind.verify(gateway.probe()).seen is Seen.NOT_DONE

    outputs = kind.execute(gateway.act())
    assert outputs.values == {"exit": 0, "from": "10.0.1.5:80", "to": "10.0.2.5:80"}
    assert route(gateway) == "server 10.0.2.5:80;\n"
    assert (gateway.home / "running").read_text() == "server 10.0.2.5:80;\n"
    assert (gateway.home / "calls").read_text() == "-t\n-s reload\n"
    assert (gateway.home / "routes" / "app.conf").stat().st_mode & 0o777 == 0o640
    assert kind.verify(gateway.probe()).seen is Seen.DONE
    assert kind.preview(gateway.probe()).change is Change.NO_CHANGE

    back = kind.inverse(preview.prior)
    assert back == switch("10.0.1.5:80")
    assert back.execute(gateway.act()).values["exit"] == 0
    assert route(gateway) == "server 10.0.1.5:80;\n"


def test_a_configuration_that_does_not_pass_its_test_is_put_back_unseen(gateway: Machine) -> None:
    (gateway.home / "untested").touch()
    outputs = switch().execute(gateway.act())
    assert outputs.values["exit"] == 5
    assert isinstance(outputs.values["to"], Unknown)
    assert outputs.because == "exit 5: the test of the configuration failed (1); the old route is back"
    assert route(gateway) == "server 10.0.1.5:80;\n"
    assert not (gateway.home / "running").exists()
    assert switch().verify(gateway.probe()).seen is Seen.NOT_DONE


def test_a_reload_that_fails_is_put_back(gateway: Machine) -> None:
    (gateway.home / "unloaded").touch()
    outputs = switch().execute(gateway.act())
    assert outputs.values["exit"] == 6
    assert route(gateway) == "server 10.0.1.5:80;\n"
    assert (gateway.home / "calls").read_text() == "-t\n-s reload\n-s reload\n"


def test_a_switch_that_was_interrupted_before_its_reload_is_not_done_and_can_be_done_again(gateway: Machine) -> None:
    routes = gateway.home / "routes"
    (routes / "app.conf.drctl-old").write_text("server 10.0.1.5:80;\n")
    (routes / "app.conf").write_text("server 10.0.2.5:80;\n")
    verdict = switch().verify(gateway.probe())
    assert verdict.seen is Seen.NOT_DONE
    assert "the reload did not end" in verdict.because
    outputs = switch().execute(gateway.act())
    assert outputs.values["from"] == "10.0.1.5:80", "the route before the first attempt"
    assert route(gateway) == "server 10.0.2.5:80;\n"
    assert switch().verify(gateway.probe()).seen is Seen.DONE


def test_a_file_that_says_something_else_is_not_guessed_at(gateway: Machine) -> None:
    (gateway.home / "routes" / "app.conf").write_text("server 10.0.1.5:80;\nserver 10.0.1.6:80;\n")
    preview = switch().preview(gateway.probe())
    assert preview.change is Change.WOULD_CHANGE
    assert preview.prior == {}
    assert switch().inverse(preview.prior) is None


def test_a_route_that_is_not_there_cannot_be_told_or_switched(machine: Machine) -> None:
    machine.program("nginx", NGINX)
    assert switch().verify(machine.probe()).seen is Seen.UNKNOWN
    outputs = switch().execute(machine.act())
    assert outputs.because == "exit 3: routes/app.conf is not there"


def test_a_link_is_followed_and_stays_one(gateway: Machine) -> None:
    (gateway.home / "link.conf").symlink_to("routes/app.conf")
    kind = TrafficSwitch(route="link.conf", to="10.0.2.5:80")
    assert kind.execute(gateway.act()).values["exit"] == 0
    assert (gateway.home / "link.conf").is_symlink()
    assert route(gateway) == "server 10.0.2.5:80;\n"
    assert kind.verify(gateway.probe()).seen is Seen.DONE


def test_commands_are_words_and_never_code(gateway: Machine) -> None:
    gateway.program("check", 'printf "%s|" "$@" >"$HOME/words"')
    words = ("check", "a b", "$(touch made)", "'", '"', "")
    kind = TrafficSwitch(route="routes/app.conf", to="unix:/run/app.sock", test=words, reload=("true",))
    assert kind.execute(gateway.act()).values["exit"] == 0
    assert (gateway.home / "words").read_text() == "a b|$(touch made)|'|\"||"
    assert not (gateway.home / "made").exists()


@pytest.mark.parametrize("to", ["10.0.2.5:80", "host-b.example:8080", "unix:/run/app.sock", "[::1]:80", "127.0.0.1"])
def test_servers_that_can_be_named(to: str) -> None:
    assert switch(to).to == to


@pytest.mark.parametrize("to", ["", "a b", "x; } server evil;", "10.0.0.1:80;", "a\nb", "$host", "-x", "{to}"])
def test_what_would_be_read_as_configuration_is_refused(to: str) -> None:
    with pytest.raises(FieldError):
        switch(to)


@pytest.mark.parametrize("template", ["server x;", "{to} {to}", "a\n{to}"])
def test_templates_that_are_none_are_refused(template: str) -> None:
    with pytest.raises(FieldError):
        TrafficSwitch(route="r", to="h:1", template=template)
