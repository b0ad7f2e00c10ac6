"""x"""
BEFORE = {
    "run": {"run": "exit 1"},
    "http.request": {"with": {"url": "${{ vars.users }}/no-such-page"}},
    "postgres.exec": {"with": {"sql": "SELECT 1 / 0"}},
    "postgres.promote": {"do": None, "run": "exit 1", "effect": "irreversible", "verify": {"run": "test \"$(psql -XAtqc 'select pg_is_in_recovery()')\" = f"}, "undo": {"none": "a promoted server has a history of its own"}},
    "service": {"with": {"name": "no-such-unit"}},
    "traffic.switch": {"with": {"test": ["false"]}},
    "backup.fetch": {"with": {"sha256": "0" * 64}},
    "archive.unpack": {"with": {"from": "tmp/no-such.tar.gz"}},
    "notify": {"with": {"to": ["nobody"], "required": True}},
}
