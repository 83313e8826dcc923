"""Under which name a classifier's model is asked, where a service answers for deployments alone."""

from __future__ import annotations

import json
import sqlite3

from .classifiers import Classifier, find_by_id
from .schema import transaction


def set_deployment(conn: sqlite3.Connection, classifier: Classifier, name: str) -> Classifier:
    """Notes under which name the classifier's model is asked, as Azure's deployments have one."""
    header = {**classifier.header, "deployment": name}
    with transaction(conn):
        conn.execute(
            "update _ftclassify_classifiers set header = ? where id = ?",
            [json.dumps(header, ensure_ascii=False), classifier.id],
        )
    return find_by_id(conn, classifier.id)
