"""What stands in for a registry that lies: it serves a folder's log, and whatever answers a test wants given.

The right answers come out of the same folds as the audit's; that these are right, the real registry's test shows.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from services.audit.checks import Wanted, checks_for
from services.audit.reading import Reading
from services.audit.sources import Folder
from services.audit.things import History
from services.projections.transparency.note import Verifier, open_checkpoint
from services.registry.proposals import paris_day
from tests.audit.history import SIGNER, Published
from tests.unit import http_server

TOKEN = "right"
Answer = tuple[int, Any]
"""Status and JSON."""


@dataclass
class StandIn:
    """answers: by path, without the query. denied: the paths' beginnings that the token does not allow.

    headers: sent with each answer. broken: how many requests fail before the next one is answered.
    """

    log: Published
    answers: dict[str, Answer] = field(default_factory=dict)
    denied: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    broken: int = 0
    url: str = ""

    def answer(self, path: str, query: dict[str, list[str]], authorization: str | None) -> tuple[int, bytes]:
        """Status and body."""
        if self.broken:
            self.broken -= 1
            return 503, b'{"detail": "not now"}'
        guarded = path.startswith(("/log/tile/entries/", "/v1/persons", "/v1/log", "/v1/branch"))
        if guarded and authorization != f"Bearer {TOKEN}":
            return 401, b'{"detail": "no token"}'
        if path.startswith(self.denied or ("none",)):
            return 403, b'{"detail": "the token does not hold the scope"}'
        if path.startswith("/log/"):
            file = self.log.folder / path.removeprefix("/log/")
            return (200, file.read_bytes()) if file.is_file() else (404, b"")
        status, said = self.answers.get(path, (404, {"detail": "unknown"}))
        if path == "/v1/branch/counts" and status == 200:
            wanted = range(int(query["from"][0]), int(query["to"][0]) + 1)
            branch = query.get("branch", [""])[0]
            said = {"years": [said[branch, year] for year in wanted]}
        return status, said if isinstance(said, bytes) else json.dumps(said).encode()


@contextmanager
def serving(stand_in: StandIn) -> Iterator[StandIn]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body = stand_in.answer(parts.path, parse_qs(parts.query), self.headers["Authorization"])
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **stand_in.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http_server.serving(Handler) as stand_in.url:
        yield stand_in


def right_answers(log: Published) -> dict[str, Answer]:
    """What an honest registry would answer about the log at its end."""
    reading = Reading(checks_for(Wanted(vkey=SIGNER.vkey, entries=True)), None, 0)
    checkpoint = open_checkpoint(log.note, Verifier(SIGNER.vkey))
    reading.run(checkpoint, Folder(log.folder), lambda _: None)
    assert reading.last is not None
    history = History(reading.spool, reading.rules.reference, paris_day(reading.last))
    counts = {
        (branch, year): msgspec.to_builtins(reading.counts.counts(year, branch or None, checkpoint.size))
        for branch in ("", *reading.counts.branches())
        for span in reading.counts.spans()
        for year in span
    }
    answers: dict[str, Answer] = {"/v1/branch/counts": (200, counts), "/v1/log/entries": (200, b"")}
    for id_ in reading.persons.ids:
        person = history.person(id_)
        assert person is not None
        erased = (410, {"detail": "erased"})
        said = erased if person.erased else (200, history.competencies(person, checkpoint.size))
        answers[f"/v1/persons/{id_}/competencies"] = said
    for number in reading.certificates.ids:
        answers[f"/v1/certificates/{number}"] = 200, history.certificate(number)
    reading.close()
    return answers
