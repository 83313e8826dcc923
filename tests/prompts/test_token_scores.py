from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasette_ftclassify.core.labels import Kind, LabelSet, LabelValue
from datasette_ftclassify.prompts.formats import Codec, ExportFormat
from datasette_ftclassify.prompts.token_scores import (
    TOLERANCE,
    LabelScores,
    Split,
    TokenScorer,
    read_positions,
)
from datasette_ftclassify.prompts.token_scores.positions import END

Place = tuple[str | bytes, Mapping[Any, float]]


def codec(*labels: LabelValue, kind: Kind = "multiclass", **options: Any) -> Codec:
    return ExportFormat(**options).bind(LabelSet(labels, kind))


def chat(*places: Place) -> dict[str, Any]:
    """An answer as the chat endpoint gives it: what was said, and probabilities, at each place."""
    return {
        "content": [
            {
                **entry(said, listed.get(said, 0)),
                "top_logprobs": [entry(*e) for e in listed.items()],
            }
            for said, listed in places
        ]
    }


def entry(token: str | bytes, p: float) -> dict[str, Any]:
    raw = token.encode() if isinstance(token, str) else token
    text = "<|end|>" if raw == END else raw.decode(errors="replace")
    return {"token": text, "bytes": [*raw], "logprob": math.log(p) if p else -9999.0}


def completion(*places: tuple[str, dict[str, float]]) -> dict[str, Any]:
    """The same as the completions endpoint gives it."""
    return {
        "tokens": [said for said, _ in places],
        "token_logprobs": [math.log(listed[said]) for said, listed in places],
        "top_logprobs": [{t: math.log(p) for t, p in listed.items()} for _, listed in places],
        "text_offset": [0] * len(places),
    }


def scores(codec: Codec, *places: Place, split: Split | None = None) -> LabelScores:
    found = TokenScorer(codec, split).score(chat(*places))
    assert found is not None
    return found


def chances(found: LabelScores) -> list[float]:
    return [math.exp(value) for value in found.logprobs]


near = pytest.approx

# --- one token a label


def test_what_is_outside_the_set_is_kept_apart() -> None:
    found = scores(codec("ham", "spam"), ("spam", {"spam": 0.6, "ham": 0.2, "eggs": 0.2}))
    assert chances(found) == near([0.25, 0.75])
    assert found.other == near(0.2)
    assert found.exact


def test_ways_to_write_a_label_are_one() -> None:
    listed = {"spam": 0.3, " spam": 0.2, "Spam": 0.1, " SPAM": 0.1, "ham": 0.2, "Ham": 0.1}
    found = scores(codec("ham", "spam"), ("spam", listed))
    assert chances(found) == near([0.3, 0.7])
    assert found.exact


def test_case_tells_labels_apart_where_it_must() -> None:
    listed = {"US": 0.5, "us": 0.3, "Us": 0.1, " us": 0.1}
    found = scores(codec("US", "us"), ("US", listed))
    assert chances(found) == near([5 / 9, 4 / 9])
    assert found.other == near(0.1)


def test_labels_that_were_not_listed_share_what_is_left() -> None:
    found = scores(codec("a", "b", "c"), ("a", {"a": 0.5, "x": 0.3}))
    # Each a third of the fifth that is left, as is everything else.
    assert chances(found) == near(
        [0.5 / 0.6333333, 0.0666667 / 0.6333333, 0.0666667 / 0.6333333], 1e-5
    )
    assert found.other == near(0.3 + 0.0666667)
    assert not found.exact


def test_no_unlisted_label_has_more_than_the_least_listed() -> None:
    found = scores(codec("a", "b"), ("a", {"a": 0.5, "x": 0.001}))
    assert chances(found)[1] == near(0.001 / 0.501)
    assert not found.exact


def test_what_is_left_may_be_too_little_to_matter() -> None:
    found = scores(codec("a", "b"), ("a", {"a": 0.999999, "x": 5e-7}))
    assert found.exact
    assert chances(found)[1] < 1e-6


def test_a_label_that_cannot_have_been_said_keeps_a_logarithm() -> None:
    found = scores(codec("a", "b"), ("a", {"a": 1.0}))
    assert found.logprobs == near((0.0, math.log(1e-15)))


