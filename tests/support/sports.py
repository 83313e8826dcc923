"""Made texts of two sports, and of a third that nobody trains on."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

from datasette_ftclassify.core.database import connect
from datasette_ftclassify.core.splits import SplitPlan
from datasette_ftclassify.core.task import define
from datasette_ftclassify.jobs.train import train_classifier
from datasette_ftclassify.jobs.train_request import TrainRequest

HOCKEY = (
    "puck goalie skates rink faceoff stick ice slapshot icing zamboni crease powerplay boards "
    "blueline hattrick defenceman overtime shorthanded"
)
BASEBALL = (
    "pitcher inning bat shortstop homer bullpen catcher base glove dugout outfield curveball "
    "strikeout mound umpire bunt walk shutout"
)
COMMON = (
    "the a in on when for after last night game season crowd league team won lost played coach "
    "fans saw never best score with their his over against great again home first"
)
FOOTBALLERS = (
    "Lionel Messi dribbled past four defenders and curled a free kick",
    "the midfielder was offside, so the referee waved for a corner kick",
    "Bundesliga clubs spend millions on strikers every summer",
)


def sports(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Texts, and their labels: 0 is hockey, 1 baseball."""
    draw = random.Random(seed)
    labels = [draw.randrange(2) for _ in range(count)]
    texts = []
    for label in labels:
        words = draw.choices((HOCKEY, BASEBALL)[label].split(), k=4)
        texts.append(" ".join(draw.sample(words + draw.choices(COMMON.split(), k=8), 12)))
    return texts, labels


def football(count: int) -> list[str]:
    """Texts of a third sport, none like another."""
    draw, words = random.Random(7), " ".join(FOOTBALLERS).split()
    return [" ".join([*draw.sample(words, 8), "offside", "striker"]) for _ in range(count)]


ROWS = 300
INSERT = "insert into texts (text, sport) values (?, ?)"


def make_sports(path: Path) -> None:
    """A table `texts` of ROWS texts with a classifier `sports`, tested on 120 of them."""
    with closing(connect(path, must_exist=False)) as conn:
        texts, labels = sports(ROWS, seed=1)
        with conn:
            conn.execute("create table texts (id integer primary key, text text, sport text)")
            named = (("hockey", "baseball")[label] for label in labels)
            conn.executemany(INSERT, zip(texts, named, strict=True))
        task = define(conn, "texts", text=["text"], labels=["sport"])
        request = TrainRequest(name="sports", curve=False, plan=SplitPlan(test=0.4))
        train_classifier(conn, task, request)
