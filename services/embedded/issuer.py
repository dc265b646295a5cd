"""The development issuer: makes tokens for one data folder. A real installation names its own issuer's JWKS instead."""

import time
from collections.abc import Sequence
from pathlib import Path

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from services.embedded.data_folder import DataFolder
from services.settings import DEVELOPMENT_ISSUER

ISSUER = DEVELOPMENT_ISSUER
AUDIENCE = "certibranche"
KEY_ID = "development"


class Issuer:
    """An ES256 key, kept in the folder and made on first use, and the tokens it signs."""

    def __init__(self, folder: DataFolder) -> None:
        pem = folder.create_once("issuer.pem", _new_key).read_bytes()
        key = load_pem_private_key(pem, password=None)
        assert isinstance(key, EllipticCurvePrivateKey)
        self._key = key
        self._folder = folder

    def jwks(self) -> Path:
        """The file with the public key, as a JWK set (RFC 7517)."""
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        key = public | {"kid": KEY_ID, "alg": "ES256", "use": "sig"}
        return self._folder.create_once("jwks.json", lambda: msgspec.json.encode({"keys": [key]}))

    def token(
        self,
        scopes: Sequence[str],
        sources: Sequence[str],
        client_id: str,
        ttl_s: int,
        organisers: Sequence[str] | None = None,
    ) -> str:
        """An access token (RFC 9068) for ttl_s seconds from now.

        sources: prefixes of the sources it may post as; "" allows any. organisers: those whose registrations it is
        limited to; None: it is not limited.
        """
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + ttl_s,
            "sub": client_id,
            "client_id": client_id,
            "scope": " ".join(scopes),
            "sources": list(sources),
        }
        if organisers is not None:
            claims["organisers"] = list(organisers)
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"typ": "at+jwt", "kid": KEY_ID})


def _new_key() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