def test_only_the_token_that_was_said_is_known() -> None:
    answer = {"content": [{"token": "a", "bytes": [97], "logprob": math.log(0.8)}]}
    found = TokenScorer(codec("a", "b")).score(answer)
    assert found is not None
    assert chances(found) == near([8 / 9, 1 / 9])
    assert (found.other, found.exact) == (near(0.1), False)


def test_a_token_said_though_it_was_not_listed() -> None:
    # OpenAI gives -9999 for a token beyond the 20 most probable.
    found = scores(codec("a", "b"), ("b", {"x": 0.6, "a": 0.1}))
    assert chances(found) == near([0.5, 0.5])
    assert not found.exact


def test_without_log_probabilities_there_is_no_score() -> None:
    scorer = TokenScorer(codec("a", "b"))
    for nothing in (None, {}, [], {"content": None}, {"content": []}, {"tokens": []}, "a"):
        assert scorer.score(nothing) is None
    assert scorer.score({"tokens": ["a"], "token_logprobs": [None], "top_logprobs": None}) is None
    # Nothing in these speaks for a label.
    assert scorer.score(chat(("x", {"x": 1.0}))) is None


# --- several tokens a label


def test_a_beginning_that_only_one_label_has() -> None:
    found = scores(
        codec("baseball", "hockey"),
        ("h", {"h": 0.7, "base": 0.2, "x": 0.1}),
        ("ockey", {"ockey": 1.0}),
    )
    assert chances(found) == near([2 / 9, 7 / 9])
    assert (found.other, found.exact) == (near(0.1), True)


def test_labels_part_where_their_tokens_do() -> None:
    found = scores(
        codec("card lost", "card stolen", "refund"),
        ("card", {"card": 0.8, "re": 0.2}),
        (" lost", {" lost": 0.75, " stolen": 0.25}),
    )
    assert chances(found) == near([0.6, 0.2, 0.2])
    assert found.exact


def test_a_beginning_that_several_labels_have_is_divided() -> None:
    found = scores(
        codec("card lost", "card stolen", "refund"), ("refund", {"refund": 0.6, "card": 0.4})
    )
    assert chances(found) == near([0.2, 0.2, 0.6])
    assert not found.exact


def test_a_token_that_begins_every_label_favours_none() -> None:
    found = scores(codec("6", "7"), ("6", {"6": 0.6, "7": 0.2, " ": 0.1, "x": 0.1}))
    assert chances(found) == near([0.75, 0.25])
    assert (found.other, found.exact) == (near(0.1), False)
    # Said itself, it is followed.
    found = scores(codec("6", "7"), (" ", {"6": 0.5, " ": 0.5}), ("7", {"7": 0.8, "6": 0.2}))
    assert chances(found) == near([0.6, 0.4])
    assert found.exact


def test_a_label_that_begins_another() -> None:
    places = codec("New York", "New York City", "Rome")
    start = [("New", {"New": 0.9, "Rome": 0.1}), (" York", {" York": 1.0})]
    found = scores(places, *start, (END, {END: 0.6, " City": 0.4}))
    assert chances(found) == near([0.54, 0.36, 0.1])
    assert found.exact
    # Chat answers do not show their end, and so not how nearly the answer went on.
    found = scores(places, *start)
    assert chances(found) == near([0.9, 0, 0.1])
    assert not found.exact
    # Cut off, it may have become either.
    found = scores(places, start[0])
    assert chances(found) == near([0.45, 0.45, 0.1])


def test_an_answer_that_goes_astray_within_a_label() -> None:
    found = scores(
        codec("baseball", "hockey"),
        ("base", {"base": 0.6, "hockey": 0.4}),
        (" camp", {" camp": 0.7, "ball": 0.3}),
    )
    assert chances(found) == near([0.6, 0.4])
    assert found.other == near(0.7)


def test_a_completion_ends_at_its_stop_sequence() -> None:
    form = codec("card", "card lost", form="completion")
    first = (" card", {" card": 0.9, "x": 0.1})
    stop = ("\n", {"\n": 0.8, " lost": 0.1, " tricks": 0.1})
    # What comes after it does not count.
    for answer in (chat(first, stop, ("x", {})), completion(first, stop)):
        found = TokenScorer(form).score(answer)
        assert found is not None
        assert chances(found) == near([8 / 9, 1 / 9])
        assert found.other == near(0.19)
        assert found.exact


