"""What the session holds of a click, and whose session it is."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.contrib.auth import SESSION_KEY as AUTH_SESSION_KEY
from django.contrib.auth import get_user_model
from django.db import router

from ..api.landing import PARAMETERS, Landing
from ..models import Attribution, moment

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest

KEY: Final = "connectly_tracking"
VERSION: Final = 1
#: Characters of values that a session may carry: in signed cookies the whole session
#: has 4 KB, and a browser drops what is larger, with the customer's cart and login.
ROOM: Final = 1536

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A click as the session knows it. ``at``: Unix seconds.

    ``landing`` is None where the values were too long; then the row alone has them.
    ``stored``: whether the row was written. ``passed_over``: the digest of a lesser
    click that came later and was stored without replacing this one. ``pending``: the
    visitor was not yet asked for consent, so that no row may be written.
    """

    id: UUID
    at: float
    business: str
    landing: Landing | None
    digest: str
    reportable: bool
    stored: bool
    passed_over: str = ""
    pending: bool = False

    @classmethod
    def of(cls, click: Attribution, *, stored: bool, pending: bool = False) -> Held:
        landing = click.landing
        return cls(
            id=click.pk,
            at=click.captured_at.timestamp(),
            business=click.business,
            landing=landing if landing.size <= ROOM else None,
            digest=digest(landing),
            reportable=landing.is_reportable,
            stored=stored,
            pending=pending,
        )

    def attribution(self) -> Attribution | None:
        """The click as a model; one query where the values are not held here."""
        if self.landing is None:
            stored = Attribution.objects.using(router.db_for_write(Attribution))
            return stored.filter(pk=self.id).first()
        click = Attribution.from_landing(
            self.landing,
            id=self.id,
            business=self.business,
            captured_at=moment(self.at),
        )
        click._state.adding = not self.stored
        return click


def digest(landing: Landing) -> str:
    """Tells whether two landings are the same, without their values."""
    text = "\n".join(landing.values)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(request: HttpRequest) -> Held | None:
    """The click in the session; None without one, or where the store is down."""
    session = _session(request)
    if session is None:
        return None
    try:
        return _parse(session.get(KEY))
    except Exception as exc:  # noqa: BLE001 - a store that is down must not cost the page
        logger.warning("session_not_read error=%s", type(exc).__name__)
        return None


def write(request: HttpRequest, held: Held) -> bool:
    """Put a click into the session. Returns whether that worked."""
    session = _session(request)
    if session is None:
        return False
    entry: dict[str, Any] = {
        "v": VERSION,
        "id": held.id.hex,
        "at": held.at,
        "business": held.business,
        "digest": held.digest,
        "reportable": held.reportable,
        "stored": held.stored,
    }
    if held.landing is not None:
        entry["values"] = [getattr(held.landing, name) for name in PARAMETERS]
    if held.passed_over:
        entry["passed_over"] = held.passed_over
    if held.pending:
        entry["pending"] = True
    try:
        if not session.modified:
            _spare_the_page(session)
        session[KEY] = entry
    except Exception as exc:  # noqa: BLE001 - as above
        logger.warning("session_not_written error=%s", type(exc).__name__)
        return False
    return True


def drop(request: HttpRequest) -> None:
    """Take the click out of the session; a session without one is left alone."""
    session = _session(request)
    try:
        if session is not None and KEY in session:
            del session[KEY]
    except Exception as exc:  # noqa: BLE001 - as above
        logger.warning("session_not_written error=%s", type(exc).__name__)


def mark_stored(request: HttpRequest, held: Held) -> None:
    write(request, replace(held, stored=True, pending=False))


def user_id(request: HttpRequest) -> Any:
    """The logged-in visitor's primary key, without a query; None for a stranger."""
    session = _session(request)
    try:
        value = None if session is None else session.get(AUTH_SESSION_KEY)
        return None if value is None else get_user_model()._meta.pk.to_python(value)
    except Exception as exc:  # noqa: BLE001 - as above
        logger.warning("session_not_read error=%s", type(exc).__name__)
        return None


def click_in(request: HttpRequest, held: Held) -> Attribution | None:
    """The click as a model; where it has no row yet it is the logged-in visitor's."""
    click = held.attribution()
    if click is not None and click._state.adding:
        click.user_id = user_id(request)
    return click


def _session(request: HttpRequest) -> SessionBase | None:
    return getattr(request, "session", None)


def _spare_the_page(session: SessionBase) -> None:
    """A session that cannot be saved costs no page, if only we have changed it.

    Django saves it after the view, and answers 500 where its store is down, and 400
    where the session has just been ended elsewhere.
    """
    save, before = session.save, _others(session)

    def spare(*args: Any, **kwargs: Any) -> None:
        try:
            save(*args, **kwargs)
        except Exception as exc:
            if _others(session) != before:
                raise  # the shop's own change is lost, too
            logger.warning("session_not_saved error=%s", type(exc).__name__)

    session.save = spare  # type: ignore[method-assign]


def _others(session: SessionBase) -> str:
    """Whatever is not ours."""
    return repr({key: value for key, value in session.items() if key != KEY})


def _parse(entry: Any) -> Held | None:
    """An entry of ours; None where it is another version's, or somebody else's."""
    match entry:
        case {
            "v": 1,
            "id": str(hex_id),
            "at": float() | int() as at,
            "business": str(business),
            "digest": str(known),
            "reportable": bool(reportable),
            "stored": bool(stored),
        }:
            pass
        case _:
            return None
    try:
        identity, values = UUID(hex_id), entry.get("values")
        landing = None if values is None else Landing(**_named(values))
    except (ValueError, TypeError):
        return None
    return Held(
        id=identity,
        at=at,
        business=business,
        landing=landing,
        digest=known,
        reportable=reportable,
        stored=stored,
        passed_over=str(entry.get("passed_over", "")),
        pending=entry.get("pending") is True,
    )


def _named(values: list[object]) -> dict[str, str]:
    named = dict(zip(PARAMETERS, values, strict=True))
    if not all(isinstance(value, str) for value in values):
        raise TypeError
    return named  # type: ignore[return-value]
