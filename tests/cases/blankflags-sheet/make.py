# A sheet with one column per subject: of a row that was looked at some flags say x and some 0, the
# others are blank. Rows that wait are blank in every way: empty, NULL, no-break space, tab ...
import random
import sqlite3
import sys

WORDS = {
    "parcel": ["parcel", "courier", "delivery", "tracking", "postman", "box"],
    "bill": ["invoice", "refund", "payment", "charge", "receipt", "debit"],
    "login": ["password", "account", "username", "profile", "code", "mail"],
}
rng = random.Random(5)
conn = sqlite3.connect(sys.argv[1])
conn.execute("create table m (id integer primary key, text, parcel, bill, login)")
blanks = ["", None, "\u00a0", "\t", "\u200b", "\ufeff", "  \r\n"]
for i in range(400):
    chosen = rng.sample(list(WORDS), rng.choice([1, 1, 2]))
    words = [word for name in chosen for word in rng.sample(WORDS[name], 3)]
    text = f"Once more: the {' and the '.join(words)}, case {rng.randint(1000, 9999)}"
    cells = ["x" if name in chosen else rng.choice(["0", *blanks]) for name in WORDS]
    if i >= 200:
        cells = [rng.choice(blanks) for _ in WORDS]
    conn.execute("insert into m (text, parcel, bill, login) values (?, ?, ?, ?)", [text, *cells])
conn.commit()
