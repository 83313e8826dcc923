# Labels that are keys of a table of topics; one row has none, and one topic has no name.
import sqlite3
import sys

from gen import rows

conn = sqlite3.connect(sys.argv[1])
conn.execute("create table topic (id integer primary key, name text)")
conn.execute("insert into topic values (1, 'parcel'), (2, 'bill'), (3, null)")
conn.execute(
    "create table t (id integer primary key, text text, label integer references topic(id))"
)
keys = {"parcel": 1, "bill": 2, "login": 3}
conn.executemany(
    "insert into t (text, label) values (?, ?)", [(text, keys[label]) for text, label in rows(120)]
)
conn.execute("insert into t (text) values ('the parcel never arrived')")
conn.commit()
