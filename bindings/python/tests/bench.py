"""Does the job of the bench's workload W8 (`bench/src/worker/app.rs` has its meaning): opens a replica's file, asks, writes, watches,
and prints how long that took in one line of JSON, in seconds."""

import asyncio
import json
import sys
import time
from typing import Dict, List

import tombolo


def spread(times: List[float]) -> Dict[str, float]:
    ordered = sorted(times)
    return {"p50": ordered[(len(ordered) - 1) * 50 // 100], "p99": ordered[(len(ordered) - 1) * 99 // 100]}


async def bench(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    begun = time.perf_counter()
    client = await tombolo.open(schema=job["schema"], path=job["file"])
    opened = time.perf_counter() - begun
    asked = time.perf_counter()
    await client.query(job["query"])
    answered = time.perf_counter() - asked

    async def write(place: int, record: str) -> None:
        await client.mutate(job["update"], {"input": {"id": record, "depDelay": 8_000 + place}})

    writes: List[float] = []
    for place, record in enumerate(job["plain"]):
        mark = time.perf_counter()
        await write(place, record)
        writes.append(time.perf_counter() - mark)
    lives: List[float] = []
    answers = client.watch(job["query"]).__aiter__()
    await answers.__anext__()
    for place, record in enumerate(job["watched"]):
        mark = time.perf_counter()
        await write(place, record)
        await answers.__anext__()
        lives.append(time.perf_counter() - mark)
    await client.close()
    told = {"open_seconds": opened, "first_query_seconds": answered, "write": spread(writes), "live": spread(lives)}
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(bench(sys.argv[1]))
