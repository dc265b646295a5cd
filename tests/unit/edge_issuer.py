"""An issuer of tokens with one key of each kind, and others it should not be believed with."""

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://issuer.test", "certibranche"
KEYS = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
_ALGORITHMS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def public(algorithm: str, key: Any = None, **members: Any) -> dict[str, Any]:
    """The JWK of a key; its id is the algorithm's name unless `kid` says otherwise."""
    jwk = _ALGORITHMS[algorithm].to_jwk((key or KEYS[algorithm]).public_key(), as_dict=True)
    return jwk | {"kid": algorithm} | members


def document(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys or [public(algorithm) for algorithm in KEYS]}).encode()


def token(algorithm: str = "ES256", *, kid: str | None = "", key: Any = None, **claims: Any) -> bytes:
    """A good token but for what is given; a claim of None is left out, and so is a kid of None."""
    now = int(time.time())
    all_claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 300, "client_id": "hr"} | claims
    given = {name: value for name, value in all_claims.items() if value is not None}
    headers = {} if kid is None else {"kid": kid or algorithm}
    return jwt.encode(given, key or KEYS[algorithm], algorithm=algorithm, headers=headers).encode()
