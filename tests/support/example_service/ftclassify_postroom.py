"""A trainer in a package of its own whose models live at a service: the Postroom, see `postroom`.

It speaks no protocol but its own, and bills words. What a trainer of this kind must see to is here:
nothing is ordered twice, a key goes to one host, and every failure is one of the kinds that whoever
asks can tell apart.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import tempfile
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

from datasette_ftclassify.core.errors import AccessError, ArtifactError, JobStopped, TrainingError
from datasette_ftclassify.core.service_model import OVER
from datasette_ftclassify.hookspecs import hookimpl
from datasette_ftclassify.prompts.answer_parser import Answer
from datasette_ftclassify.prompts.price_table import Price, PriceTable
from datasette_ftclassify.prompts.prices import load_prices
from datasette_ftclassify.prompts.token_scores import FLOOR, LabelScores
from datasette_ftclassify.trainers.base import Capabilities, Limits
from datasette_ftclassify.trainers.options import MODEL as MODEL_OPTION
from datasette_ftclassify.trainers.options import Option
from datasette_ftclassify.trainers.service import FineTunedModel, InferenceResponse, Service
from datasette_ftclassify.trainers.service_errors import RowRejected, ServiceRefused, TryAgain
from datasette_ftclassify.trainers.usage import Usage

MODEL = "postroom-1"
PRICES = PriceTable(
    date=date(2026, 11, 1),
    currency="USD",
    sources=("https://postroom.example/prices",),
    models={MODEL: Price(MODEL, training=50.0, input=20.0, output=0.0)},
)
"""For a million words."""

POLL_SECONDS = 0.05

SMOOTHING = Option(
    "smoothing",
    "Smoothing",
    "number",
    help="Added to the count of each word.",
    empty="1",
    least=0.01,
    most=100,
)
"""An option of its own: declared here, and nowhere else."""


@hookimpl
def register_trainers():
    return [PostroomTrainer()]


class PostroomTrainer(Service):
    name = "postroom"
    title = "The Postroom: counts words, at your own server or theirs"
    capabilities = Capabilities(
        trains=True,
        needs_examples=True,
        scores_every_label=True,
        leaves_machine=True,
        costs_money=True,
        limits=Limits(examples=3),
    )
    options = (MODEL_OPTION, SMOOTHING)
    default_model = MODEL

    def prices(self, endpoint):
        """The operator's, where there are some for it."""
        theirs = load_prices()
        return theirs if theirs.get(MODEL) else PRICES

    def check(self, order, endpoint):
        Line(endpoint)
        if not order.labels.exclusive:
            raise TrainingError("The Postroom gives a text one label: choose another trainer.")

    def train(self, order, training_log, endpoint):
        line = Line(endpoint)
        try:
            told = self._begin(line, order, training_log)
            while told["state"] == "learning":
                training_log.report_progress(f"learning at {line.host}", told["share"])
                training_log.wait(POLL_SECONDS)
                training_log.check()
                told = self._patiently(
                    training_log, lambda: line.get(f"/trainings/{training_log.tag}")
                )
        except JobStopped:
            if training_log.wanted == "cancel" and training_log.state.get("step"):
                line.delete(f"/trainings/{training_log.tag}")
                training_log.save(step=OVER, why=f"The training was cancelled at {line.host}.")
            raise
        if told["state"] != "done":
            why = f"The training failed at {line.host}: {told['why']}."
            training_log.save(step=OVER, why=why)
            raise TrainingError(f"{why} Mend the rows it names, and retry.")
        training_log.event(
            f"{line.host} learnt {told['words']:,} words", data={"step": told["words"]}
        )
        return FineTunedModel(
            header={"model": told["model"], "base": order.model, "host": line.host},
            report={
                "why": f"Counted {told['words']:,} words at {line.host}.",
                "service": {"model": told["model"], "host": line.host, "job": training_log.tag},
            },
            trained_tokens=told["words"],
        )

    def _begin(self, line, order, training_log):
        """Orders the training under the training log's tag, by which the Postroom knows it again:
        so it may be said twice."""
        training_log.check()
        if training_log.state.get("step") == "learn":
            return self._patiently(training_log, lambda: line.get(f"/trainings/{training_log.tag}"))
        with tempfile.TemporaryDirectory() as folder:
            path = order.write("train", Path(folder))
            # The codec that wrote the lines reads them: nobody need know their form.
            pairs = map(order.codec.decode, path.read_text(encoding="utf-8").splitlines())
            examples = [{"text": text, "label": str(values[0])} for text, values in pairs]
        training_log.save(step="order")  # from here on something may be there
        body = {"examples": examples, "base": order.model, **order.options.own}
        told = self._patiently(
            training_log, lambda: line.put(f"/trainings/{training_log.tag}", body)
        )
        training_log.save(step="learn")
        return told

    def _patiently(self, training_log, act):
        for _ in range(20):
            try:
                return act()
            except TryAgain as trouble:
                training_log.wait(trouble.after or POLL_SECONDS)
                training_log.check()
        return act()

    def inference_client(self, header, labels, endpoint):
        model, host = header.get("model"), header.get("host")
        if not isinstance(model, str) or not model.isalnum() or not isinstance(host, str):
            raise ArtifactError("The stored classifier does not name its model: train it again.")
        line = Line(endpoint)
        if host != line.host:
            raise AccessError(f"{model} is at {host}, and postroom is set up to ask {line.host}.")
        return PostroomAsker(model, labels, line)

    def delete_remote(self, header, report, endpoint):
        gone = Line(endpoint).delete(f"/models/{header.get('model')}")
        return [f"model {header['model']}"] if gone else []


