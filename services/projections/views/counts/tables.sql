-- What the branch counts, year by year. View `counts`.
--
-- Each change is kept with its position (delta, persons_delta), so that the counts as of any position are their sum;
-- cell and persons hold the sums of all of them. A region that nobody named is '', and so is the branch of all branches.

CREATE TABLE cell (
    year int NOT NULL,
    certification_id text COLLATE "C" NOT NULL,
    family text COLLATE "C" NOT NULL,
    reporting_status text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    region text COLLATE "C" NOT NULL,
    registered int NOT NULL,
    beneficiaries int NOT NULL,
    revoked int NOT NULL,
    PRIMARY KEY (year, certification_id, family, reporting_status, branch, region)
) WITH (fillfactor = 80);

CREATE TABLE delta (
    position bigint PRIMARY KEY,
    year int NOT NULL,
    certification_id text COLLATE "C" NOT NULL,
    family text COLLATE "C" NOT NULL,
    reporting_status text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    region text COLLATE "C" NOT NULL,
    registered int NOT NULL,
    beneficiaries int NOT NULL,
    revoked int NOT NULL
);
CREATE INDEX ON delta (year, position);

-- Distinct persons with a live certificate.
CREATE TABLE persons (
    year int NOT NULL,
    branch text COLLATE "C" NOT NULL,
    persons int NOT NULL,
    PRIMARY KEY (year, branch)
) WITH (fillfactor = 50);

CREATE TABLE persons_delta (
    year int NOT NULL,
    branch text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    persons int NOT NULL,
    PRIMARY KEY (year, branch, position)
);

CREATE TABLE objective (
    year int NOT NULL,
    position bigint NOT NULL,
    beneficiaries int NOT NULL,
    PRIMARY KEY (year, position)
);

-- What later events need of earlier ones: where a registration or a certificate was counted, and whether it still is.
CREATE TABLE registration (
    registration_id text COLLATE "C" PRIMARY KEY,
    year int NOT NULL,
    certification_id text COLLATE "C" NOT NULL,
    family text COLLATE "C" NOT NULL,
    reporting_status text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    region text COLLATE "C" NOT NULL,
    cancelled boolean NOT NULL
) WITH (fillfactor = 90);

-- Numbers are unique without case: they are kept in lower case.
CREATE TABLE certificate (
    certificate_number text COLLATE "C" PRIMARY KEY,
    year int NOT NULL,
    certification_id text COLLATE "C" NOT NULL,
    family text COLLATE "C" NOT NULL,
    reporting_status text COLLATE "C" NOT NULL,
    branch text COLLATE "C" NOT NULL,
    region text COLLATE "C" NOT NULL
);

-- Live certificates of a person in a year, in a branch and ('') in all.
CREATE TABLE holder (
    person_id text COLLATE "C" NOT NULL,
    year int NOT NULL,
    branch text COLLATE "C" NOT NULL,
    certificates int NOT NULL,
    PRIMARY KEY (person_id, year, branch)
) WITH (fillfactor = 80);

-- Ids that were merged, each with the id that stands for it now; never a chain.
CREATE TABLE alias (
    merged_id text COLLATE "C" PRIMARY KEY,
    kept_id text COLLATE "C" NOT NULL
);
CREATE INDEX ON alias (kept_id);

