"""Keys of NATS users: Ed25519, the seed kept by its owner, the public key named in the server's configuration."""

import secrets

import nkeys  # type: ignore[import-untyped]


def new_seed() -> bytes:
    """The seed of a new user's key, `SU…`."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed


def public_key(seed: bytes) -> str:
    """What the server knows of the owner of a seed, `U…`."""
    public: bytes = nkeys.from_seed(bytearray(seed.strip())).public_key
    return public.decode()
