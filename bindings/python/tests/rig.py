"""The rig of tests/bindings, started and spoken to from Python."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Optional

REPOSITORY = Path(__file__).resolve().parents[3]


def binary() -> str:
    """The program `tombolo`."""
    return os.environ.get("TOMBOLO_BIN", str(REPOSITORY / "target/debug/tombolo"))


class Server:
    """One server of the rig."""

    def __init__(self, rig: Rig, told: dict[str, str]) -> None:
        self._rig = rig
        self.id = told["id"]
        self.url = told["url"]
        self.api_key = told["apiKey"]

    async def stop(self) -> None:
        await self._rig.ask("POST", f"/servers/{self.id}/stop")

    async def start(self) -> None:
        await self._rig.ask("POST", f"/servers/{self.id}/start")

    async def remove(self) -> None:
        await self._rig.ask("DELETE", f"/servers/{self.id}")

    async def graphql(
        self, query: str, variables: Optional[dict[str, Any]] = None, user: Optional[str] = None
    ) -> dict[str, Any]:
        """Somebody else's request, which must succeed; gives its data."""
        body = {"query": query, "variables": variables}
        if user is not None:
            body["user"] = user
        answer = await self._rig.ask("POST", f"/servers/{self.id}/graphql", body)
        if answer["status"] != 200 or answer.get("errors"):
            raise AssertionError(f"the rig's request failed: {answer}")
        data: dict[str, Any] = answer["data"]
        return data

    async def write(self, operation: str, model: str, **fields: Any) -> dict[str, Any]:
        """Somebody else's edit: `write("create", "Note", id="n1", text="a")`."""
        name = f"{operation}{model}"
        kind = f"{operation[0].upper()}{operation[1:]}{model}Input"
        if operation == "update":
            # The edit of somebody who has seen the newest.
            got = await self.graphql(f"query($id: ID!) {{ get{model}(id: $id) {{ _version }} }}", {"id": fields["id"]})
            fields = {**fields, "_version": got[f"get{model}"]["_version"]}
        return await self.graphql(f"mutation($input: {kind}!) {{ {name}(input: $input) {{ id }} }}", {"input": fields})

    async def notes(self) -> dict[str, Any]:
        """Every note: text by id. Deleted ones stay in the server's lists for a while, as AppSync's do, and say so."""
        data = await self.graphql("{ listNotes(limit: 1000) { items { id text _deleted } } }")
        return {item["id"]: item["text"] for item in data["listNotes"]["items"] if not item["_deleted"]}


class Rig:
    """The rig's process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(REPOSITORY / "tests/bindings/rig/main.js")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the rig did not start; is the server built (cargo build -p tombolo-server)?")
        self._url = json.loads(line)["url"]
        self.schema: str = self._ask("GET", "/schema", None)["text"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, method=method, data=data)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._ask, method, path, body)

    async def server(self) -> Server:
        return Server(self, await self.ask("POST", "/servers"))

    async def token(self, user: str, seconds: int) -> str:
        token: str = (await self.ask("POST", "/tokens", {"user": user, "seconds": seconds}))["token"]
        return token
