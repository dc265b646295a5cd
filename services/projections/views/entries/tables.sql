-- By which ids `GET /v1/log/entries` filters. View `entries`.

-- The tags of contracts/tags.py that log.tag has not: those by which no decision finds the event.
CREATE TABLE tag (
    tag text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tag, position)
);

