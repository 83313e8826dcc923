"""The errors of this package.

Every error that a person may meet derives from `FtclassifyError`. Its message says what
happened, to which table, row or classifier, and what to do next, in words that suit every face:
the command line prints it as one line with its own options behind it, a page shows it beside its
own field, the JSON API gives it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence


class FtclassifyError(Exception):
    """The base of all errors of this package; its text is meant for the user, and names no option
    of a command and no field of a page.

    fields: what can be changed about it, as JSON and forms call it: `where`, `limit_usd`
    """

    def __init__(self, message: str = "", *, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)


class SourceError(FtclassifyError):
    """The table, view, column or condition to read from is not there or cannot be used."""


class TaskError(FtclassifyError):
    """The description of what to learn does not fit the data, or contradicts itself."""


class LabelError(FtclassifyError):
    """The labels cannot form a label set, or there is no such label in it."""


class TemplateError(FtclassifyError):
    """A template that renders columns into a text is malformed or uses what is not allowed."""


class ExportError(FtclassifyError):
    """Examples cannot be written in, or read back from, the requested format."""


class TrainingError(FtclassifyError):
    """There is not enough, or not the right data to train on."""


class Implausible(TrainingError):
    """What is to be learnt looks like a mistake; it can be trained on despite that."""


class EvaluationError(FtclassifyError):
    """There is nothing to evaluate on."""


class PredictError(FtclassifyError):
    """Predictions cannot be written where they were asked for."""


class ReviewError(FtclassifyError):
    """A queue cannot be made, or a label cannot be changed as it was asked for."""


class RowChanged(ReviewError):
    """A row is no longer as it was shown: it is to be looked at again."""

    status = 409


class ClassifierNotFound(FtclassifyError):
    """No classifier of that name, or no default one, is in the database.

    similar: names of classifiers that are nearly the one that was asked for, the nearest first
    """

    def __init__(self, message: str, similar: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.similar = tuple(similar)


class ClassifierInUse(FtclassifyError):
    """A classifier cannot be deleted while jobs are busy with it; `jobs` are their numbers."""

    status = 409

    def __init__(self, message: str, jobs: tuple[int, ...]) -> None:
        super().__init__(message)
        self.jobs = jobs


class JobError(FtclassifyError):
    """A job cannot do what was asked of it in the state it is in."""


class JobNotFound(JobError):
    """No job of that number is in the database."""


class JobStopped(FtclassifyError):
    """Somebody asked for a running job to pause or to be cancelled."""


class JobPaused(JobStopped):
    """A running job pauses for a reason of its own: a spending limit, or a service that refuses."""

    @classmethod
    def by(cls, error: FtclassifyError) -> JobPaused:
        """With the message of another error."""
        return cls(str(error), fields=error.fields)


class ArtifactError(FtclassifyError):
    """A stored classifier is damaged, or was not made by this software."""


class AccessError(FtclassifyError):
    """A key, an address or a limit that the operator sets is missing or malformed."""


class LimitReached(FtclassifyError):
    """A job would cost more than it was allowed to."""
