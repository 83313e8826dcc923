# Mails quoted whole in an answer, retweets, forms filled in, letters in two normal forms, Chinese
# letters: each text twice or more, in a table for each kind
import random
import sqlite3
import unicodedata

rng = random.Random(4)
c = sqlite3.connect("a.db")
words = [f"{a}{b}{e}" for a in "bdfgklmn" for b in "aeiou" for e in ("ra", "st", "nk", "lo")]
names = ["Anna", "Bo", "Cem", "Dana", "Eli", "Fay", "Gus", "Hana", "Ivo", "Jo", "Kim", "Lev"]


def fresh():
    return " ".join(rng.choices(words, k=30))


def chinese():
    return "".join(chr(rng.randrange(0x4E00, 0x5E00)) for _ in range(50))


def table(name, groups):
    c.execute(f"create table {name}(id integer primary key, text text, label text)")
    rows = [
        (each, label) for texts in groups for label in [rng.choice(["yes", "no"])] for each in texts
    ]
    rng.shuffle(rows)
    c.executemany(f"insert into {name}(text, label) values (?, ?)", rows)


mails = [fresh() for _ in range(41)]
table("mails", [[m, f"{fresh()}\n\nOn Monday you wrote:\n> {m}"] for m in mails])
tweets = [fresh() for _ in range(42)]
table(
    "tweets",
    [[t, f"RT @{rng.choice(names)}: {t}", f"RT @{rng.choice(names)}x: {t}…"] for t in tweets],
)
letters = [fresh() for _ in range(43)]
table(
    "letters",
    [
        [
            f"Dear {n}, {x} {rng.randint(1, 28)}.{rng.randint(1, 12)}.2026"
            for n in rng.sample(names, 3)
        ]
        for x in letters
    ],
)
accents = [f"café à Genève {fresh()} déjà vu" for _ in range(44)]
table(
    "accents",
    [[unicodedata.normalize("NFC", a), unicodedata.normalize("NFD", f"{a} Anna")] for a in accents],
)
china = [chinese() for _ in range(45)]
table("china", [[f"王小明{x}", f"李雷{x}"] for x in china])
table("different", [[fresh()] for _ in range(120)])
c.commit()
