# Labels of several types in one column, of a plain table and of a STRICT one: 1, 2.5 and '007'.
import sqlite3
import sys

from gen import rows

values = {"parcel": 1, "bill": "007", "login": 2.5}
conn = sqlite3.connect(sys.argv[1])
conn.execute("create table t (id integer primary key, text, label)")
conn.execute("create table s (id integer primary key, text text, label any) strict")
for table in "ts":
    sql = f"insert into {table} (text, label) values (?, ?)"
    conn.executemany(sql, [(text, values[label]) for text, label in rows(120)])
conn.commit()
