-- Keys that change while the vault is in use, NIR that are given later, and what the vault knows of the log.

-- The master keys there were; the keys themselves are in files elsewhere. key_id: derived from the key. CURRENT: wraps
-- what is written. RETIRING: what it had wrapped is being wrapped anew. DESTROYED: gone for ever since destroyed_at.
CREATE TABLE vault.master_key (
    key_id text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('CURRENT', 'RETIRING', 'DESTROYED')),
    since timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz
);
CREATE UNIQUE INDEX master_key_current ON vault.master_key (state) WHERE state = 'CURRENT';

-- The keys of fingerprints in use: one, or two while all fingerprints are made anew with the later version.
CREATE TABLE vault.fingerprint_key (
    version int PRIMARY KEY,
    wrapped_key bytea NOT NULL,
    wrapped_by text NOT NULL REFERENCES vault.master_key
);

-- fingerprint_version: of both fingerprints. sealed_nir: a NIR given after the registration, encrypted with the data
-- key. wrapped_by: the master key; '' until the vault has taken up its first one.
-- A person without fingerprint, sealed and wrapped_key is one of the log whose identity the vault has lost.
ALTER TABLE vault.person
    ADD COLUMN fingerprint_version int NOT NULL DEFAULT 1,
    ADD COLUMN sealed_nir bytea,
    ADD COLUMN wrapped_by text NOT NULL DEFAULT '',
    ALTER COLUMN fingerprint DROP NOT NULL,
    ALTER COLUMN sealed DROP NOT NULL,
    ALTER COLUMN wrapped_key DROP NOT NULL;

-- For RECTIFY: sealed is encrypted with the person's data key; wrapped_key is a first one for a person who has none.
-- fingerprint: by the latest version, and by the one before while there are two. names_nir: the NIR is changed too.
ALTER TABLE vault.intent
    DROP COLUMN fingerprint,
    DROP COLUMN nir_fingerprint,
    ADD COLUMN fingerprints bytea[] NOT NULL DEFAULT '{}',
    ADD COLUMN names_nir boolean NOT NULL DEFAULT false,
    ADD COLUMN wrapped_by text NOT NULL DEFAULT '';

-- Up to which position of the log its facts of persons have had their effects here.
CREATE TABLE vault.replayed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL
);
INSERT INTO vault.replayed (position) VALUES (0);