def test_emoji_and_accents_may_be_cut_anywhere() -> None:
    happy, sad = "😀".encode(), "😢".encode()
    assert happy[:3] == sad[:3]
    half = (happy[:3], {happy[:3]: 0.9, b"\xc3": 0.1})
    found = scores(codec("😀", "😢", "é"), half, (sad[3:], {sad[3:]: 0.7, happy[3:]: 0.3}))
    assert chances(found) == near([0.27, 0.63, 0.1])
    assert found.exact
    texts = {
        "tokens": ["bytes:\\xf0\\x9f\\x98", "bytes:\\xa2"],
        "token_logprobs": [0.0, 0.0],
        "top_logprobs": None,
    }
    positions = read_positions(texts)
    assert positions is not None
    assert b"".join(p.token for p in positions) == sad


def test_bytes_in_another_form_are_not_believed() -> None:
    positions = read_positions({"content": [{"token": "a", "bytes": 10**12, "logprob": -1.0}]})
    assert positions is not None
    assert positions[0].token == b"a"


def test_a_label_may_have_several_lines() -> None:
    found = scores(codec("a", "a\nb"), ("a", {"a": 1.0}), ("\nb", {"\nb": 0.4, END: 0.6}))
    assert chances(found) == near([0.6, 0.4])
    assert found.exact


def test_a_line_break_ends_an_answer_too() -> None:
    found = scores(codec("a", "ab"), ("a", {"a": 1.0}), ("\n", {"\n": 0.6, "b": 0.4}))
    assert chances(found) == near([0.6, 0.4])
    assert found.exact


def test_the_two_forms_are_one() -> None:
    places = [("a", {"a": 0.5, "b": 0.2, "</s>": 0.1}), ("c", {"c": 1.0})]
    assert read_positions(chat(*places)) == read_positions(completion(*places))


def test_a_token_listed_twice_counts_once_and_two_tokens_that_read_the_same_count_both() -> None:
    def listed(*values: float) -> float:
        tops = [{"token": "a", "bytes": None, "logprob": math.log(v)} for v in values]
        answer = {"content": [{**tops[0], "top_logprobs": tops}]}
        positions = read_positions(answer)
        assert positions is not None
        return math.exp(positions[0].logprobs[b"a"])

    assert listed(0.3, 0.3) == near(0.3)
    assert listed(0.3, 0.2) == near(0.5)


# --- a model of which everything is known

VOCABULARY = ["a", "b", "c", "ab", "ba", "bc", "abc", "ca", " ", "x"]
Model = Callable[[tuple[str, ...]], dict[Any, float]]


def closed_model(labels: Sequence[str], seed: int, *, spaces: bool = True) -> Model:
    """A model that may say anything until one label is left, and then says that label."""
    vocabulary = [token for token in VOCABULARY if spaces or token != " "]
    texts = [space + label for label in labels for space in ("", " ")]

    def after(prefix: tuple[str, ...]) -> dict[Any, float]:
        chance = random.Random(f"{seed} {prefix}")
        said = "".join(prefix)
        left = [text for text in texts if text.startswith(said)]
        if not left:
            return {END: 1.0}
        going_on = [t for t in vocabulary if any(text.startswith(said + t) for text in left)]
        if len({text.strip() for text in left}) == 1:
            return weights(chance, going_on) if going_on else {END: 1.0}
        return weights(chance, [*vocabulary, END])

    return after


def weights(chance: random.Random, tokens: Sequence[Any]) -> dict[Any, float]:
    drawn = [chance.uniform(0.05, 1) ** 2 for _ in tokens]
    return {token: value / sum(drawn) for token, value in zip(tokens, drawn, strict=True)}


def answers(
    model: Model, prefix: tuple[str, ...] = (), p: float = 1.0
) -> Iterator[tuple[str, float]]:
    """Every answer of the model with its probability."""
    for token, chance in model(prefix).items():
        if token == END:
            yield "".join(prefix), p * chance
        else:
            yield from answers(model, (*prefix, token), p * chance)


def truth(model: Model, labels: Sequence[str]) -> tuple[list[float], float]:
    mass = dict.fromkeys(labels, 0.0)
    other = 0.0
    for text, p in answers(model):
        if text.strip() in mass and text.strip() == text.lstrip():
            mass[text.strip()] += p
        else:
            other += p
    total = sum(mass.values())
    return [mass[label] / total for label in labels], other


def one_answer(model: Model, chance: random.Random) -> list[Place]:
    places: list[Place] = []
    said: tuple[str, ...] = ()
    while not places or places[-1][0] != END:
        listed = model(said)
        token = chance.choices([*listed], [*listed.values()])[0]
        places.append((token, listed))
        said = (*said, token)
    return places


