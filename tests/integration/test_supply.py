"""What the registry is made of is locked by hash, listed, and looked up among known vulnerabilities."""

import re
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.supply import ROOT, audit, sbom

REGISTRY = {"registry": "https://pypi.org/simple"}


@pytest.fixture(scope="module")
def locked() -> dict[str, dict[str, Any]]:
    """The packages of uv.lock, by name."""
    return {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return sbom()


def in_production(locked: dict[str, dict[str, Any]]) -> set[str]:
    """The names of what is installed with every extra of ours and without development groups, on some platform."""
    own = locked["certibranche"]
    wanted = [*own["dependencies"], *(d for extra in own.get("optional-dependencies", {}).values() for d in extra)]
    names = set[str]()
    while wanted:
        dependency = wanted.pop()
        package = locked[dependency["name"]]
        for extra in dependency.get("extra", []):
            wanted += package["optional-dependencies"][extra]
        if package["name"] not in names:
            names.add(package["name"])
            wanted += package.get("dependencies", [])
    return names


def test_every_file_of_every_locked_package_has_a_hash_and_one_registry(locked: dict[str, dict[str, Any]]) -> None:
    assert locked["certibranche"]["source"] == {"editable": "."}
    for name, package in locked.items():
        if name == "certibranche":
            continue
        assert package["source"] == REGISTRY, name
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert files, name
        for file in files:
            assert re.fullmatch("sha256:[0-9a-f]{64}", file["hash"]), name
            assert file["url"].startswith("https://files.pythonhosted.org/"), name


def test_setup_takes_what_is_locked_and_nothing_else() -> None:
    installing = [line for line in (ROOT / "Makefile").read_text().splitlines() if "$(UV) sync" in line]
    assert installing
    assert all("--locked" in line for line in installing)


def test_everything_that_runs_in_production_is_listed_with_its_hashes(
    document: dict[str, Any], locked: dict[str, dict[str, Any]]
) -> None:
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    listed = {component["name"]: component for component in document["components"]}
    beside = {"postgresql", "nats-server", "swagger-ui-dist"}
    assert set(listed) == in_production(locked) | beside
    for name in set(listed) - beside:
        assert listed[name]["version"] == locked[name]["version"]
        hashes = {h["content"] for reference in listed[name]["externalReferences"] for h in reference["hashes"]}
        files = [*locked[name].get("wheels", []), *filter(None, [locked[name].get("sdist")])]
        assert hashes == {file["hash"].removeprefix("sha256:") for file in files}
    assert "pytest" not in listed
    assert listed["postgresql"]["version"].startswith("18.")
    assert all(file["hashes"] for file in listed["swagger-ui-dist"]["components"])


def test_the_same_lock_gives_the_same_document(document: dict[str, Any]) -> None:
    assert sbom() == document


class Osv(BaseHTTPRequestHandler):
    """Says of one package that it is vulnerable, or of none, as OSV does."""

    vulnerable: str | None = None

    def do_POST(self) -> None:
        queries = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        found = [{"vulns": [self._vulnerability()]} if self._is_it(query) else {} for query in queries]
        self._answer({"results": found})

    def do_GET(self) -> None:
        affected = [{"package": {"ecosystem": "PyPI", "name": self.vulnerable}, "versions": []}]
        self._answer(self._vulnerability() | {"summary": "made up", "affected": affected})

    def log_message(self, *_: Any) -> None: ...

    def _is_it(self, query: dict[str, Any]) -> bool:
        return self.vulnerable is not None and self.vulnerable == query["package"].get("name")

    def _vulnerability(self) -> dict[str, Any]:
        return {"id": "TEST-2026-1", "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z"}

    def _answer(self, content: Any) -> None:
        body = msgspec.json.encode(content)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def osv(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Osv]]:
    server = HTTPServer(("127.0.0.1", 0), Osv)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OSV_URL", f"http://127.0.0.1:{server.server_port}/")
    yield Osv
    Osv.vulnerable = None
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("vulnerable", "code"), [(None, 0), ("cryptography", 1), ("pytest", 1)])
def test_a_known_vulnerability_of_what_is_locked_fails(
    osv: type[Osv], capsys: pytest.CaptureFixture[str], vulnerable: str | None, code: int
) -> None:
    osv.vulnerable = vulnerable
    assert audit() == code
    said = capsys.readouterr().out
    assert ("TEST-2026-1" in said) is (vulnerable is not None)
    assert "SKIPPED" not in said


def test_without_the_network_the_look_is_skipped_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSV_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    assert audit() == 0
    assert "SKIPPED: OSV is out of reach" in capsys.readouterr().out


def test_a_lock_that_does_not_fit_is_no_trouble_of_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n')
    assert audit(tmp_path) != 0
    assert "SKIPPED" not in capsys.readouterr().out


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/threat-model.md", "docs/database-roles.md"])
def test_what_a_page_on_security_names_is_there(page: str) -> None:
    """Tests, files and commands: a page that promises what is gone is worse than none."""
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:tests|docs|services|contracts|deploy)/[\w/.-]*)`", text))
    named |= {str((ROOT / page).parent.relative_to(ROOT) / link) for link in re.findall(r"\]\(([\w/.-]+)\)", text)}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= targets
