"""The AsyncAPI 3 document: what the registry publishes on NATS, for tools and for those who do not read Python."""

from typing import Any

import msgspec

from contracts.examples import EXAMPLES
from contracts.facts import FACTS
from contracts.json_schemas import stored_schema
from contracts.subjects import PARTITIONS, STREAM, SUBJECT_PREFIX

VERSION = "1"

DESCRIPTION = """Every event of the registry, once, in order. **Stream sequence = log position**, and the payload is the
stored event byte for byte: the same bytes that `GET /v1/log/entries` answers and that the transparency log proves.

Read by a durable pull consumer made with `certibranche subscriber add`. Delivery is at least once: your own position,
kept with what you made of the events, is the truth. `docs/subscribe.md` says what may be relied on, and
`contracts/subscriber/` is an example that may be copied."""


def async_api() -> dict[str, Any]:
    """The document. The payload schemas are those of `contracts/schemas`, their parts moved to the components."""
    schemas: dict[str, Any] = {}
    for type_name, fact in FACTS.items():
        schema = _moved(stored_schema(type_name, fact))
        for name, part in schema.pop("$defs", {}).items():
            if schemas.setdefault(name, part) != part:
                raise ValueError(f"two different schemas are called {name}")
        del schema["$schema"], schema["$id"]
        schemas[type_name] = schema
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "certibranche",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "production": {
                "host": "nats.example:4222",
                "protocol": "nats",
                "description": "TLS, and an nkey for each subscriber.",
                "security": [{"$ref": "#/components/securitySchemes/nkey"}],
            }
        },
        "channels": {"events": _channel()},
        "operations": {
            "publishEvents": {
                "action": "send",
                "summary": "Publish every event of the log, in its order, at its position.",
                "channel": {"$ref": "#/channels/events"},
            }
        },
        "components": {
            "messages": {type_name: _message(type_name) for type_name in FACTS},
            "messageTraits": {"event": _trait()},
            "schemas": schemas,
            "securitySchemes": {
                "nkey": {
                    "type": "asymmetricEncryption",
                    "description": "Ed25519; the server knows the public key.",
                }
            },
        },
    }


def _channel() -> dict[str, Any]:
    return {
        "address": f"{SUBJECT_PREFIX}.{{partition}}.{{thing}}.{{event}}.{{certification}}",
        "title": "The log",
        "servers": [{"$ref": "#/servers/production"}],
        "parameters": {
            "partition": {
                "description": f"FNV-1a (32 bits) of the event's `subject`, modulo {PARTITIONS}.",
                "examples": ["0", "37", "63"],
            },
            "thing": {"enum": sorted({fact.name.split(".")[0] for fact in FACTS.values()})},
            "event": {"enum": sorted({fact.name.split(".")[1] for fact in FACTS.values()})},
            "certification": {"description": "Its certification_id, or `-`.", "examples": ["cqpm-2014-0300", "-"]},
        },
        "messages": {type_name: {"$ref": f"#/components/messages/{type_name}"} for type_name in FACTS},
        "x-nats-jetstream": {
            "stream": STREAM,
            "subjects": [f"{SUBJECT_PREFIX}.>"],
            "sequence": "the event's position in the log",
            "consumer": {"kind": "pull", "durable": True, "ackPolicy": "explicit"},
        },
    }


def _message(type_name: str) -> dict[str, Any]:
    event = msgspec.json.decode(EXAMPLES[type_name])
    headers = {"Content-Type": "application/cloudevents+json", "ce-id": event["id"], "ce-type": type_name}
    return {
        "name": type_name,
        "title": FACTS[type_name].name,
        "summary": (FACTS[type_name].__doc__ or "").partition("\n")[0],
        "contentType": "application/cloudevents+json",
        "traits": [{"$ref": "#/components/messageTraits/event"}],
        "payload": {"$ref": f"#/components/schemas/{type_name}"},
        "examples": [{"name": type_name.replace(".", "-"), "headers": headers, "payload": event}],
    }


def _trait() -> dict[str, Any]:
    names = {
        "Content-Type": {"type": "string", "const": "application/cloudevents+json"},
        "ce-id": {"type": "string", "description": "The event's id, percent-encoded where a header needs it."},
        "ce-type": {"type": "string", "description": "The event's type."},
    }
    return {"headers": {"type": "object", "required": list(names), "properties": names}}


def _moved(value: Any) -> Any:
    """The same with references to parts of a schema led to the components."""
    if isinstance(value, dict):
        return {
            name: part.replace("#/$defs/", "#/components/schemas/") if name == "$ref" else _moved(part)
            for name, part in value.items()
        }
    return [_moved(part) for part in value] if isinstance(value, list) else value
