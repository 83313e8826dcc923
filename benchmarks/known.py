"""How well `known` tells texts of other kinds from those that a classifier was trained on.

    python benchmarks/known.py FOLDER [--embeddings MODEL | --encoder MODEL] [--seeds 3]
        [--only banking77] [--signals] [--labels 57] [--intents data_full.json]

FOLDER has banking77.csv, sms_spam.csv, cfpb_products_5.csv and goemotions_multilabel.csv with the
columns text, label and split. Classifiers of banking77 without 20 intents, of sms_spam and of
cfpb_products_5 are trained on the train part. AUROC of `known`: of test texts against texts of the
intents that were left out, of the other sets, of other languages, and of single invented words;
and the share of both that `known` below 0.05 leaves without an answer. With --intents also of 150
intents against questions that are none of them: data/data_full.json of github.com/clinc/oos-eval.
With --signals also of each thing that an answer knows of a text, and of a logistic regression of
them all that is fitted to tell just these texts apart: more than that nobody can make of them.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import temporary_ledger  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datasette_ftclassify.core.label_kinds import MULTICLASS
from datasette_ftclassify.core.labels import LabelSet
from datasette_ftclassify.trainers.base import TrainingSet
from datasette_ftclassify.trainers.local.features import char_terms, prepare
from datasette_ftclassify.trainers.local.known import certainty, known_words
from datasette_ftclassify.trainers.local.model import LocalModel
from datasette_ftclassify.trainers.local.training import fit

HELD_OUT = 20
AT_MOST = 1_000
LEAST = 0.05
WEIGHTS = (0.1, 0.25, 0.5, 1.0)
LEAST_TEXTS = 100
"""From which on something can be fitted to them."""
OTHER = {
    "banking77": ("sms_spam", "cfpb_products_5", "goemotions_multilabel"),
    "sms_spam": ("cfpb_products_5", "banking77", "goemotions_multilabel"),
    "cfpb_products_5": ("sms_spam", "banking77", "goemotions_multilabel"),
}
FOREIGN = """\
Meine Karte ist noch nicht angekommen, was soll ich tun?
Der Zug nach Hamburg hat heute zwei Stunden Verspätung.
Pourquoi mon paiement a-t-il été refusé ce matin ?
Le chat dort sur le canapé depuis trois heures.
¿Dónde está la estación de autobuses más cercana?
No puedo entrar en mi cuenta desde el teléfono.
Nie mogę zalogować się do mojego konta bankowego.
Wczoraj wieczorem poszliśmy do kina na nowy film.
Huomenna sataa lunta koko päivän pohjoisessa.
En pääse kirjautumaan tililleni puhelimella.
Kartım neden hâlâ gelmedi, yardım eder misiniz?
Bugün hava çok güzel, parka gidelim mi?
Почему мой платёж был отклонён?
Вчера мы ходили в музей и видели старые картины.
我的银行卡还没有到，我该怎么办？
今天天气很好，我们去公园散步吧。
なぜ支払いが拒否されたのですか？
昨日は友達と映画を見に行きました。
मेरा कार्ड अभी तक नहीं आया है, मैं क्या करूँ?
आज मौसम बहुत अच्छा है।
لماذا تم رفض الدفع الخاص بي؟
הכרטיס שלי עדיין לא הגיע
Perché il mio pagamento è stato rifiutato?
Domani andiamo al mare con i bambini.
Mijn kaart is nog steeds niet aangekomen.
Morgen gaan we met de fiets naar het strand.
Mit kort er ikke kommet endnu, hvad skal jeg gøre?
Meu cartão ainda não chegou, o que devo fazer?
Tôi không thể đăng nhập vào tài khoản của mình.
Kenapa pembayaran saya ditolak kemarin?
Miért utasították el a fizetésemet?
Tegnap este a folyóparton sétáltunk.
Proč moje platba nebyla přijata?
De ce mi-a fost respinsă plata?""".splitlines()

Rows = list[dict[str, str]]


def read(folder: Path, name: str) -> Rows:
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def some(rows: Rows, seed: int) -> list[str]:
    return [row["text"] for row in random.Random(seed).sample(rows, min(AT_MOST, len(rows)))]


def invented(count: int, seed: int) -> list[str]:
    """Single words that can be spoken and mean nothing."""
    draw = random.Random(seed)

    def syllable() -> str:
        end = draw.choice("lmnrst") if draw.random() < 0.4 else ""
        return draw.choice("bcdfghjklmnpqrstvwxz") + draw.choice("aeiouy") + end

    return ["".join(syllable() for _ in range(draw.randint(2, 4))) for _ in range(count)]


def train(
    rows: Rows, embeddings: str | None, encoder: str | None, seed: int
) -> tuple[LocalModel, dict[str, Any]]:
    names = sorted({row["label"] for row in rows})
    numbers = np.array([names.index(row["label"]) for row in rows])
    texts = [row["text"] for row in rows]
    data = TrainingSet(texts, numbers, LabelSet(tuple(names), MULTICLASS.name))
    return fit(data, seed=seed, embeddings=embeddings, encoder=encoder)[:2]


def known(model: LocalModel, texts: Sequence[str]) -> Any:
    return np.array([model.known(text, model.log_probabilities_one(text)) for text in texts])


def signals(model: LocalModel, texts: Sequence[str]) -> dict[str, Any]:
    """What an answer knows of each text; the higher, the more it is like the training rows."""
    logprobs = np.array([model.log_probabilities_one(text) for text in texts])
    scores = np.array([model._scores(text, model._vector(text)) for text in texts])
    if scores.shape[1] == 1:  # of two labels the difference
        scores = np.hstack([-scores / 2, scores / 2])
    best = np.sort(logprobs, axis=1)
    return {
        "certainty": np.array([certainty(row, exclusive=True) for row in logprobs]),
        "probability": best[:, -1],
        "margin": best[:, -1] - best[:, -2],
        "energy": np.logaddexp.reduce(scores, axis=1),
        "words": np.array([known_words(model.vectorizer, text) for text in texts]),
        "pieces": np.array([_known_pieces(model, text) for text in texts]),
    }


def weighted(here: dict[str, Any], there: dict[str, Any]) -> dict[str, float]:
    """AUROC of what `known` makes of two signals, by the weight of the words."""

    def ranks(name: str, found: dict[str, Any]) -> Any:
        own = np.sort(here[name])
        return np.log(np.maximum(np.searchsorted(own, found[name], "right"), 0.5) / len(own))

    both = [(ranks("certainty", found), ranks("words", found)) for found in (here, there)]
    return {f"{w} words": auroc(*(sure + w * words for sure, words in both)) for w in WEIGHTS}


def _known_pieces(model: LocalModel, text: str) -> float:
    pieces = [piece for word in prepare(text).split() for piece in char_terms(word)]
    return sum(map(model.vectorizer.chars.__contains__, pieces)) / max(len(pieces), 1)


def all_of_them(inside: dict[str, Any], outside: dict[str, Any]) -> Any:
    """AUROC of a logistic regression of all signals, out of fold."""
    rows = [np.column_stack(list(found.values())) for found in (inside, outside)]
    truth = np.repeat([1, 0], [len(part) for part in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    found = cross_val_predict(model, np.vstack(rows), truth, method="decision_function")
    return auroc(found[truth == 1], found[truth == 0])


def auroc(inside: Any, outside: Any) -> float:
    """The probability that a text of the kind has the higher value, ties half."""
    lower = np.searchsorted(np.sort(outside), inside, side="left")
    same = np.searchsorted(np.sort(outside), inside, side="right") - lower
    return float((lower + same / 2).mean() / len(outside))


def arguments(doc: str, **numbers: int) -> argparse.Namespace:
    """FOLDER, --only, --embeddings, --encoder, and these whole numbers."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--embeddings")
    parser.add_argument("--encoder")
    parser.add_argument("--intents", type=Path)
    parser.add_argument("--signals", action="store_true")
    parser.add_argument("--labels", type=int, default=57)
    parser.add_argument("--only", choices=list(OTHER), nargs="*", default=list(OTHER))
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def cases(options: argparse.Namespace) -> Iterator[tuple[str, int, Rows, dict[str, Rows]]]:
    """(set, seed, its rows, rows of other kinds): of banking77 without some intents, whose rows are
    one of these kinds."""
    sets = {name: read(options.folder, name) for name in (*OTHER, "goemotions_multilabel")}
    for name in options.only:
        for seed in range(options.seeds):
            rows, outside = sets[name], {}
            if name == "banking77":
                labels = sorted({row["label"] for row in rows})
                left_out = set(random.Random(seed).sample(labels, HELD_OUT))
                outside["intents left out"] = [row for row in rows if row["label"] in left_out]
                kept = [label for label in labels if label not in left_out]
                kept = random.Random(seed).sample(kept, min(options.labels, len(kept)))
                rows = [row for row in rows if row["label"] in kept]
            yield name, seed, rows, outside | {other: sets[other] for other in OTHER[name]}


