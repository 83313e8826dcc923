# The usual trigger that notes when a row was changed, and a counter with an end.
import sqlite3
import sys

from gen import rows

conn = sqlite3.connect(sys.argv[1])
for name in ("base", "mails", "counted"):
    conn.execute(
        f"create table {name} (id integer primary key, text text, label text, updated text,"
        " n integer default 0)"
    )
    conn.executemany(f"insert into {name} (text, label) values (?, ?)", rows(90))
conn.execute(
    "create trigger mails_touch after update on mails begin"
    " update mails set updated = datetime('now') where id = new.id; end"
)
conn.execute(
    "create trigger counted_n after update on counted when new.n < 5 begin"
    " update counted set n = n + 1 where id = new.id; end"
)
conn.commit()
