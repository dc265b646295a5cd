"""What tests of the read side may ask for."""

from collections.abc import Callable

import pytest

from services.embedded.data_folder import DataFolder
from services.embedded.issuer import Issuer


@pytest.fixture
def bearer(data_folder: DataFolder) -> Callable[..., dict[str, str]]:
    """The header of a token with some scopes."""
    issuer = Issuer(data_folder)

    def header(*scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {issuer.token(scopes, [''], 'test', 60)}"}

    return header
