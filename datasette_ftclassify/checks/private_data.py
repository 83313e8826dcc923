"""Personal and secret things in texts, before they are sent to somebody else's computer.

Only how many rows and which: what was found is not repeated in a report. A detector that cries
wolf is not read, so numbers must have the form of a phone number and not only its length, and card
and account numbers must pass their check digits.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator

from ..core.database import Key
from ..core.humanize import rows_text
from ..core.labels import LabelValue
from .codes import MILD, Code, Section, Severity
from .registry import text_check
from .report import Finding
from .row_conditions import Seen
from .scan import Facts

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![\w-])")

_MANY_DIGITS = re.compile(r"\d(?:[^\w\n]{0,3}\d){7}")
_DATE = r"(?!\d{1,4}[./-]\d{1,2}[./-]\d{1,4})"
_PHONE = re.compile(
    r"(?<![\w.,+/-])(?:"
    # International: + and 8 to 15 digits (E.164).
    r"\+\d{1,3}(?:[ .\-/]?\(?\d{1,4}\)?){2,6}"
    # National with a trunk 0, as in Europe.
    rf"|{_DATE}\(?0\d{{1,5}}\)?(?:[ .\-/]{{0,2}}\d{{2,9}}){{1,4}}"
    # North American, with separators: without them it is any number of ten digits.
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}"
    r")(?![\w])"
)
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w])")
_CARD_PREFIX = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|62\d{14,17}"
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")

_SECRET = re.compile(
    r"sk-[A-Za-z0-9_-]{20}|(?<!\w)A(?:KIA|SIA)[0-9A-Z]{16}(?!\w)|gh[pousr]_[A-Za-z0-9]{36}"
    r"|github_pat_\w{40}|xox[abprs]-[\w-]{10}|AIza[\w-]{35}|-----BEGIN [A-Z ]{0,30}PRIVATE KEY"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10}"
)
# Not in an address or a path: identifiers of pages and files are long and random too.
_RANDOM = re.compile(r"(?<![\w/=.&?%-])[A-Za-z0-9]{32,128}(?![\w/.])")


def has_email(text: str) -> bool:
    return "@" in text and _EMAIL.search(text) is not None


def has_phone(text: str) -> bool:
    """A number with the form of a phone number: 9 to 15 digits, at least 3 different ones."""
    if not _MANY_DIGITS.search(text):
        return False
    for match in _PHONE.finditer(text):
        digits = _digits(match[0])
        if 9 <= len(digits) <= 15 and len(set(digits)) >= 3 and not _is_card(digits):
            return True
    return False


def has_card(text: str) -> bool:
    """A payment card number: a known beginning, its length, and the check digit (ISO 7812)."""
    if not _MANY_DIGITS.search(text):
        return False
    return any(_is_card(_digits(match[0])) for match in _CARD.finditer(text))


def has_iban(text: str) -> bool:
    """An IBAN with its check digits (ISO 13616: the number modulo 97 is 1)."""
    return any(_is_iban(match[0].replace(" ", "")) for match in _IBAN.finditer(text))


def has_secret(text: str) -> bool:
    """A key of a known form, or 32 and more letters and digits without a pattern."""
    if _SECRET.search(text):
        return True
    return any(_is_random(match[0]) for match in _RANDOM.finditer(text))


def _digits(text: str) -> str:
    return "".join(c for c in text if c in "0123456789")


def _is_card(digits: str) -> bool:
    if not _CARD_PREFIX.fullmatch(digits) or len(set(digits)) < 2:
        return False
    doubled = [int(d) * 2 if i % 2 else int(d) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    if not 15 <= len(text) <= 34:
        return False
    moved = text[4:] + text[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_random(token: str) -> bool:
    """Upper and lower case, digits, and at least 4 bits of entropy a character."""
    if token.isalpha() or token.upper() == token or token.lower() == token:
        return False
    shares = [n / len(token) for n in Counter(token).values()]
    return -sum(share * math.log2(share) for share in shares) >= 4


DETECTORS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "email-addresses": ("an e-mail address", has_email),
    "phone-numbers": ("what looks like a phone number", has_phone),
    "card-numbers": ("a payment card number", has_card),
    "bank-accounts": ("a bank account number (IBAN)", has_iban),
    "secret-keys": ("what looks like a secret key or password token", has_secret),
}


_MASK = (
    "Mask private data before texts leave this machine, or train locally; also consider it before "
    "publishing the table."
)


@text_check(
    Section.PRIVATE,
    Code("email-addresses", MILD, "Texts with e-mail addresses.", _MASK),
    Code("phone-numbers", MILD, "Texts with phone numbers.", _MASK),
    Code("card-numbers", MILD, "Texts with payment card numbers.", _MASK),
    Code("bank-accounts", MILD, "Texts with IBANs.", _MASK),
    Code("secret-keys", MILD, "Texts with API keys, tokens or private keys.", _MASK),
    when=lambda facts: facts.private,
)
class PrivateData:
    """Counts rows by what their text holds, labelled or not: the others are sent to be labelled."""

    every_text = True

    def __init__(self, facts: Facts) -> None:
        self.leaves_machine = facts.leaves_machine
        self.seen = {code: Seen() for code in DETECTORS}

    def see(self, key: Key, text: str, labels: tuple[LabelValue, ...]) -> None:
        for code, (_, detect) in DETECTORS.items():
            if detect(text):
                self.seen[code].add(key)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        for code, seen in self.seen.items():
            if seen.count:
                message, advice = private_text(code, seen.count, self.leaves_machine)
                severity: Severity = "warning" if self.leaves_machine else "info"
                yield facts.finding(code, message, advice, severity=severity, seen=seen)


def private_text(code: str, count: int, leaves_machine: bool | None) -> tuple[str, str]:
    """The message and the advice for so many rows; None: nobody has said yet who trains."""
    return f"{rows_text(count).capitalize()} with {DETECTORS[code][0]} in the text.", _ADVICE[
        leaves_machine
    ]


_ADVICE = {
    True: "These texts would leave this machine: mask private data first, or train locally.",
    False: "Nothing leaves this machine, but consider it before you publish the table.",
    None: "Nothing leaves this machine with the local trainer: mask private data before you choose "
    "a service or publish the table.",
}
