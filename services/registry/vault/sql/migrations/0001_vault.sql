-- The vault: who the persons of the log are. Nothing outside it names anybody.

-- An identity, and the intent to record its fact: fact_id is the CloudEvent id of `person.registered`.
-- fingerprint: keyed, of the civil identity; nir_fingerprint: keyed, of the NIR where given. sealed: the identity and
-- the salt of its commitment, encrypted with the person's own data key; wrapped_key: that key, encrypted with the
-- master key. recorded: the fact is in the log.
CREATE TABLE vault.person (
    person_id uuid PRIMARY KEY,
    fingerprint bytea NOT NULL,
    nir_fingerprint bytea,
    fact_id uuid NOT NULL UNIQUE,
    commitment bytea NOT NULL,
    sealed bytea NOT NULL,
    wrapped_key bytea NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    recorded boolean NOT NULL DEFAULT false
);

CREATE INDEX person_fingerprint ON vault.person (fingerprint);

-- What a sweeper looks for: intents whose fact is not known to be recorded.
CREATE INDEX person_intended ON vault.person (requested_at) WHERE NOT recorded;
