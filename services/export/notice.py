"""What article 15 of the GDPR has a controller say beside the data: purposes, recipients, source, retention."""

from importlib import resources
from pathlib import Path

import msgspec

from services.settings import SettingsRefused


class PartNotice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a part of the export, in the person's language."""

    what: str
    purposes: str
    recipients: str
    source: str
    retention: str


class Parts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One for each part of the export."""

    identity: PartNotice
    competencies: PartNotice
    registrations: PartNotice
    certificates: PartNotice
    events: PartNotice
    accesses: PartNotice


class Notice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """controller: who answers for the registry, and how to reach them. rights: what the person may ask for."""

    controller: str
    rights: str
    parts: Parts


def read_notice(path: str | None) -> Notice:
    """The operator's notice, or the one that comes with the registry. Raises SettingsRefused."""
    own = resources.files("services.export") / "notice.json"
    try:
        return msgspec.json.decode((own if path is None else Path(path)).read_bytes(), type=Notice)
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsRefused([f"CERTIBRANCHE_EXPORT_NOTICE: {error}"]) from error
