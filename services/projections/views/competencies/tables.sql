-- What each person holds. View `competencies`.

-- state: what the person's own events say, as JSON (views/competencies/fold.py). The key is the id that was kept.
CREATE TABLE person (
    person_id text COLLATE "C" PRIMARY KEY,
    state json NOT NULL
) WITH (fillfactor = 80);

-- Ids that were merged, each with the id that stands for it now; never a chain.
CREATE TABLE alias (
    merged_id text COLLATE "C" PRIMARY KEY,
    kept_id text COLLATE "C" NOT NULL
);

-- Blocs as each version of a certification has them. Never changes once written.
CREATE TABLE bloc (
    certification_id text COLLATE "C" NOT NULL,
    version int NOT NULL,
    bloc_id text COLLATE "C" NOT NULL,
    bloc json NOT NULL,
    PRIMARY KEY (certification_id, version, bloc_id)
);