LABELS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=2, max_size=4, unique=True)
SEEDS = st.integers(0, 10_000)


@given(st.permutations("abc"), st.lists(st.text("abc", max_size=3), min_size=3, max_size=3), SEEDS)
def test_labels_told_apart_by_their_first_token_are_exact(
    firsts: list[str], rests: list[str], seed: int
) -> None:
    labels = [first + rest for first, rest in zip(firsts, rests, strict=True)]
    # No space before them, which all would have in common.
    model = closed_model(labels, seed, spaces=False)
    places = one_answer(model, random.Random(seed))
    expected, other = truth(model, labels)
    for shown in (places, places[:-1] or places):  # chat answers do not show their end
        found = scores(codec(*labels), *shown)
        assert found.exact
        assert chances(found) == near(expected, abs=1e-9)
        assert found.other == near(other, abs=1e-9)


@settings(max_examples=300)
@given(LABELS, SEEDS, st.integers(1, 11), st.booleans(), st.booleans())
def test_what_is_called_exact_is(
    labels: list[str], seed: int, top: int, end: bool, spaces: bool
) -> None:
    model = closed_model(labels, seed, spaces=spaces)
    places = one_answer(model, random.Random(seed))
    shown = [(said, most(listed, said, top)) for said, listed in places]
    found = TokenScorer(codec(*labels)).score(chat(*(shown if end else shown[:-1] or shown)))
    if found is None:
        return
    assert math.fsum(chances(found)) == near(1, abs=1e-12)
    assert 0 <= found.other <= 1
    assert all(value <= 0 for value in found.logprobs)
    if found.exact:
        expected, other = truth(model, labels)
        assert chances(found) == near(expected, abs=1e-9 if top == 11 else 2 * TOLERANCE)
        assert found.other == near(other, abs=1e-9 if top == 11 else 2 * TOLERANCE)


def most(listed: Mapping[Any, float], said: Any, top: int) -> dict[Any, float]:
    first = sorted(listed.items(), key=lambda item: -item[1])[:top]
    return {**dict(first), said: listed[said]}


@given(LABELS, SEEDS, st.randoms(use_true_random=False), st.integers(1, 11))
def test_no_order_matters(labels: list[str], seed: int, chance: random.Random, top: int) -> None:
    places = one_answer(closed_model(labels, seed), random.Random(seed))
    places = [(said, most(listed, said, top)) for said, listed in places]
    first = TokenScorer(codec(*labels)).score(chat(*places))
    order = chance.sample(range(len(labels)), len(labels))
    shuffled = [
        (said, dict(chance.sample([*listed.items()], len(listed)))) for said, listed in places
    ]
    second = TokenScorer(codec(*(labels[i] for i in order))).score(chat(*shuffled))
    if first is None or second is None:
        assert first is second
        return
    assert [first.logprobs[i] for i in order] == near(list(second.logprobs), abs=1e-9)
    assert second.other == near(first.other)
    assert second.exact == first.exact


SCORERS = [
    TokenScorer(codec("a", "ab", "é")),
    TokenScorer(codec("a", "ab", form="completion"), lambda text: [text.encode()]),
    TokenScorer(codec("a", "b", "ab", kind="multilabel")),
    TokenScorer(codec("a", "b", "ab", kind="multilabel", labels="code")),
    TokenScorer(codec("a", "b", "ab", kind="multilabel", multilabel="flags")),
]
NUMBERS = (
    st.floats() | st.integers() | st.none() | st.sampled_from([-9999.0, -1e-8, -745.0, -690.0])
)
TOKENS = st.sampled_from(
    [
        "a",
        "b",
        " a",
        "[",
        '["',
        '"a"',
        '"',
        "]",
        ", ",
        "0",
        "1",
        "01",
        "\n",
        "",
        "<|end|>",
        "é",
        "\ud83d",
        "\ufffd",
        "bytes:\\xc3",
    ]
)
BYTES = st.none() | st.lists(st.integers(-1, 256), max_size=3) | st.just([0xC3])
ENTRIES = st.fixed_dictionaries({"token": TOKENS, "logprob": NUMBERS, "bytes": BYTES})
PLACES = st.builds(lambda e, tops: {**e, "top_logprobs": tops}, ENTRIES, st.lists(ENTRIES))
JSON = st.recursive(
    NUMBERS | TOKENS, lambda inner: st.lists(inner) | st.dictionaries(TOKENS, inner), max_leaves=5
)
KEYS = st.sampled_from(["content", "tokens", "token_logprobs", "top_logprobs"])


