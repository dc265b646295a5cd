-- What the planner samples of a column is a copy of it that outlives the row, so of these it samples nothing.
-- A column that is given its own type loses what was sampled of it before; no row is rewritten.
ALTER TABLE vault.person
    ALTER COLUMN fingerprint SET STATISTICS 0, ALTER COLUMN fingerprint TYPE bytea,
    ALTER COLUMN nir_fingerprint SET STATISTICS 0, ALTER COLUMN nir_fingerprint TYPE bytea,
    ALTER COLUMN sealed SET STATISTICS 0, ALTER COLUMN sealed TYPE bytea,
    ALTER COLUMN sealed_nir SET STATISTICS 0, ALTER COLUMN sealed_nir TYPE bytea,
    ALTER COLUMN wrapped_key SET STATISTICS 0, ALTER COLUMN wrapped_key TYPE bytea;

ALTER TABLE vault.intent
    ALTER COLUMN fingerprints SET STATISTICS 0, ALTER COLUMN fingerprints TYPE bytea[],
    ALTER COLUMN sealed SET STATISTICS 0, ALTER COLUMN sealed TYPE bytea,
    ALTER COLUMN wrapped_key SET STATISTICS 0, ALTER COLUMN wrapped_key TYPE bytea;

ALTER TABLE vault.fingerprint_key
    ALTER COLUMN wrapped_key SET STATISTICS 0, ALTER COLUMN wrapped_key TYPE bytea;
