"""The SQL with which a classifier is used."""

from __future__ import annotations

from .rendering import sql_expression
from .sql import quote, quote_text
from .store.classifiers import Classifier


def usage_sql(classifier: Classifier) -> str | None:
    """A query that classifies the classifier's own source; None where the text cannot be put
    together in SQL as training did."""
    task = classifier.task
    text = sql_expression(task.text, task.template)
    if text is None:
        return None
    function = "ft_labels" if task.multilabel else "ft_classify"
    call = f"{function}({text}, {quote_text(classifier.name)})"
    return f"select {call} from {quote(task.source)} limit 10"
