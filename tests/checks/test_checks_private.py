"""What counts as private in a text, and what only looks like it."""

from __future__ import annotations

import json

import pytest
from checking import check, clean_rows, codes, found
from hypothesis import given
from hypothesis import strategies as st

from datasette_ftclassify.checks.private_data import DETECTORS
from datasette_ftclassify.core.typed_json import as_json

EMAIL, PHONE, CARD, IBAN, SECRET = DETECTORS
# Put together here, so that no scanner of secrets takes this file for a leak.
OPENAI_KEY = "sk-" + "proj-" + "a1B2c3D4e5F6g7H8i9J0k"
AWS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB_TOKEN = "ghp" + "_" + "0123456789abcdefghijABCDEFGHIJ012345"


def detected(text: str) -> set[str]:
    return {code for code, (_, detect) in DETECTORS.items() if detect(text)}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("write to jo.bloggs+news@mail.example.co.uk.", EMAIL),
        ("<a@b.org>", EMAIL),
        ("ring 020 7946 0018 after six", PHONE),
        ("01632 960833", PHONE),
        ("(0) 5122 96083 3 or 07700900123", PHONE),
        ("+44 7700 900123", PHONE),
        ("+1-202-555-0143", PHONE),
        ("call (202) 555-0143 now", PHONE),
        ("202.555.0143", PHONE),
        ("+49 (30) 1234 5678", PHONE),
        ("my card 4111 1111 1111 1111 was", CARD),
        ("5555-5555-5555-4444", CARD),
        ("378282246310005", CARD),
        ("IBAN: GB82 WEST 1234 5698 7654 32", IBAN),
        ("DE89370400440532013000", IBAN),
        (f"key={OPENAI_KEY}", SECRET),
        (AWS_KEY, SECRET),
        (GITHUB_TOKEN, SECRET),
        ("-----BEGIN RSA PRIVATE KEY-----", SECRET),
        ("token 9fQ2mZx7Kp4Lw8Rt3Vb6Nc1Jd5Hg0SyA", SECRET),
    ],
)
def test_private(text: str, code: str) -> None:
    assert detected(text) == {code}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "meet @noon, user@host",
        "on 01/02/2020 12:30:45 and 2020-01-05 10:00",
        "order 2025550143, invoice 1234567890123",
        "it cost 1,000,000,000 or 0.123456789",
        "version 1.2.3.4.5.6.7.8.9",
        "000000000000",
        "card ending 4111 1111 1111 1112",
        "4444 4444 4444 4444 444",
        "GB83 WEST 1234 5698 7654 32",
        "see https://example.org/d/1aB2cD3eF4gH5iJ6kL7mN8oP9qR0sT1uV2wX",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "123e4567-e89b-12d3-a456-426614174000",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    ],
)
def test_not_private(text: str) -> None:
    assert detected(text) == set()


def test_one_digit_wrong_is_no_card_number() -> None:
    right = "4111111111111111"
    for place in range(2, 16):
        wrong = right[:place] + str((int(right[place]) + 1) % 10) + right[place + 1 :]
        assert CARD not in detected(wrong)


@given(st.text())
def test_any_text_can_be_searched(text: str) -> None:
    detected(text)
    detected(f"1{text}@{text}9")


def test_long_texts_are_searched_in_no_time() -> None:
    for piece in ("a", "1", "1 ", "@", "a@", "+1", "A1", "0-", "eyJa.", "(0"):
        detected(piece * 20_000)


def test_counted_and_never_repeated() -> None:
    secret = [("mail jo@example.org", "garden"), (f"use {OPENAI_KEY}", "house")]
    report = check([*clean_rows(), *secret, ("also jo@example.org", None)])
    assert found(report, EMAIL).keys == ((331,), (333,))
    assert found(report, EMAIL).severity == "warning"
    assert found(report, SECRET).where == '"id" in (332)'
    told = json.dumps(as_json(report)["findings"])
    assert "jo@" not in told
    assert OPENAI_KEY not in told


def test_what_stays_on_this_machine_is_no_warning() -> None:
    report = check([*clean_rows(), ("jo@example.org", "garden")], leaves_machine=False)
    assert found(report, EMAIL).severity == "info"
    assert PHONE not in codes(report)