@settings(max_examples=300)
@given(
    st.sampled_from(SCORERS),
    st.fixed_dictionaries({"content": st.lists(PLACES, max_size=4)})
    | st.builds(
        lambda rows: {
            "tokens": [row[0] for row in rows],
            "token_logprobs": [row[1] for row in rows],
            "top_logprobs": [row[2] for row in rows],
        },
        st.lists(st.tuples(TOKENS, NUMBERS, st.none() | st.dictionaries(TOKENS, NUMBERS))),
    )
    | st.dictionaries(KEYS, JSON),
)
def test_nothing_that_a_server_says_breaks_it(scorer: TokenScorer, answer: Any) -> None:
    found = scorer.score(answer)
    if found is not None:
        assert all(math.isfinite(value) and value <= 0 for value in found.logprobs)
        assert 0 <= found.other <= 1


# --- several labels


def flags(count: int) -> Codec:
    return codec(*(f"label {i:02}" for i in range(count)), kind="multilabel", multilabel="flags")


@given(SEEDS)
def test_flags_in_one_token_are_exact(seed: int) -> None:
    strings = ["".join(bits) for bits in itertools.product("01", repeat=3)]
    listed = weights(random.Random(seed), [*strings, "x"])
    said = max(strings, key=listed.__getitem__)
    found = scores(flags(3), (said, listed))
    inside = 1 - listed["x"]
    expected = [sum(listed[s] for s in strings if s[i] == "1") / inside for i in range(3)]
    assert chances(found) == near(expected, abs=1e-9)
    assert (found.other, found.exact) == (near(listed["x"]), True)


def test_flags_in_several_tokens_go_by_those_before() -> None:
    found = scores(
        flags(5), ("010", {"010": 0.8, "110": 0.2}), ("11", {"11": 0.6, "10": 0.3, "00": 0.1})
    )
    assert chances(found) == near([0.2, 1, 0, 0.9, 0.6], abs=1e-12)
    assert not found.exact
    sure = scores(flags(2), ("0", {"0": 1.0}), ("1", {"1": 0.6, "0": 0.4}), (END, {END: 1.0}))
    assert chances(sure) == near([0, 0.6], abs=1e-12)
    assert sure.exact


def test_a_flag_not_listed_has_at_most_what_is_left() -> None:
    found = scores(flags(1), ("1", {"1": 0.8, "x": 0.1}))
    assert chances(found) == near([0.8 / 0.85])
    assert not found.exact


def test_shorter_and_longer_tokens_of_flags() -> None:
    # `0` may go on as `00` or `01`; `0101` is too long.
    found = scores(flags(2), ("01", {"01": 0.6, "10": 0.2, "0": 0.1, "0101": 0.1}))
    assert chances(found) == near([2 / 9, 0.75])
    assert (found.other, found.exact) == (near(0.1), False)


@pytest.mark.parametrize("said", ["01", "0110", "x", "", "0 1"])
def test_flags_of_another_length_have_no_scores(said: str) -> None:
    assert TokenScorer(flags(3)).score(chat((said, {said: 1.0}))) is None
    assert TokenScorer(flags(3)).score(chat(*by_character({said: 1.0}, said))) is None


def test_white_space_before_flags() -> None:
    found = scores(flags(2), ("\n", {"\n": 1.0}), ("01", {"01": 0.8, "11": 0.2}))
    assert chances(found) == near([0.2, 1])
    assert found.other == near(0)


def by_character(texts: Mapping[str, float], said: str) -> list[Place]:
    """The answer `said`, a character a token, of a model that says `texts` so often."""
    places: list[Place] = []
    for at in range(len(said)):
        listed: dict[str, float] = {}
        for text, p in texts.items():
            if text.startswith(said[:at]):
                listed[text[at]] = listed.get(text[at], 0) + p
        total = sum(listed.values())
        places.append((said[at], {token: p / total for token, p in listed.items()}))
    return places


