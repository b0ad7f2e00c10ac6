"""The tables of an inventory: which keys stand where. Loader and JSON Schema both read these."""

from __future__ import annotations

from typing import Final

from drctl.core.inventory import Environment
from drctl.loading.addresses import Address
from drctl.loading.literals import Constants
from drctl.loading.records import Key, ListOf, MapOf, Raw, Record
from drctl.loading.secret_refs import SECRET
from drctl.loading.shapes import Bool, Choice, Int, Word, words_of
from drctl.loading.tables import HOST_NAME
from drctl.loading.texts import PeopleText

TEXT: Final = Word("a text")
ADDRESS: Final = Address()
HOST: Final = Word("a host name", HOST_NAME)
ENTRY: Final = Word("a name", HOST_NAME)
PERSON: Final = Word("a person", r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
PORT: Final = Int(1, 65535)
LOGIN: Final = Record(
    {
        "user": Key(Word("a user", r"[A-Za-z0-9_][A-Za-z0-9_.@$-]{0,63}"), "User to log in as."),
        "key": Key(TEXT, "Private key file on the control node."),
        "agent": Key(Bool(), "Take keys of the SSH agent."),
        "password": Key(SECRET, "Password."),
        "via": Key(ListOf(HOST, or_one=True), "Jump hosts, the first one first."),
    }
)
BECOME: Final = Record(
    {
        "by": Key(Choice(("sudo",)), "How to become another user."),
        "password": Key(
            SECRET, "Password sudo asks for, written to it once, after its prompt; without one, sudo must ask for none."
        ),
    }
)
IDENTITY_FILE: Final = Record(
    {
        "path": Key(TEXT, "A file on the host.", required=True),
        "text": Key(TEXT, "What it must hold.", required=True),
    }
)
IDENTITY_SQL: Final = Record(
    {
        "query": Key(TEXT, "One query, sent by psql on the host in a read-only transaction.", required=True),
        "equals": Key(TEXT, "What it must answer: one row of one column.", required=True),
        "db": Key(ENTRY, "A database of the inventory; its only one if not given."),
    }
)
IDENTITY: Final = Record(
    {
        "machine_id": Key(TEXT, "The machine id it must have."),
        "file": Key(IDENTITY_FILE, "A file it must have."),
        "sql": Key(IDENTITY_SQL, "What its database must answer, such as the system identifier of a cluster."),
    }
)
FACTS: Final = MapOf(Constants(), Word("a fact", r"[A-Za-z][A-Za-z0-9_-]{0,59}"), least=0)
HOST_KEYS: Final = {
    "host_key": Key(ListOf(TEXT, or_one=True), "Its public host key, or several."),
    "host_ca": Key(
        ListOf(TEXT, or_one=True),
        "Public key of the authority that signs its host certificate, or several; the certificate must name the"
        " address, or the host as it is called here.",
    ),
    "known_hosts": Key(TEXT, "File in the form of OpenSSH's known_hosts, beside the inventory."),
}
MACHINE: Final = Record(
    {
        "address": Key(ADDRESS, "Name or address to connect to; if not given, HostName of ~/.ssh/config."),
        "port": Key(PORT, "SSH port; 22 if not given."),
        "site": Key(ENTRY, "The site it stands in."),
        "role": Key(ENTRY, "The role it holds; one host holds a role."),
        "groups": Key(ListOf(ENTRY, or_one=True, least=0), "Groups it belongs to."),
        "facts": Key(FACTS, "Constants about it: hosts['NAME'].facts.FACT."),
        "login": Key(LOGIN, "How to log in."),
        "become": Key(BECOME, "How to become another user."),
        **HOST_KEYS,
        "identity": Key(IDENTITY, "What must be true of it before the first act."),
        "state_dir": Key(Word("an absolute path", r"/.*"), "Folder for claims on the host."),
    },
    later={
        "spare_for": "leave it out",
    },
)
SITE: Final = Record(
    {
        "title": Key(PeopleText(), "Title for people."),
        "facts": Key(FACTS, "Facts of every host of the site that does not say otherwise."),
    }
)
DATABASE: Final = Record(
    {
        "port": Key(PORT, "Port on its host."),
        "name": Key(TEXT, "Name of the database; that of the entry if not given."),
        "user": Key(TEXT, "Database user.", required=True),
        "password": Key(SECRET, "Password."),
    }
)
BUCKET: Final = Record(
    {
        "bucket": Key(TEXT, "Name of the bucket.", required=True),
        "endpoint": Key(TEXT, "Endpoint, for S3 that is not AWS."),
        "region": Key(TEXT, "Region."),
        "profile": Key(TEXT, "AWS profile."),
        "keys": Key(SECRET, "ACCESS:SECRET."),
    }
)
_CHANNEL_TYPE: Final = Key(Choice(("webhook", "smtp", "command")), "What kind of channel.", required=True)
CHANNELS: Final = {
    "webhook": Record(
        {
            "type": _CHANNEL_TYPE,
            "url": Key(TEXT, "Where the message is posted to.", required=True),
            "secret": Key(SECRET, "Bearer token."),
        }
    ),
    "smtp": Record(
        {
            "type": _CHANNEL_TYPE,
            "host": Key(TEXT, "Mail server.", required=True),
            "port": Key(PORT, "Its port; 25 if not given."),
            "from": Key(TEXT, "Sender.", required=True),
            "to": Key(ListOf(TEXT, or_one=True), "Receivers.", required=True),
            "user": Key(TEXT, "User to log in as."),
            "secret": Key(SECRET, "Password."),
        }
    ),
    "command": Record(
        {
            "type": _CHANNEL_TYPE,
            "argv": Key(ListOf(TEXT), "Program and arguments; the message comes by stdin.", required=True),
            "secret": Key(SECRET, "Secret handed to the program."),
        }
    ),
}
PERSON_ENTRY: Final = Record(
    {
        "name": Key(TEXT, "Full name."),
        "logins": Key(ListOf(TEXT, or_one=True), "Logins they use."),
        "keys": Key(ListOf(TEXT, or_one=True), "Public keys they sign with."),
        "simulated": Key(Bool(), "A person of a lab or drill: worth nothing elsewhere."),
    }
)
INVENTORY: Final = Record(
    {
        "inventory": Key(ENTRY, "Name of the inventory.", required=True),
        "environment": Key(words_of(Environment), "What kind of place it describes.", required=True),
        "zone": Key(
            Word("a time zone", r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*"), "Time zone of calendars; UTC if not given."
        ),
        "sites": Key(MapOf(SITE, ENTRY, least=0, label="site"), "Sites."),
        "hosts": Key(MapOf(MACHINE, HOST, least=0, label="host"), "Machines."),
        "defaults": Key(MACHINE, "Keys of hosts that do not give their own."),
        "databases": Key(MapOf(DATABASE, ENTRY, least=0, label="database"), "Databases."),
        "buckets": Key(MapOf(BUCKET, ENTRY, least=0, label="bucket"), "Buckets."),
        "channels": Key(MapOf(Raw("channel"), ENTRY, least=0), "Ways to tell people."),
        "people": Key(MapOf(PERSON_ENTRY, PERSON, least=0, label="person"), "People."),
        "roles": Key(MapOf(ListOf(PERSON, or_one=True), PERSON, least=0), "Roles of people, and who holds them."),
    }
)
