-- What makes followers answerable: which tables hold a view, who runs it, and what waits for a repair.

-- One row for each set of tables of a view that is kept: `counts` is the one that is read, `counts:next` one that is
-- being filled, `counts:old` the one before, kept for a way back.
-- schema: where the tables are. version: the meaning of their rows, layout: their columns; both as the code counts them.
-- events: how many events are in the rows; parked: how many more wait for a repair. digest: SHA-256(digest ‖ entry) over
-- all of them in order, from 32 zero bytes: which history the rows were made of.
ALTER TABLE projections.view
    ADD COLUMN schema text COLLATE "C",
    ADD COLUMN version int NOT NULL DEFAULT 1,
    ADD COLUMN layout int NOT NULL DEFAULT 1,
    ADD COLUMN events bigint NOT NULL DEFAULT 0,
    ADD COLUMN parked bigint NOT NULL DEFAULT 0,
    ADD COLUMN digest bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex');

-- Rows that were made before events were counted know no digest: version 0 has them built anew.
UPDATE projections.view SET schema = name, version = CASE position WHEN 0 THEN 1 ELSE 0 END;

ALTER TABLE projections.view ALTER COLUMN schema SET NOT NULL, ADD UNIQUE (schema);

-- Who runs a follower. fence: grows whenever another holder takes over; what is written under an older one is refused.
-- metrics: what the holder has counted since it started, as JSON.
CREATE TABLE projections.lease (
    follower text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    metrics json
) WITH (fillfactor = 50);

-- Events that are not in the rows of their view, under each of their keys: those that a fold could not take (error says
-- why), and all later ones of the same keys.
CREATE TABLE projections.parked (
    schema text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    error text,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema, position, key)
);
CREATE INDEX ON projections.parked (schema, key);
