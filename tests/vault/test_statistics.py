"""PostgreSQL keeps samples of columns for its planner, which an erasure does not reach: there are none of secrets."""

from pathlib import Path

import asyncpg

from services.log.migrations import migrate, migrations_in
from services.registry.app import VAULT_MIGRATIONS

SECRET = {"fingerprint", "nir_fingerprint", "sealed", "sealed_nir", "wrapped_key", "fingerprints"}

PERSONS = """
INSERT INTO vault.person
    (person_id, fingerprint, nir_fingerprint, fact_id, commitment, sealed, wrapped_key, requested_by)
SELECT gen_random_uuid(), kept, kept, gen_random_uuid(), kept, kept, kept, 'tests'
FROM generate_series(1, 500) n, sha256(n::text::bytea) kept
"""

ANALYZE = "ANALYZE vault.person, vault.intent, vault.fingerprint_key"


async def sampled(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch("SELECT attname FROM pg_stats WHERE schemaname = 'vault'")
    return {row["attname"] for row in rows}


async def test_nothing_is_sampled_of_what_is_secret_and_what_was_is_gone(database_url: str, tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    for migration in migrations_in(VAULT_MIGRATIONS)[:2]:
        (before / migration.name).write_text(migration.sql)
    connection = await asyncpg.connect(database_url)
    try:
        await migrate(connection, "vault", before)
        await connection.execute(PERSONS)
        await connection.execute(ANALYZE)
        assert await sampled(connection) > {"fingerprint", "sealed", "wrapped_key"}
        await migrate(connection, "vault", VAULT_MIGRATIONS)
        assert not SECRET & await sampled(connection)
        await connection.execute(ANALYZE)
        assert not SECRET & await sampled(connection)
        assert "person_id" in await sampled(connection), "of the others it is"
    finally:
        await connection.close()
