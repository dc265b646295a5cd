"""Problems: how the registry says no (RFC 9457), and the one class each of them has.

A problem's `type` is `/problems/<slug>`, relative to the registry's own address, where a page explains it. Titles,
statuses and slugs are constants of a class; what happened to *this* request is in `detail`, `rule` and the values.
"""

from typing import Any, ClassVar

import msgspec

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request the registry does not fulfil.

    detail: one sentence for a person, naming nobody and giving every value it speaks of.
    rule: the number of the contract's rule that refuses ("R6"), for those that one refuses.
    values: further members of the problem object; JSON values, dates included.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, detail: str, *, rule: str | None = None, **values: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.rule = rule
        self.values = values

    @classmethod
    def type_uri(cls) -> str:
        """The stable URI reference of this kind of problem."""
        return f"/problems/{cls.slug}"

    def members(self) -> dict[str, Any]:
        """The problem object, ready for JSON."""
        members: dict[str, Any] = {
            "type": self.type_uri(),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.rule is not None:
            members["rule"] = self.rule
        return members | self.values

    def encode(self) -> bytes:
        """The problem object as JSON bytes."""
        return msgspec.json.encode(self.members())


class Malformed(Problem):
    slug, title, status = "malformed", "The request is malformed", 400


class NotPosted(Problem):
    slug, title, status = "not-posted", "A fact of this type is not posted", 400


class Unauthenticated(Problem):
    slug, title, status = "unauthenticated", "A valid bearer token is required", 401


class ScopeMissing(Problem):
    slug, title, status = "scope-missing", "The token does not hold the scope", 403


class SourceNotAllowed(Problem):
    slug, title, status = "source-not-allowed", "The token may not post facts of this source", 403


class OrganiserNotAllowed(Problem):
    slug, title, status = "organiser-not-allowed", "The token is limited to other organisers", 403


class NotFound(Problem):
    slug, title, status = "not-found", "There is no such thing", 404


class MethodNotAllowed(Problem):
    slug, title, status = "method-not-allowed", "This address does not answer that method", 405


class NotAcceptable(Problem):
    slug, title, status = "not-acceptable", "No representation of that media type exists", 406


class RequestTimeout(Problem):
    slug, title, status = "request-timeout", "The request's body took too long to arrive", 408


class IdempotencyConflict(Problem):
    slug, title, status = "idempotency-conflict", "This source and id were recorded with other content", 409


class Erased(Problem):
    slug, title, status = "erased", "This person's identity has been erased", 410


class TooLarge(Problem):
    slug, title, status = "too-large", "The content is too large", 413


class UnsupportedMediaType(Problem):
    slug, title, status = "unsupported-media-type", "This media type is not understood here", 415


class TooManyRequests(Problem):
    """A client has used up its quota for some seconds. Retry-After says when the next request is taken."""

    slug, title, status = "too-many-requests", "Too many requests", 429

    def __init__(self, detail: str, *, retry_after_s: int = 1, **values: Any) -> None:
        super().__init__(detail, **values)
        self.retry_after_s = retry_after_s


class HeadTooLarge(Problem):
    slug, title, status = "head-too-large", "The request's line and header fields are too large", 431


class Bug(Problem):
    slug, title, status = "internal-error", "The registry failed; it has been logged", 500


class Unavailable(Problem):
    """Not now: the same request may succeed later, and posting again is safe. Retry-After says when to try."""

    slug, title, status = "unavailable", "The registry cannot do this right now", 503

    def __init__(self, detail: str, *, retry_after_s: int = 1, **values: Any) -> None:
        super().__init__(detail, **values)
        self.retry_after_s = retry_after_s
