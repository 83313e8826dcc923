"""Many requests at once through the Batch API: half the price, results within a day.

Each line of a batch's file holds the body of a single request, and each result is read as the
response to one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import IO, Any, TypeVar, cast

import openai

from ...core.labels import LabelSet
from ...core.training_report import Header
from ...prompts.answer_parser import Answer
from ..access import Endpoint
from ..service import BatchState, InferenceResponse
from ..service_errors import RowRejected, ServiceProblem, ServiceRefused, TryAgain
from ..usage import Usage
from .client import open_client
from .dialect import OPENAI, Dialect
from .errors import FAILURES, Refusal, problem
from .pagination import pages
from .request_options import StoredModelClient

MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
"""Of one batch (OpenAI's Batch API)."""

FILE_SECONDS = 600.0
"""For a request that carries a file."""

LINE_BYTES = 8 * 1024**2
"""Of one line of a result file; a longer one is none of ours."""

TAG = "ftclassify"
"""The key of a batch's metadata that holds its tag."""

_ENDED = ("completed", "expired", "cancelled", "canceled")
_PROCESSING = ("pending", "running", "notrunning", "importing")
_PATHS = {"chat": "/chat/completions", "completion": "/completions"}

T = TypeVar("T")


class OpenAIBatchClient(StoredModelClient):
    """Sends and reads batches about one stored classifier's model. Raises as that does."""

    def __init__(
        self,
        header: Header,
        labels: LabelSet,
        endpoint: Endpoint,
        dialect: Dialect = OPENAI,
        *,
        priced_as: Callable[[str], str] = str,
        max_requests: int = MAX_REQUESTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        super().__init__(header, labels, endpoint, dialect, priced_as)
        self._path = (dialect.batch_root or "") + _PATHS[self._builder.form]
        self._host = dialect.host(endpoint)
        self._secrets = (endpoint.api_key,) if endpoint.api_key else ()
        self._client = open_client(endpoint, dialect)

    def line(self, key: str, text: str) -> bytes:
        """A request as a line of the file. In ASCII, so that nothing in a text breaks the line."""
        text = text.encode("utf-8", "replace").decode()  # as in a single request
        request = {
            "custom_id": key, "method": "POST", "url": self._path,
            "body": self._builder.body(text, self._options),
        }  # fmt: skip
        return json.dumps(request, separators=(",", ":")).encode() + b"\n"

    def upload(self, file: IO[bytes], name: str) -> str:
        """Sends the file from its beginning; gives the service's id of it.

        Raises ServiceRefused with the code `file_too_large` when the service says so.
        """
        file.seek(0)
        made = self._call(
            lambda: self._client.files.create(
                file=(name, file, "application/jsonl"), purpose="batch", timeout=FILE_SECONDS
            )
        )
        return _id_of(made)

    def find_file(self, name: str) -> str | None:
        """The id of an uploaded file, if there is one."""
        files = self._listed(lambda: self._client.files.list(purpose="batch"))
        return next((file.id for file in files if getattr(file, "filename", None) == name), None)

    def find(self, tag: str, file_id: str) -> str | None:
        """The id of the batch made with the tag or from the file, if there is one that was not
        refused."""
        for batch in self._listed(lambda: self._client.batches.list(limit=100)):
            tags = batch.metadata if isinstance(batch.metadata, Mapping) else {}
            is_ours = tags.get(TAG) == tag or batch.input_file_id == file_id
            if is_ours and batch.status != "failed":
                return _id_of(batch)
        return None

    def create(self, file_id: str, tag: str) -> str:
        """Starts a batch; gives its id. Raises TryAgain while the file is still being processed,
        as large ones are at Azure."""
        file = self._call(lambda: self._client.files.retrieve(file_id))
        if str(file.status).lower() in _PROCESSING:
            raise TryAgain(f"{self._host} is still processing the file {file_id}.")
        try:
            return self._create(file_id, {TAG: tag})
        except ServiceRefused as refusal:
            if "metadata" not in str(refusal):
                raise
            # Some servers know none; the batch is found by its file, too.
            return self._create(file_id, None)

    def _create(self, file_id: str, metadata: dict[str, str] | None) -> str:
        made = self._call(
            lambda: self._client.batches.create(
                input_file_id=file_id,
                endpoint=cast(Any, self._path),
                completion_window="24h",
                metadata=openai.omit if metadata is None else metadata,
            )
        )
        return _id_of(made)

    def state(self, batch_id: str) -> BatchState:
        """How far the batch is."""
        batch = self._call(lambda: self._client.batches.retrieve(batch_id))
        counts = batch.request_counts
        done, total = (counts.completed or 0, counts.total or 0) if counts else (0, 0)
        if batch.status == "failed":
            detail, code = self._why(batch)
            return BatchState("failed", done, total, detail=detail, code=code)
        if batch.status not in _ENDED:
            return BatchState("running", done, total)
        results = tuple(id for id in (batch.output_file_id, batch.error_file_id) if id)
        detail = None if batch.status == "completed" else str(batch.status)
        return BatchState("ended", done, total, results, detail)

    def cancel(self, batch_id: str) -> None:
        self._call(lambda: self._client.batches.cancel(batch_id))

    def read(self, file_id: str) -> Iterator[tuple[str, InferenceResponse | ServiceProblem]]:
        """(key, response or problem) for each line of a result file, as it arrives. Nothing when
        the service has the file no more; lines that are none of ours are left out."""
        with ExitStack() as stack:
            try:
                content = self._client.files.with_streaming_response.content(file_id)
                response = stack.enter_context(content)
                for line in _lines(response.iter_bytes(1 << 16)):
                    found = self._read_line(line)
                    if found is not None:
                        yield found
            except openai.NotFoundError:
                return
            except FAILURES as error:
                raise problem(error) from None

    def delete(self, file_id: str) -> None:
        self._call(lambda: self._client.files.delete(file_id))

    def close(self) -> None:
        self._client.close()

    def _read_line(self, line: bytes) -> tuple[str, InferenceResponse | ServiceProblem] | None:
        try:
            said = json.loads(line)
            key, response = said["custom_id"], said["response"]
            if not isinstance(key, str):
                return None
            if response is None:
                # Expired, cancelled, or lost: the service did not come to it.
                return key, TryAgain(f"The request was not answered: {said.get('error')}.")
            status, body = int(response["status_code"]), response["body"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return key, self._outcome(status, body)

    def _outcome(self, status: int, body: object) -> InferenceResponse | ServiceProblem:
        """What a single request with such an answer would have given or raised."""
        if status != 200:
            refusal = Refusal(status, body, self._host, secrets=self._secrets)
            if refusal.filtered:
                return InferenceResponse(
                    Answer(None, None, "filtered", refusal.words), None, Usage()
                )
            return TryAgain(str(refusal)) if self._learns(refusal) else refusal.problem()
        try:
            return self._builder.read(body)
        except ServiceProblem as error:
            return error

    def _learns(self, refusal: Refusal) -> bool:
        """Whether it is about a field of the request, which later batches are sent without. Others
        in the same file may refuse it, too."""
        better = self._fields.without_refused(self._options, refusal, "")
        if better is not None:
            self._options = better
        usual = self._builder.options
        return better is not None or (self._fields.without_refused(usual, refusal, "") is not None)

    def _why(self, batch: Any) -> tuple[str | None, str | None]:
        """The first error of a batch that failed: in words, with its line, and its code."""
        errors = (batch.errors.data if batch.errors else None) or []
        if not errors:
            return None, None
        first, rest = errors[0], len(errors) - 1
        refusal = Refusal(
            400, {"message": first.message or first.code}, self._host, secrets=self._secrets
        )
        where = f" (line {first.line})" if first.line else ""
        return f"{refusal.words}{where}{f' And {rest:,} more.' if rest else ''}", first.code

    def _call(self, act: Callable[[], T]) -> T:
        """One request. What it says of a whole batch is of no single row."""
        try:
            return act()
        except openai.APIStatusError as error:
            refusal = Refusal.of(error.response)
            found = refusal.problem()
            if isinstance(found, RowRejected):
                code = "file_too_large" if refusal.status == 413 else refusal.code
                found = ServiceRefused(str(refusal), code=code)
            raise found from None
        except FAILURES as error:
            raise problem(error) from None

    def _listed(self, first: Callable[[], Any]) -> Iterator[Any]:
        """The entries of a list, page by page. Raises ServiceProblem."""
        return itertools.chain.from_iterable(pages(self._call, first))


def _id_of(made: Any) -> str:
    if not isinstance(getattr(made, "id", None), str):
        raise TryAgain("The service's answer has no id in it.")
    return str(made.id)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines that end in a line feed, and in nothing else that Unicode calls a break; of one that is
    too long nothing."""
    rest: bytes | None = b""
    for chunk in chunks:
        first, *lines = chunk.split(b"\n")
        rest = None if rest is None or len(rest) + len(first) > LINE_BYTES else rest + first
        if not lines:
            continue
        yield rest or b""
        *whole, rest = lines
        yield from whole
    yield rest or b""
