"""The real product, run once for the session as `certibranche up`, and what tests need to speak to it.

Tests share it, so each of them makes its own things under fresh ids: `publish_certification`, `register_persons`.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from services.embedded.data_folder import DataFolder
from services.embedded.issuer import Issuer
from services.embedded.nats import reader_url
from services.embedded.readiness import http_ok, wait_until
from tests.ports import free_port

READY_S = 60.0
STOP_S = 45.0
ANSWER_S = 30.0
LOG_LINES = 15

_ROUTINE = re.compile(r'"event":"(request|not_ready)"')

SOURCE = "urn:certibranche:tests"
SCOPES = (
    *("catalogue:write", "registrations:write", "evaluations:write", "awards:write"),
    *("persons:read", "persons:write", "registrations:read", "log:read"),
)


class Installation:
    """A running registry. `url` is its address, `data` its data folder, `nats_url` where subscribers connect."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port, self.nats_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = DataFolder(data)
        self._said = data.with_suffix(".log")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Run it; returns once it is ready."""
        command = ["up", "--data", str(self.data), "--port", str(self.port), "--nats-port", str(self.nats_port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CERTIBRANCHE_")}
        with self._said.open("wb") as said:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.cli", *command), env=environment, stdout=said, stderr=said
            )
        await self.until_ready()

    async def until_ready(self) -> None:
        """Wait until requests, read models and NATS are served."""

        async def ready() -> bool:
            return self._ended() or await http_ok("127.0.0.1", self.port, "/health/ready")

        if not await wait_until(ready, READY_S) or self._ended():
            pytest.fail(f"the installation is not ready\n{self.logs()}", pytrace=False)

    async def stop(self) -> None:
        """End it as Ctrl-C does; it must succeed."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(self._process.wait(), STOP_S)
        if code != 0:
            pytest.fail(f"the installation ended with exit code {code}\n{self.logs()}", pytrace=False)

    def token(
        self,
        *scopes: str,
        sources: Sequence[str] = ("",),
        client_id: str = "tests",
        organisers: Sequence[str] | None = None,
    ) -> str:
        """An access token for an hour."""
        return Issuer(self._folder).token(scopes, sources, client_id, 3600, organisers)

    def client(
        self,
        *scopes: str,
        sources: Sequence[str] = ("",),
        client_id: str = "tests",
        organisers: Sequence[str] | None = None,
        **options: Any,
    ) -> httpx2.AsyncClient:
        """An HTTP client with these scopes; without any, it has no token. options: AsyncClient's own."""
        token = self.token(*scopes, sources=sources, client_id=client_id, organisers=organisers)
        headers = {"Authorization": f"Bearer {token}"} if scopes else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, **{"timeout": ANSWER_S, **options})

    @property
    def folder(self) -> DataFolder:
        """Its data folder, as the program sees it."""
        return self._folder

    @property
    def nats_url(self) -> str:
        return reader_url(self._folder, self.nats_port)

    def process_id(self, name: str) -> int | None:
        """The process of a part (postgres, nats, serve, follow, relay), None while it waits to be restarted."""
        assert self._process is not None
        supervisor = self._process.pid
        for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if name in (Path(words[0].decode()).name.removesuffix("-server"), words[-2:-1] and words[-2].decode()):
                    return int(child)
        return None

    async def kill(self, name: str) -> None:
        """End a part's process without warning; returns once another runs in its place."""
        killed = self.process_id(name)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        async def replaced() -> bool:
            return self.process_id(name) not in (None, killed)

        assert await wait_until(replaced, READY_S)

    def logs(self) -> str:
        """The last lines of what `up` and the registry's own parts have said, requests and probes aside."""
        files = [self._said, *(self._folder.logs / f"{name}.log" for name in ("serve", "follow", "relay", "postgres"))]
        return "\n".join(f"--- {file.name}\n{_last_lines(file)}" for file in files)

    def _ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None


def _last_lines(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return "\n".join([line for line in lines if not _ROUTINE.search(line)][-LOG_LINES:])


@pytest_asyncio.fixture(scope="session")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """The registry of the session. Whoever breaks something in it leaves it ready again."""
    running = Installation(tmp_path_factory.mktemp("installation") / "data")
    await running.start()
    yield running
    await running.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the installation logged beside a test of it that failed."""
    report = yield
    running = getattr(item, "funcargs", {}).get("installation")
    if report.failed and isinstance(running, Installation):
        report.sections.append(("the installation's logs", running.logs()))
    return report


# What tests post


def event(name: str, data: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """A CloudEvent in structured form, under a fresh id. name: that of the fact ("jury.held")."""
    own = {"specversion": "1.0", "id": str(uuid4()), "source": SOURCE, "type": f"certibranche.{name}.v1", "data": data}
    return own | attributes


def objective(**attributes: Any) -> dict[str, Any]:
    """The simplest event, which no rule refuses and no other test looks at."""
    return event("objective.set", {"year": 9999, "beneficiaries": 1}) | attributes


def certification(**changes: Any) -> dict[str, Any]:
    """The first version of a certification nobody has heard of, with one bloc of two competences."""
    slug = f"c-{uuid4().hex}"
    competences = [{"competence_id": f"{slug}-{n}", "label": f"Compétence {n}"} for n in (1, 2)]
    return {
        "certification_id": slug,
        "version": 1,
        "family": "CQPM",
        "title": "Soudeur industriel",
        "effective_from": "2010-01-01",
        "blocs": [{"bloc_id": f"{slug}-b", "title": "Souder", "competences": competences}],
    } | changes


def registration(person_id: str, certification_id: str, **changes: Any) -> dict[str, Any]:
    """The data of a fresh registration of the person for the certification."""
    return {
        "registration_id": str(uuid4()),
        "person_id": person_id,
        "certification_id": certification_id,
        "target": "CERTIFICATION",
        "route": "FORMATION",
        "status": "SALARIE",
        "registered_on": "2018-03-01",
    } | changes


def person(**changes: Any) -> dict[str, Any]:
    """The civil identity of somebody who was never registered."""
    return {
        "birth_name": f"Martin {uuid4().hex}",
        "first_names": ["Camille"],
        "birth_date": "1990-05-17",
        "sex": "F",
        "birth_place": {"insee": "75056"},
    } | changes


async def post(client: httpx2.AsyncClient, posted: Any, token: str | None = None) -> httpx2.Response:
    """Post one event in structured mode, with the client's own token or another."""
    headers = {"Content-Type": "application/cloudevents+json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return await client.post("/v1/events", json=posted, headers=headers)


async def publish_certification(client: httpx2.AsyncClient, **changes: Any) -> str:
    """Publish a fresh certification; its id."""
    data = certification(**changes)
    answer = await post(client, event("certification.published", data))
    assert answer.status_code == 201, answer.text
    return str(data["certification_id"])


async def register_persons(client: httpx2.AsyncClient, count: int) -> list[str]:
    """Register so many fresh persons; their ids."""
    answers = await asyncio.gather(*map(partial(_register, client), (person() for _ in range(count))))
    return list(answers)


async def _register(client: httpx2.AsyncClient, identity: dict[str, Any]) -> str:
    answer = await client.post("/v1/persons", json=identity)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["person_id"])
