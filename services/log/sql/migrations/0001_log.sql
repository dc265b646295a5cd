-- The log: positions 1, 2, 3 … without gaps, each one byte string for ever. Written only through log.put.

-- Wire names of types, as small numbers.
CREATE TABLE log.type (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- key: SHA-256(source ‖ 0x00 ‖ id); content: SHA-256 of what was posted under it (rule I1). The head is the last row.
CREATE TABLE log.event (
    position bigint PRIMARY KEY,
    type smallint NOT NULL,
    recorded_at timestamptz NOT NULL,
    key bytea UNIQUE,
    content bytea,
    entry bytea NOT NULL
);

-- By which decisions find the events of one thing, of some types, in order. No foreign key: log.put is the only writer.
CREATE TABLE log.tag (
    tag text COLLATE "C" NOT NULL,
    type smallint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tag, type, position)
);

-- Appends a group of events after p_head and tells listeners the new head, at commit.
-- Tags come flat: t_tag[i] is a tag of the event with ordinal t_event[i] (from 1).
-- Returns the new head, or minus one minus the actual head when that is not p_head: then nothing is written.
-- The lock makes commit order position order. The head is read in a statement of its own, after the lock.
CREATE FUNCTION log.put(
    p_head bigint, p_recorded_at timestamptz,
    p_type smallint[], p_key bytea[], p_content bytea[], p_entry bytea[],
    t_tag text[], t_event int[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_head bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7420, 1);
    SELECT position INTO v_head FROM log.event ORDER BY position DESC LIMIT 1;
    IF coalesce(v_head, 0) <> p_head THEN
        RETURN -1 - coalesce(v_head, 0);
    END IF;
    INSERT INTO log.event (position, type, recorded_at, key, content, entry)
        SELECT p_head + e.ordinal, e.type, p_recorded_at, e.key, e.content, e.entry
        FROM unnest(p_type, p_key, p_content, p_entry) WITH ORDINALITY e(type, key, content, entry, ordinal);
    INSERT INTO log.tag (tag, type, position)
        SELECT t.tag, p_type[t.event], p_head + t.event
        FROM unnest(t_tag, t_event) t(tag, event);
    PERFORM pg_notify('certibranche_log', (p_head + cardinality(p_type))::text);
    RETURN p_head + cardinality(p_type);
END $$;