def intents(path: Path, seeds: int) -> Iterator[tuple[str, int, Rows, dict[str, Rows]]]:
    """The same of the 150 intents, with the questions of its test that are none of them."""
    sets = json.loads(path.read_text(encoding="utf-8"))
    parts = ("train", "test", "oos_test")
    train, test, others = (
        [{"text": text, "label": label, "split": part} for text, label in sets[part]]
        for part in parts
    )
    for seed in range(seeds):
        yield "clinc150", seed, train + test, {"none of the intents": others}


def main() -> None:
    options = arguments(__doc__ or "", seeds=3)
    more = () if options.intents is None else intents(options.intents, options.seeds)
    for name, seed, rows, others in chain(cases(options), more):
        test = "intents left out"
        outside = {
            kind: some([r for r in found if kind != test or r["split"] == "test"], seed)
            for kind, found in others.items()
        }
        outside |= {"other languages": FOREIGN, "invented words": invented(200, seed)}
        learnt = [row for row in rows if row["split"] == "train"]
        model, report = train(learnt, options.embeddings, options.encoder, seed)
        own = some([row for row in rows if row["split"] == "test"], seed)
        inside = known(model, own)
        vectors = "with vectors" if model.embedding is not None else "plain"
        print(f"{name}, seed {seed}, {vectors} ({report['recipe']}): of its own kind "
              f"{(inside < LEAST).mean():.3f} below {LEAST}", flush=True)  # fmt: skip
        for kind, texts in outside.items():
            found = known(model, texts)
            print(f"  {kind:24s} AUROC {auroc(inside, found):.3f}"
                  f"  below {LEAST}: {(found < LEAST).mean():.3f}", flush=True)  # fmt: skip
            if options.signals and len(texts) > LEAST_TEXTS:
                here, there = signals(model, own), signals(model, texts)
                each = {name: auroc(here[name], there[name]) for name in here}
                each |= weighted(here, there) | {"all of them": all_of_them(here, there)}
                print("   ", "  ".join(f"{name} {a:.3f}" for name, a in each.items()), flush=True)


if __name__ == "__main__":
    main()