class PostroomAsker:
    model = MODEL

    def __init__(self, model, labels, line):
        self._path, self._labels, self._line = f"/models/{model}", labels, line

    async def ask(self, text):
        # In a thread: this client blocks. One that does not can have more questions under way.
        said = await asyncio.to_thread(self._line.post, self._path, {"text": text})
        try:
            chances = [float(said["chances"].get(name, 0.0)) for name in self._labels.names]
            usage = Usage(int(said["words"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise TryAgain(f"{self._line.host} answered something else.") from None
        total = math.fsum(chances)
        if not total > 0:
            return InferenceResponse(
                Answer(None, None, "outside the label set", str(said)), None, usage
            )
        best = max(range(len(chances)), key=chances.__getitem__)
        answer = Answer((self._labels.values[best],), "exact", None, self._labels.names[best])
        logprobs = tuple(math.log(max(chance / total, FLOOR)) for chance in chances)
        return InferenceResponse(
            answer, LabelScores(logprobs, max(1 - total, 0.0), exact=True), usage
        )

    def expected(self, text):
        return Usage(len(text.split()))

    async def close(self):
        pass


class Line:
    """Requests to the one host that the operator chose. Follows no redirect, as urllib would."""

    def __init__(self, endpoint):
        url = urlsplit(endpoint.base_url or "")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise AccessError("Say where the Postroom is: POSTROOM_BASE_URL=https://…")
        if not endpoint.api_key:
            raise AccessError("There is no key for postroom: set POSTROOM_API_KEY.")
        self.host = url.netloc.lower()
        self._key, self._secure = endpoint.api_key, url.scheme == "https"

    def get(self, path):
        return self._say("GET", path)

    def put(self, path, body):
        return self._say("PUT", path, body)

    def post(self, path, body):
        return self._say("POST", path, body)

    def delete(self, path):
        """Whether it was there."""
        try:
            self._say("DELETE", path)
        except ServiceRefused as refusal:
            if refusal.code != "model_not_found":
                raise
            return False
        return True

    def _say(self, method, path, body=None):
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self.host, timeout=30)
        try:
            headers = {"X-Postroom-Key": self._key}
            connection.request(method, path, body and json.dumps(body).encode(), headers)
            response = connection.getresponse()
            return self._read(response, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise TryAgain(f"{self.host} cannot be reached: {error}") from None
        finally:
            connection.close()

    def _read(self, response, content):
        try:
            said = json.loads(content)
        except ValueError:
            said = {}
        if response.status == 200:
            return said
        words = (
            f"{self.host} answered {response.status}: {said.get('error', 'it does not say why')}"
        )
        if response.status == 429:
            after = float(response.headers.get("Retry-After", 1))
            raise TryAgain(words, after=after, rate_limited=True)
        if response.status >= 500:
            raise TryAgain(words)
        if response.status == 422:
            raise RowRejected(words)
        raise ServiceRefused(words, code="model_not_found" if response.status == 404 else None)
