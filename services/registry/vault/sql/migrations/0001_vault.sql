-- The vault: who the persons of the log are. Nothing outside it names anybody.

-- An identity, and the intent to record its fact: fact_id is the CloudEvent id of `person.registered`.
-- fingerprint: keyed, of the civil identity; nir_fingerprint: keyed, of the NIR where given. sealed: the salt of the
-- commitment and the identity, encrypted with the person's own data key; wrapped_key: that key, encrypted with the
-- master key. recorded: the fact is in the log. kept_id: the person this one was merged into.
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
    recorded boolean NOT NULL DEFAULT false,
    kept_id uuid REFERENCES vault.person
);

CREATE INDEX person_fingerprint ON vault.person (fingerprint);
CREATE INDEX person_kept ON vault.person (kept_id) WHERE kept_id IS NOT NULL;

-- What a sweeper looks for: registrations whose fact is not known to be recorded.
CREATE INDEX person_unrecorded ON vault.person (requested_at) WHERE NOT recorded;

-- Intents to change a registered person: fact_id is the CloudEvent id of their fact. A row goes with its effect, or
-- when its fact is refused. merged_id for MERGE; the new identity, as in vault.person, for RECTIFY.
CREATE TABLE vault.intent (
    fact_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('RECTIFY', 'MERGE', 'ERASE')),
    person_id uuid NOT NULL,
    merged_id uuid,
    fingerprint bytea,
    nir_fingerprint bytea,
    commitment bytea,
    sealed bytea,
    wrapped_key bytea,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now()
);

-- Who was erased, under every id: answers 410 for ever, and is applied again after a restore.
CREATE TABLE vault.erasure (
    person_id uuid PRIMARY KEY,
    fact_id uuid NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now()
);
