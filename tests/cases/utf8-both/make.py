# Texts and labels of a Windows-1252 file that was loaded as it was, beside rows that are UTF-8.
import sqlite3
import sys

from gen import rows

conn = sqlite3.connect(sys.argv[1])
conn.execute("create table t (id integer primary key, text text, label text)")
names = {"bill": "Gebühr", "parcel": "Päckchen", "login": "Zugang"}
for i, (text, topic) in enumerate(rows(90, seed=4)):
    encoding = "utf-8" if i % 2 else "cp1252"
    conn.execute(
        "insert into t (text, label) values (cast(? as text), cast(? as text))",
        (f"{text} Grüße".encode(encoding), names[topic].encode("cp1252")),
    )
conn.commit()
