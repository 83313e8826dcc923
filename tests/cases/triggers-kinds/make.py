# A table for each kind of trigger that people have: each row of a prediction must do what a plain
# UPDATE of it does, in this table and in every other.
import sqlite3
import sys

from gen import rows

c = sqlite3.connect(sys.argv[1])
c.execute("create table base(id integer primary key, text text, label text)")
c.executemany("insert into base(text, label) values (?, ?)", rows(120))


def table(name, columns="id integer primary key, text text, label text, n int default 0", tail=""):
    c.execute(f"create table {name}({columns}) {tail}")
    c.executemany(f"insert into {name}(text, label) values (?, ?)", rows(40, seed=len(name)))


table("counted")
c.execute(
    "create trigger counted_n after update on counted when new.n < 9 begin"
    " update counted set n = n + 1 where id = new.id; end"
)
table("history_of")
c.execute("create table history(id integer, label text, at text)")
c.execute(
    "create trigger history_of_u after update on history_of begin"
    " insert into history values (old.id, old.label, datetime('now')); end"
)
# Only changes of its own columns are its business.
table("column_only")
c.execute(
    "create trigger column_only_u after update of label on column_only begin"
    " update column_only set n = n + 1 where id = new.id; end"
)
# A guard of some rows, which says nothing.
table("ignored")
c.execute(
    "create trigger ignored_guard before update on ignored when old.id % 4 = 0 begin"
    " select raise(ignore); end"
)
# A guard of all rows, and one of a single late row, which say why.
for name, when in (("guarded", "1"), ("late", "old.id = 33")):
    table(name)
    c.execute(
        f"create trigger {name}_guard before update on {name} when {when} begin"
        f" select raise(abort, 'rows of {name} are final'); end"
    )
table("moved")
c.execute(
    "create trigger moved_away after update on moved begin"
    " update moved set id = id + 1000 where id = new.id; end"
)
table("deleted")
c.execute(
    "create trigger deleted_row after update on deleted when old.id % 5 = 0 begin"
    " delete from deleted where id = old.id; end"
)
c.execute(
    "create table keyed(a text, b int, text text, label text, n int default 0,"
    " primary key (a, b)) without rowid"
)
c.executemany(
    "insert into keyed(a, b, text, label) values (?, ?, ?, ?)",
    [("x" if i % 2 else "y", i, *row) for i, row in enumerate(rows(40, seed=3))],
)
c.execute(
    "create trigger keyed_n after update on keyed when new.n < 3 begin"
    " update keyed set n = n + 1 where a = new.a and b = new.b; end"
)
c.execute(
    "create table made(id integer primary key, text text, label text, n int default 0,"
    " size int generated always as (length(text) + n) stored)"
)
c.executemany("insert into made(text, label) values (?, ?)", rows(40, seed=4))
c.execute(
    "create trigger made_n after update on made when new.n < 3 begin"
    " update made set n = n + 1 where id = new.id; end"
)
# Full text beside the table, which triggers keep up to date.
table("mail")
c.execute("create virtual table mail_fts using fts5(text, content='mail', content_rowid='id')")
c.execute("insert into mail_fts(mail_fts) values ('rebuild')")
c.execute(
    "create trigger mail_au after update on mail begin"
    " insert into mail_fts(mail_fts, rowid, text) values ('delete', old.id, old.text);"
    " insert into mail_fts(rowid, text) values (new.id, new.text); end"
)
c.execute("create view looked_at as select id, text, label from base")
c.execute(
    "create trigger looked_at_u instead of update on looked_at begin"
    " update base set label = new.label where id = new.id; end"
)
c.commit()
