"""SQL of anonymous visitors that makes the functions work for as long as it can.

    python tests/support/hostile_sql.py DATABASE [MILLISECONDS]

prints as JSON what a Datasette with this time limit for a query makes of each (seconds, of
which the processor worked, how it ended), and the peak of its memory in MB.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from memory import peak

from datasette_ftclassify.sql.functions import FUNCTIONS

EVER = "with recursive n(i) as (select 1 union all select i + 1 from n)"
TEXT = "printf('%.*c', {}, 'word ')"  # of one letter
WORDS = "replace(hex(zeroblob({})), '0', 'word{} ')"


def hostile() -> dict[str, str]:
    """SQL by what it does."""
    queries = {}
    for name in FUNCTIONS:
        queries[f"{name} of megabytes"] = f"select {name}({WORDS.format(2_000_000, '')})"
        long = WORDS.format(9_500, "' || i || '")
        queries[f"{name} of long texts for ever"] = f"{EVER} select count({name}({long})) from n"
        queries[f"{name} a million times"] = f"{EVER} select sum({name}('a' || i) is 1) from n"
        queries[f"{name} of a blob"] = f"select {name}(zeroblob(20000000))"
        queries[f"{name} of a long run"] = f"select {name}({TEXT.format(20_000_000)})"
        queries[f"{name} with a long name"] = f"select {name}('a', {TEXT.format(20_000_000)})"
        queries[f"{name} with an unknown name"] = (
            f"{EVER} select count({name}('a' || i, 'x' || i)) from n"
        )
    for name in ("ft_explain", "ft_classify_json", "ft_labels"):
        nested = "'a' || i"
        for _ in range(20):
            nested = f"{name}({nested})"
        queries[f"{name} within itself"] = f"{EVER} select count({nested}) from n"
    many = {
        "a million texts": "'[' || replace(hex(zeroblob(500000)), '0', '\"a\",') || '\"b\"]'",
        "as many as it takes": "'[' || replace(hex(zeroblob(49999)), '0', '\"lorem\",') || '1]'",
        "long texts": "'[' || replace(hex(zeroblob(100)), '0', '\"' || {} || '\",') || '1]'".format(
            WORDS.format(9_000, "")
        ),
        "empty arrays": "'[' || replace(hex(zeroblob(8000000)), '0', '[],') || '1]'",
        "deep arrays": "replace(hex(zeroblob(10000000)), '0', '[')",
        "one text": f"'[\"' || {TEXT.format(45_000_000)} || '\"]'",
        "escapes": r"""'["' || replace(hex(zeroblob(3900000)), '0', '\u0061') || '"]'""",
        "a long number": "'[' || replace(hex(zeroblob(20000000)), '0', '1') || ']'",
        "spaces": "replace(hex(zeroblob(24000000)), '0', ' ') || '[1]'",
    }
    queries |= {f"ft_classify_many of {what}": f"select ft_classify_many({array})"
                for what, array in many.items()}  # fmt: skip
    for what, text in {
        "an unbroken run": TEXT.format(1_999_000),
        "accents": "replace(hex(zeroblob(490000)), '0', 'é')",
        "ideographs": "replace(hex(zeroblob(330000)), '0', '語')",
    }.items():
        queries[f"ft_tokens of {what}"] = f"select ft_tokens({text})"
    return queries


def _ending(told: dict[str, Any]) -> str:
    problem = str(told.get("error") or "")
    return "stopped" if "took too long" in problem or "nterrupted" in problem else problem


def main(path: str, milliseconds: int = 1_000) -> None:
    from datasette.app import Datasette

    async def ask_all() -> dict[str, tuple[float, float, str]]:
        datasette = Datasette([path], settings={"sql_time_limit_ms": milliseconds})
        address = datasette.urls.database(path.rpartition("/")[2].removesuffix(".db")) + ".json"
        # The classifier and the vocabulary are loaded once, at the first query of the server.
        await datasette.client.get(address, params={"sql": "select ft_score('a'), ft_tokens('a')"})
        told = {}
        for what, sql in hostile().items():
            start, work = time.perf_counter(), time.process_time()
            response = await datasette.client.get(
                address, params={"sql": sql}, timeout=300, follow_redirects=True
            )
            seconds = time.perf_counter() - start, time.process_time() - work
            told[what] = (*seconds, _ending(response.json()))
        return told

    told = asyncio.run(ask_all())
    print(json.dumps({"queries": told, "peak_mb": peak() // 1_000_000}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
