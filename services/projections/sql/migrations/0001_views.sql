-- The read side: one row for each view says how far it has read the log. Rows are made by the views' own migrations.

CREATE SCHEMA IF NOT EXISTS projections;

-- position: the last event whose changes are in the view's tables, 0 before the first. It moves in the same transaction
-- as they do, and only from the value its mover has read: so nothing is applied twice or left out.
CREATE TABLE projections.view (
    name text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
