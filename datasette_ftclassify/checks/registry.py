"""All finding codes: name, severity and meaning.

A code is a promise: scripts compare it and pages link to it. So all of them are here, a finding
can be made with no other, and the documentation is checked against this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Code:
    """severities: those a finding of this code may have, gravest first."""

    severities: tuple[Severity, ...]
    meaning: str


_ERROR: tuple[Severity, ...] = ("error",)
_WARNING: tuple[Severity, ...] = ("warning",)
_INFO: tuple[Severity, ...] = ("info",)

CODES: dict[str, Code] = {
    # Amounts
    "no-examples": Code(_ERROR, "No row has both a text and a label."),
    "too-few-examples": Code(
        ("error", "warning"),
        "Fewer than 10 examples (providers refuse the file), or fewer than 100.",
    ),
    "one-label": Code(_ERROR, "All examples have the same label."),
    "one-text": Code(_ERROR, "All examples have the same text."),
    "too-many-labels": Code(_ERROR, "More distinct labels than a classifier can hold."),
    "free-text-labels": Code(_ERROR, "Nearly every row has a label of its own."),
    "single-example-labels": Code(_WARNING, "Labels with one example."),
    "rare-labels": Code(_WARNING, "Labels with two to four examples."),
    "small-labels": Code(_INFO, "Labels with fewer than 100 examples."),
    "no-label-for-the-rest": Code(
        ("info",),
        "No label stands for whatever the others do not: a text about something else gets one of "
        "them all the same.",
    ),
    "imbalance": Code(
        ("warning", "info"),
        "The largest label has at least 10 times the examples of the smallest, or 90 % of all.",
    ),
    # Cells
    "null-text": Code(_WARNING, "Rows whose text is NULL."),
    "empty-text": Code(_WARNING, "Rows whose text is empty or white space."),
    "blob-text": Code(_WARNING, "Rows whose text is a BLOB."),
    "undecodable-text": Code(_WARNING, "Rows whose text is not valid UTF-8."),
    "empty-label": Code(_INFO, "Rows whose label is blank text: not labelled, as NULL is."),
    "blob-label": Code(_WARNING, "Rows whose label is a BLOB."),
    "undecodable-label": Code(_WARNING, "Rows whose label is not valid UTF-8."),
    "invalid-label": Code(_WARNING, "Rows whose labels are no list, or no 0 and 1."),
    "unlabelled": Code(_INFO, "Rows that are not labelled yet."),
    "partly-blank-flags": Code(_INFO, "Rows with some label columns blank, which count as off."),
    "very-short-texts": Code(_INFO, "Texts with fewer than 3 letters and digits."),
    "long-texts-cut": Code(
        ("warning", "info"),
        "Texts longer than the local trainer reads; of a tenth of the rows not even half is read.",
    ),
    "html-in-text": Code(("warning", "info"), "Texts in HTML, whose tags are read as words."),
    "encoded-text": Code(
        _WARNING,
        "Texts in RTF, quoted-printable or base64, in HTML whose tags are written as "
        "`&lt;p&gt;`, or in UTF-8 that was read in another encoding.",
    ),
    "common-beginning": Code(_INFO, "All texts begin with the same words."),
    "common-ending": Code(_INFO, "All texts end with the same words."),
    # Labels
    "label-variants": Code(
        ("warning", "info"),
        "Labels that are one but for case, white space, characters without a width, accents, the "
        "form of a number or an encoding that was read wrongly; or that were merged.",
    ),
    "unnamed-keys": Code(
        _WARNING, "Labels that are keys of another table, which has no row or no name for them."
    ),
    "label-types": Code(_ERROR, "A label stands in the column as a number and as text."),
    "label-notation": Code(
        ("error", "warning", "info"),
        "How several labels in a cell were read; labels with pieces of another notation; vectors "
        "of 0 and 1 without label names.",
    ),
    "label-on-every-row": Code(("error", "warning"), "A label that every row has (multilabel)."),
    "rows-without-labels": Code(_INFO, "Rows that have none of the labels (multilabel)."),
    "labels-always-together": Code(_WARNING, "Labels that no row has apart (multilabel)."),
    # The same text twice
    "exact-duplicates": Code(_WARNING, "Rows that repeat the text and labels of another."),
    "conflicting-labels": Code(_WARNING, "Rows that share a text but not their labels."),
    "near-duplicates": Code(
        ("warning", "info"),
        "Rows whose texts differ in few words, or quote each other whole; from 10 % of the "
        "examples on a warning.",
    ),
    "conflicting-near-duplicates": Code(_WARNING, "Near copies with different labels."),
    "few-different-texts": Code(
        _WARNING,
        "Fewer than 10 texts that are no copies of each other, or one of them in most examples.",
    ),
    # Splits
    "no-training-rows": Code(_ERROR, "No row is in the train split."),
    "no-test-rows": Code(_WARNING, "No row is in the test split."),
    "small-test-split": Code(_INFO, "Fewer than 100 rows in the test split."),
    "validation-from-train": Code(_INFO, "The split column names no validation rows."),
    "split-values-left-out": Code(_WARNING, "Rows whose split is none of the three."),
    "shared-across-splits": Code(
        _WARNING, "Validation or test rows whose text, or a near copy, is in train."
    ),
    "test-rows-few-for-copies": Code(
        _WARNING,
        "Labels with less than half of their share in the test, since copies stay together.",
    ),
    "label-missing-from-split": Code(("warning", "info"), "Labels that a split lacks."),
    # The model and its provider
    "over-token-limit": Code(_WARNING, "Texts longer than the model reads."),
    "separator-in-text": Code(("warning", "info"), "Texts that hold the separator."),
    "stop-in-text": Code(_INFO, "Texts that hold the stop sequence."),
    "stop-in-label": Code(_ERROR, "Labels that hold the stop sequence."),
    "labels-of-several-tokens": Code(_INFO, "Labels that are not one token for the model."),
    "labels-share-first-token": Code(_INFO, "Labels that begin with the same token."),
    "vocabulary-unknown": Code(_INFO, "Tokens are estimated: the vocabulary is not at hand."),
    "file-too-large": Code(
        ("error", "warning"), "The training file would be larger than a provider takes."
    ),
    # Private data
    "email-addresses": Code(("warning", "info"), "Texts with e-mail addresses."),
    "phone-numbers": Code(("warning", "info"), "Texts with phone numbers."),
    "card-numbers": Code(("warning", "info"), "Texts with payment card numbers."),
    "bank-accounts": Code(("warning", "info"), "Texts with IBANs."),
    "secret-keys": Code(("warning", "info"), "Texts with API keys, tokens or private keys."),
    # Deep checks
    "likely-mislabelled": Code(_WARNING, "Rows whose label a cross-validated model denies."),
    "leaking-words": Code(("warning", "info"), "A word that gives a label away."),
    "leaking-columns": Code(("warning", "info"), "A column that gives the label away."),
    "label-in-text": Code(_INFO, "Labels that stand in their own texts."),
}