@given(SEEDS)
def test_arrays_are_decided_label_by_label(seed: int) -> None:
    tags = codec("apple", "bean", "berry", kind="multilabel")
    subsets = [s for n in range(4) for s in itertools.combinations(("apple", "bean", "berry"), n)]
    chance = weights(random.Random(seed), subsets)
    texts = {tags.answer_for(subset): p for subset, p in chance.items()}
    said = ("apple", "berry")
    found = scores(tags, *by_character(texts, tags.answer_for(said)))

    def given_those_before(label: int) -> float:
        before = [s for s in subsets if s[:1] == ("apple",) or label == 0]
        before = [s for s in before if "bean" not in s or label < 2]
        name = ("apple", "bean", "berry")[label]
        return sum(chance[s] for s in before if name in s) / sum(chance[s] for s in before)

    assert chances(found) == near([given_those_before(i) for i in range(3)], abs=1e-9)
    assert found.other == near(0, abs=1e-9)


def test_more_labels_than_were_given_share_what_would_have_gone_on() -> None:
    tags = codec("apple", "bean", "corn", kind="multilabel")
    found = scores(
        tags,
        ('["', {'["': 0.9, "[]": 0.1}),
        ("apple", {"apple": 1.0}),
        ('"]', {'"]': 0.8, '",': 0.2}),
    )
    # Half of 0.2 each: bean as the next, corn as the next when bean is not.
    assert chances(found) == near([0.9, 0.1, 0.1 / 0.9], abs=1e-12)
    assert not found.exact
    # The last decision is doubtful by itself.
    last = {'"]': 0.8, '",': 0.2}
    found = scores(tags, ('["', {'["': 1.0}), ("apple", {"apple": 1.0}), ('"]', last))
    assert chances(found) == near([1, 0.1, 0.1 / 0.9], abs=1e-12)
    assert not found.exact


def test_what_is_not_listed_between_two_items() -> None:
    tags = codec("apple", "bean", "corn", kind="multilabel")
    start: list[Place] = [('["', {'["': 1.0}), ("apple", {"apple": 1.0})]
    between = ('",', {'",': 0.5, "x": 0.1})
    found = scores(tags, *start, between, *[(t, {t: 1.0}) for t in (' "', "bean", '"]')])
    # Of the 0.4 left at the comma the end of the array has half, beside 0.5 for going on.
    assert chances(found)[:2] == near([1, 5 / 7])
    assert not found.exact


def test_an_array_that_nothing_else_competed_with_is_exact() -> None:
    tags = codec("a", "b", kind="multilabel")
    for said, places in {
        (): [("[]", {"[]": 1.0})],
        ("a",): [('["', {'["': 1.0}), ("a", {"a": 1.0}), ('"]', {'"]': 1.0})],
        ("a", "b"): by_character({'["a", "b"]': 1.0}, '["a", "b"]'),
    }.items():
        found = scores(tags, *places)
        assert chances(found) == near([float(x in said) for x in "ab"], abs=1e-12)
        assert (found.exact, found.other) == (True, near(0, abs=1e-12))


@pytest.mark.parametrize("said", ['["b", "a"]', '["a","b"]', '["c"]', "a", '["a"'])
def test_arrays_in_another_form_have_no_scores(said: str) -> None:
    tags = codec("a", "b", kind="multilabel")
    assert TokenScorer(tags).score(chat((said, {said: 1.0}))) is None
    often = by_character({said: 0.5, '["a"]': 0.25, '["b"]': 0.25}, said)
    assert TokenScorer(tags).score(chat(*often)) is None


def test_codes_of_several_tokens_in_an_array() -> None:
    tags = codec(*(f"topic {i:02}" for i in range(13)), kind="multilabel", labels="code")
    digits = TokenScorer(tags, lambda text: [char.encode() for char in text])
    found = digits.score(chat(*by_character({"[12]": 0.9, "[1]": 0.1}, "[12]")))
    assert found is not None
    assert chances(found)[1] == near(0.1)
    assert chances(found)[12] == near(1)


# --- with real vocabularies


@pytest.fixture(scope="module", params=["o200k_base", "cl100k_base"])
def split(request: pytest.FixtureRequest, vocabularies: Path) -> Split:
    import tiktoken

    encoding = tiktoken.get_encoding(request.param)
    return lambda text: encoding.decode_tokens_bytes(encoding.encode_ordinary(text))


@pytest.fixture(scope="module")
def thousand() -> Codec:
    return codec(*(f"topic {i:03}" for i in range(1000)), labels="code")


