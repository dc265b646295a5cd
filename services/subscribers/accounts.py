"""Who may do what on NATS, as the accounts of its configuration.

Permissions do not cover the reply subject of a request, and the server publishes its answer there with all the rights
of its account: in the account of the stream, who may publish an event could have the stream deleted, by naming that
call as reply to a batch whose acknowledgement is empty (tried). So only the administrator is in the stream's account.
Everyone else has an account without anything in it but the few calls it may make, imported: an answer stays there.

A service that is imported under its own name would meet the server's refusal to accounts without JetStream: a mapping
renames `$JS.API` on the way in, so that clients need not know. Permissions are checked behind the mapping.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.subjects import STREAM, SUBJECT_PREFIX

SUBJECTS = f"{SUBJECT_PREFIX}.>"
API = "$JS.API."
CALLS = "LOG.API."
"""What $JS.API becomes in every account but that of the stream."""

INBOX = "_INBOX.>"
"""Where answers go, and where clients listen for them unless they are told otherwise."""

Identity = Mapping[str, str]
"""How a user proves who it is: `{"nkey": …}`, or `{"user": …, "password": …}`."""

is_subscriber_name = re.compile("[a-z0-9][a-z0-9-]{0,30}").fullmatch


def account_name(subscriber: str) -> str:
    return f"SUBSCRIBER-{subscriber}"


def log_account(admin: Identity, stream: str = STREAM) -> dict[str, Any]:
    """The account of the stream. Exports are what others may import at most; each imports what its owner may do."""
    single = [f"{API}{call}" for call in _single_answer_calls(stream)]
    exports: list[dict[str, Any]] = [{"service": SUBJECTS, "accounts": ["RELAY"]}]
    exports += [{"service": call} for call in (*single, f"$JS.ACK.{stream}.>", f"$JS.FC.{stream}.>")]
    exports += [{"service": f"{API}{call}", "response_type": "stream"} for call in _many_answers_calls(stream)]
    exports.append({"stream": INBOX, "accounts": ["READERS"]})
    return {"jetstream": "enabled", "users": [dict(admin)], "exports": exports}


def relay_account(relay: Identity, stream: str = STREAM) -> dict[str, Any]:
    """Publishes events, and asks where the stream ends."""
    return _caller(relay, [SUBJECTS, f"{API}STREAM.INFO.{stream}", f"{API}DIRECT.GET.{stream}"])


def monitor_account(monitor: Identity, stream: str = STREAM) -> dict[str, Any]:
    """Sees where the stream and its consumers are."""
    return _caller(monitor, [f"{API}{call}.{stream}" for call in ("STREAM.INFO", "DIRECT.GET", "CONSUMER.LIST")])


def subscriber_account(name: str, subscriber: Identity, stream: str = STREAM) -> dict[str, Any]:
    """Reads by its own durable consumer: asks for messages, acknowledges them, asks where it is, rewinds it."""
    calls = [f"{API}CONSUMER.{call}.{stream}.{name}" for call in ("MSG.NEXT", "INFO", "RESET")]
    return _caller(subscriber, [*calls, f"$JS.ACK.{stream}.{name}.>"])


def readers_account(reader: Identity, stream: str = STREAM) -> dict[str, Any]:
    """Development only: reads the stream by any means of JetStream, keeps consumers, changes nothing else."""
    calls = [f"{API}{call}" for call in (*_single_answer_calls(stream), *_many_answers_calls(stream))]
    account = _caller(reader, [*calls, f"$JS.ACK.{stream}.>", f"$JS.FC.{stream}.>"])
    account["imports"].append({"stream": {"account": "LOG", "subject": INBOX}})  # what push consumers deliver
    return account


def _caller(identity: Identity, calls: Sequence[str]) -> dict[str, Any]:
    """An account whose one user makes these calls to the stream's account and hears the answers."""
    renamed = [call.replace(API, CALLS) for call in calls]
    permissions = {"publish": {"allow": renamed}, "subscribe": {"allow": [INBOX]}}
    return {
        "users": [{**identity, "permissions": permissions}],
        "mappings": {f"{API}>": f"{CALLS}>"},
        "imports": [
            {"service": {"account": "LOG", "subject": call}, "to": to} for call, to in zip(calls, renamed, strict=True)
        ],
    }


def _single_answer_calls(stream: str) -> list[str]:
    calls = ["INFO", f"STREAM.INFO.{stream}", "STREAM.NAMES", "STREAM.LIST", f"STREAM.MSG.GET.{stream}"]
    calls += [f"CONSUMER.{call}.{stream}" for call in ("CREATE", "NAMES", "LIST")]
    calls += [f"CONSUMER.{call}.{stream}.>" for call in ("CREATE", "DURABLE.CREATE", "INFO", "DELETE", "RESET")]
    return calls


def _many_answers_calls(stream: str) -> list[str]:
    return [f"DIRECT.GET.{stream}", f"DIRECT.GET.{stream}.>", f"CONSUMER.MSG.NEXT.{stream}.>"]
