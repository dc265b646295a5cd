"""Servers with the configuration that is shipped for production: TLS, nkeys, accounts; alone or as a cluster."""

import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.embedded.nats import server_binary
from services.embedded.program import Program
from services.embedded.readiness import first_line
from services.embedded.supervisor import Supervisor
from services.projections.relay import Servers
from services.subscribers.keys import new_seed, public_key
from tests.ports import free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "nats"
USERS = ("system", "admin", "relay", "monitor")


class Site:
    """A directory with the shipped configuration, certificates and keys, for as many servers as there are ports."""

    def __init__(self, path: Path, count: int = 1) -> None:
        self.path = path
        shutil.copytree(SHIPPED, path)
        self.seeds = {user: new_seed() for user in USERS}
        self.ports = [free_port() for _ in range(count)]
        self.route_ports = [free_port() for _ in range(count)]
        make_certificates(path)
        self.subscribers = path / "subscribers.conf"

    def servers(self, user: str, seed: bytes | None = None) -> Servers:
        """Where a user connects."""
        url = ",".join(f"tls://127.0.0.1:{port}" for port in self.ports)
        return Servers(url, (seed or self.seeds[user]).decode(), str(self.path / "ca.pem"))

    def environment(self, number: int = 0) -> dict[str, str]:
        """What the configuration reads from the environment."""
        routes = ", ".join(f'"tls://route:between-servers@127.0.0.1:{port}"' for port in self.route_ports)
        return {
            "NATS_NAME": f"n{number}",
            "NATS_PORT": str(self.ports[number]),
            "NATS_STORE": str(self.path / f"store{number}"),
            "NATS_STORE_MAX": "200000000",
            "NATS_TLS_CERT": str(self.path / "server.pem"),
            "NATS_TLS_KEY": str(self.path / "server.key"),
            "NATS_TLS_CA": str(self.path / "ca.pem"),
            "NATS_ROUTE_PORT": str(self.route_ports[number]),
            "NATS_ROUTES": f"[{routes}]",
            "NATS_ROUTE_PASSWORD": "between-servers",
        } | {f"NATS_{user.upper()}": public_key(seed) for user, seed in self.seeds.items()}

    def check(self, name: str) -> subprocess.CompletedProcess[str]:
        """What `nats-server -t` says of a file of the configuration."""
        command = [server_binary(), "-t", "-c", str(self.path / name)]
        return subprocess.run(command, env=self.environment(), text=True, capture_output=True, check=False)

    def program(self, number: int = 0) -> Program:
        """One of the servers."""
        configuration = self.path / ("nats.conf" if len(self.ports) == 1 else "cluster.conf")
        port = self.ports[number]

        async def greets() -> bool:
            return (await first_line("127.0.0.1", port)).startswith(b"INFO ")

        return Program(
            name=f"nats {number}",
            argv=[server_binary(), "-c", str(configuration)],
            environment=self.environment(number),
            log=self.path / f"nats{number}.log",
            ready=greets,
            orphan_signal=signal.SIGTERM,
        )

    def add(self, name: str, account: object) -> None:
        """Add an account to the configuration, as an operator does."""
        with self.subscribers.open("a") as file:
            file.write(f'"{name}": {json.dumps(account, indent=2)}\n')


@asynccontextmanager
async def production(site: Site) -> AsyncIterator[Site]:
    """Run the one server of a site."""
    supervisor = Supervisor(print)
    await supervisor.start(site.program())
    yield site
    await supervisor.stop()


def make_certificates(path: Path) -> None:
    """`ca.pem`, and `server.pem` with `server.key` for 127.0.0.1, valid for an hour."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)

    def begin(name: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
        )

    ca = begin("tests", ca_key.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    (path / "ca.pem").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    server = begin("server", key.public_key()).add_extension(names, critical=False).add_extension(uses, critical=False)
    (path / "server.pem").write_bytes(server.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    pem, form, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (path / "server.key").write_bytes(key.private_bytes(pem, form, plain))
