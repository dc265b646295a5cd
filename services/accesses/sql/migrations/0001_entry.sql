-- Reads of what is about persons, and of the log. Never a name, never what was answered: pseudonymous ids alone.

-- number: the order in which entries became visible; it may have gaps. tags: what was read about, as tags of the log
-- (`person:<id>`). target: ids and positions of the request, as it named them.
CREATE TABLE access.entry (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    client_id text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    status smallint NOT NULL,
    tags text[] COLLATE "C" NOT NULL,
    target jsonb NOT NULL
);

CREATE INDEX entry_tags ON access.entry USING gin (tags);
CREATE INDEX entry_at ON access.entry USING brin (at);

-- What was recorded stays as it is, and stays at all for thirty days at least.
CREATE FUNCTION access.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND old.at < now() - interval '30 days' THEN
        RETURN old;
    END IF;
    RAISE EXCEPTION 'the record of accesses is append-only: no % of an entry', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON access.entry FOR EACH ROW EXECUTE FUNCTION access.refuse();
CREATE TRIGGER no_truncation BEFORE TRUNCATE ON access.entry FOR EACH STATEMENT EXECUTE FUNCTION access.refuse();