def test_codes_are_whole_tokens(split: Split, thousand: Codec) -> None:
    scorer = TokenScorer(thousand, split)
    listed = {"1": 0.7, "12": 0.2, "123": 0.06, "x": 0.04 - 1e-9}
    found = scorer.score(chat(("1", listed)))
    assert found is not None
    p = chances(found)
    assert [p[1], p[12], p[123]] == near([0.7 / 0.96, 0.2 / 0.96, 0.06 / 0.96])
    assert found.exact
    assert found.other == near(0.04)
    # A code that is not listed may have as much as the least listed.
    found = scorer.score(chat(("1", {"1": 0.7, "12": 0.01})))
    assert found is not None
    assert not found.exact
    # Without the vocabulary a 1 may be the beginning of 10.
    found = TokenScorer(thousand).score(chat(("12", listed)))
    assert found is not None
    assert not found.exact


def test_every_code_is_exact(split: Split, thousand: Codec) -> None:
    scorer = TokenScorer(thousand, split)
    for code in range(0, 1000, 37):
        other = str((code + 500) % 1000)
        found = scorer.score(chat((str(code), {str(code): 0.9, other: 0.1})))
        assert found is not None
        assert found.exact
        assert found.logprobs[code] == near(math.log(0.9))
        assert found.logprobs[int(other)] == near(math.log(0.1))


def test_a_code_said_digit_by_digit(split: Split) -> None:
    scorer = TokenScorer(codec(*(f"topic {i:02}" for i in range(30)), labels="code"), split)
    found = scorer.score(chat(("1", {"1": 0.6, "12": 0.3, "3": 0.1}), ("2", {"2": 1.0})))
    assert found is not None
    assert chances(found)[12] == near(0.9)
    assert chances(found)[3] == near(0.1)


@pytest.mark.parametrize("form", ["chat", "completion"])
def test_words_of_several_tokens(split: Split, form: str) -> None:
    sports = codec("baseball", "hockey", form=form)
    said = split(sports.prefix + "hockey" + (sports.stop or "")) or ()
    rival = (split(sports.prefix + "baseball" + (sports.stop or "")) or ())[0]
    places: list[Place] = [(said[0], {said[0]: 0.75, rival: 0.2, b"soccer": 0.05})]
    places += [(token, {token: 1.0}) for token in said[1:]]
    for scorer in (TokenScorer(sports, split), TokenScorer(sports)):
        found = scorer.score(chat(*places))
        assert found is not None
        assert chances(found) == near([0.2 / 0.95, 0.75 / 0.95])
        assert (found.other, found.exact) == (near(0.05), True)


def test_a_beginning_that_the_vocabulary_would_not_use(split: Split) -> None:
    # `ham` is a token, so that `h` is rather the beginning of another word.
    found = TokenScorer(codec("ham", "spam"), split).score(
        chat(("ham", {"ham": 0.8, "h": 0.1, "sp": 0.1}))
    )
    assert found is not None
    assert found.other == near(0.1 if split("spam") != [b"spam"] else 0.2)
    assert not found.exact


def test_flags_in_tokens_of_three(split: Split) -> None:
    said = split("0101") or ()
    assert said == [b"010", b"1"]
    found = scores(flags(4), (said[0], {"010": 0.9, "011": 0.1}), (said[1], {"1": 0.5, "0": 0.5}))
    assert chances(found) == near([0, 1, 0.1, 0.5], abs=1e-12)


def test_arrays_of_codes_and_names(split: Split) -> None:
    for labels in ("code", "text"):
        tags = codec(*(f"topic {i}" for i in range(13)), kind="multilabel", labels=labels)
        answer = tags.answer_for(["topic 1", "topic 12"])
        assert json.loads(answer)
        places = [(token, {token: 1.0}) for token in split(answer) or ()]
        found = TokenScorer(tags, split).score(chat(*places))
        assert found is not None
        assert chances(found) == near([float(i in (1, 12)) for i in range(13)], abs=1e-9)
        assert found.exact
    coded = TokenScorer(
        codec(*(f"topic {i:02}" for i in range(13)), kind="multilabel", labels="code"), split
    )
    found = coded.score(chat(("[", {"[": 1.0}), ("12", {"12": 0.8, "1": 0.2}), ("]", {"]": 1.0})))
    assert found is not None
    assert chances(found)[1] == near(0.2)
    assert chances(found)[12] == near(1.0)
    assert chances(found)[11] == near(0.0, abs=1e-9)
