-- The invoice service's database. Applied once, on the primary, by a superuser; everything may be applied again.
-- The number series of an invoice is the database's own timeline, so a promoted or restored database can never give
-- out a number that was given out before.

CREATE TABLE IF NOT EXISTS invoices (
    number     text PRIMARY KEY CHECK (number ~ '^[FS][1-9][0-9]*-[0-9]{6,}$'),
    company    text NOT NULL,
    amount     numeric(14, 2) NOT NULL CHECK (amount > 0),
    date       date NOT NULL,
    state      text NOT NULL CHECK (state IN ('issued', 'amended', 'void')),
    key        text NOT NULL,
    issued_at  timestamptz NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS invoices_by_company ON invoices (company, date);
CREATE INDEX IF NOT EXISTS invoices_by_date ON invoices (date);
CREATE INDEX IF NOT EXISTS invoices_by_key ON invoices (key);

-- One row per series; the row lock makes the numbering unbroken.
CREATE TABLE IF NOT EXISTS series (
    name text PRIMARY KEY,
    last integer NOT NULL CHECK (last >= 0)
);

-- One row per idempotency key ever carried out. It outlives its invoice on purpose: a retry whose invoice is gone must
-- be told so and not be carried out a second time.
CREATE TABLE IF NOT EXISTS requests (
    key    text PRIMARY KEY,
    asked  text,
    number text NOT NULL
);
CREATE INDEX IF NOT EXISTS requests_by_number ON requests (number);

-- Written twice a second by the primary's service. The newest row on a standby bounds what a lost primary took along.
CREATE TABLE IF NOT EXISTS heartbeat (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL
);

-- An invoice as it is shown and reported: texts only, times in UTC with milliseconds.
CREATE OR REPLACE VIEW records AS
SELECT number,
       company,
       amount::text AS amount,
       to_char(date, 'YYYY-MM-DD') AS date,
       state,
       key,
       to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
       to_char(issued_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS issued_at,
       split_part(number, '-', 1) AS series,
       split_part(number, '-', 2)::int AS place
  FROM invoices;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'invoices') THEN
        CREATE ROLE invoices LOGIN;
    END IF;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON invoices, series, requests, heartbeat TO invoices;
GRANT SELECT, UPDATE ON records TO invoices; -- UPDATE: SELECT FOR UPDATE asks for it
