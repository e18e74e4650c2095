"""The landing page's path, as it may be kept and shown.

People open tagged links while they reset a password, confirm an address or follow an
invitation. A part of the path that looks like a secret or names a person is not kept;
``***`` stands for it. What an analyst needs stays: words, dates, article numbers.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import combining, normalize
from urllib.parse import quote

from ..models import MAX_PAGE

#: Announce a secret: what follows a part that is made of these words is not kept,
#: unless it is a word itself. Written without accents.
_OF_SECRETS: Final = frozenset(
    {
        *("activate", "activation", "auth", "confirm", "confirmation", "email"),
        *("forgot", "invitation", "invite", "key", "login", "magic", "oauth", "otp"),
        *("password", "recover", "recovery", "reset", "secret", "session", "signin"),
        *("signup", "sso", "token", "unsubscribe", "verification", "verify"),
        # Spanish and Portuguese
        *("activacion", "activar", "ativacao", "ativar", "chave", "clave"),
        *("codigo", "confirmacao", "confirmacion", "confirmar", "contrasena"),
        *("convite", "descadastrar", "esqueci", "invitacion", "olvide", "recuperacao"),
        *("recuperacion", "recuperar", "redefinicao", "redefinir", "restablecer"),
        *("restablecimiento", "senha", "sesion", "sessao", "validar", "verificacao"),
        *("verificacion", "verificar"),
        # French, German and Italian
        *("activer", "confirmer", "oublie", "passe", "reinitialiser", "verifier"),
        *("aktivieren", "bestaetigen", "bestatigen", "einladung", "passwort"),
        *("vergessen", "zuruecksetzen", "zurucksetzen"),
        *("attiva", "conferma", "invito", "recupera", "reimposta", "verifica"),
    }
)
_BESIDE_THEM: Final = frozenset(
    {
        *("account", "change", "link", "my", "new", "set"),
        *("alterar", "cambiar", "conta", "correo", "cuenta", "de", "enlace", "mi"),
        *("minha", "mot", "nova", "nueva", "sua", "tu"),
    }
)

_WORD: Final = r"[a-z]{1,24}(?:[-_][a-z]{1,24})*"
_IS_WORD: Final = re.compile(_WORD)
_IS_ALL_WORDS: Final = re.compile(f"(?:/{_WORD})*/?")
_SEPARATORS: Final = re.compile("[-_.~=,;+!]")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
_LONG_HEX: Final = re.compile(r"[0-9a-f]{16,}", re.I)
_LONG_NUMBER: Final = re.compile(r"\d{20,}")
_PHONE: Final = re.compile(r"\+\d{7,}")
#: Between a letter and a digit, and before a capital inside a word.
_CHANGE: Final = re.compile(
    r"(?<=[a-z])(?=[A-Z\d])|(?<=\d)(?=[a-zA-Z])|(?<=[A-Z])(?=\d)"
)


def kept_page(path: str) -> str:
    """Return a decoded path in the form that is stored, without what looks secret."""
    if _IS_ALL_WORDS.fullmatch(path):
        return path[:MAX_PAGE]
    kept, follows_announcement = [], False
    for part in path[: 4 * MAX_PAGE].split("/"):
        plain = _without_accents(part)
        is_word = _IS_WORD.fullmatch(plain) is not None
        is_hidden = bool(part) and not is_word
        is_hidden = is_hidden and (follows_announcement or _looks_secret(part))
        kept.append("***" if is_hidden else quote(part))
        if part:
            follows_announcement = is_hidden or (is_word and _announces(plain))
    # Any column can hold it, and nothing depends on it.
    return "/".join(kept)[:MAX_PAGE]


def _without_accents(part: str) -> str:
    if part.isascii():
        return part
    return "".join(sign for sign in normalize("NFKD", part) if not combining(sign))


def _announces(part: str) -> bool:
    words = set(_SEPARATORS.split(part)) - _BESIDE_THEM
    return bool(words) and words <= _OF_SECRETS


def _looks_secret(part: str) -> bool:
    """Whether a part is an address, signed, or too random to be a name."""
    if "@" in part or "%40" in part or ":" in part or _PHONE.match(part):
        return True
    if _UUID.search(part) or _LONG_NUMBER.search(part):
        return True
    if any(not found.isdigit() for found in _LONG_HEX.findall(part)):
        return True
    odd = 0  # characters in pieces in which letters and digits alternate
    for piece in _SEPARATORS.split(part):
        changes = len(_CHANGE.findall(piece))
        if len(piece) >= 16 and changes * 4 >= len(piece):
            return True
        odd += len(piece) if changes * 2 >= len(piece) else 0
    return odd >= 12
