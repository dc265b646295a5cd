-- Who puts without having held the lock since it took the time may have been stopped in between, for a second or a day.
-- Readers who ask for a moment wait until none can be recorded in it any more; so such a put, too, finds the head moved.

DROP FUNCTION log.put(bigint, timestamptz, smallint[], bytea[], bytea[], bytea[], text[], int[]);

-- As before; and with p_recorded_within, an old p_recorded_at is answered like a head that moved.
CREATE FUNCTION log.put(
    p_head bigint, p_recorded_at timestamptz,
    p_type smallint[], p_key bytea[], p_content bytea[], p_entry bytea[],
    t_tag text[], t_event int[], p_recorded_within interval DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_head bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7420, 1);
    SELECT position INTO v_head FROM log.event ORDER BY position DESC LIMIT 1;
    IF coalesce(v_head, 0) <> p_head OR clock_timestamp() - p_recorded_at > p_recorded_within THEN
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
