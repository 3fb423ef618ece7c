"""What needs no server: the README's first lines, values, predicates, errors.  python3 bindings/python/tests/units.py"""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Optional

PACKAGE = Path(__file__).resolve().parents[1]
os.environ.setdefault("TOMBOLO_LIBRARY", str(PACKAGE.parents[1] / "target/debug"))
sys.path.insert(0, str(PACKAGE / "src"))

import tombolo
from tombolo import errors
from tombolo._convert import milliseconds, to_json
from tombolo._ffi import ffi
from tombolo.datastore import DataStore
from tombolo.typed import EqualField, ListField, ModelInfo, OrderedField, Predicate, Record, TextField, answered, write
from tombolo.values import UNSET, Input, OpenEnum, Part, Value, encode, list_of
from tombolo.watching import Watching


class Colour(OpenEnum):
    RED = "RED"
    DARK_BLUE = "darkBlue"


class FirstLines(unittest.TestCase):
    def test_the_readme_s_first_lines_run(self) -> None:
        text = (PACKAGE / "README.md").read_text(encoding="utf-8")
        lines = re.search(r"```python\n(.*?)```", text, re.DOTALL)
        assert lines is not None
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE / "src")}
        environment["TOMBOLO_LIBRARY"] = str(Path(environment["TOMBOLO_LIBRARY"]).resolve())
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run(
                [sys.executable, "-W", "error", "-c", lines.group(1)],
                cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
            )
        self.assertEqual(ended.stderr, "")
        self.assertEqual(ended.stdout, "{'listNotes': {'items': [{'text': 'wet runway'}]}}\n")

    def test_the_process_ends_in_order_however_soon_after_a_call(self) -> None:
        script = (
            "import asyncio, sys, tombolo\n"
            "async def main():\n"
            "    schema = 'type Note @model { id: ID! text: String! }'\n"
            "    async with tombolo.open(schema=schema, path=sys.argv[1]) as client:\n"
            "        await client.mutate('mutation { createNote(input: { text: \"t\" }) { id } }')\n"
            "asyncio.run(main())\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE / "src")}
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(12):
                ended = subprocess.run(
                    [sys.executable, "-c", script, f"{folder}/{turn}.db"], env=environment, capture_output=True, text=True
                )
                self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_a_call_behind_the_end_is_cancelled(self) -> None:
        script = (
            "import asyncio, sys, tombolo\n"
            "from tombolo._ffi import ffi\n"
            "async def main():\n"
            "    client = await tombolo.open(schema='type Note @model { id: ID! text: String! }', path=sys.argv[1])\n"
            "    for _ in range(2):\n"
            "        ffi.shut_down_process()\n"
            "    try:\n"
            "        await client.query('{ listNotes { items { text } } }')\n"
            "    except tombolo.CallCancelledError:\n"
            "        print('cancelled')\n"
            "asyncio.run(main())\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE / "src")}
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run(
                [sys.executable, "-c", script, f"{folder}/a.db"], env=environment, capture_output=True, text=True, timeout=60
            )
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "cancelled\n", ""))

    def test_a_library_that_is_not_there_is_said_so(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE / "src"), "TOMBOLO_LIBRARY": "/nowhere/libtombolo_ffi.so"}
        ended = subprocess.run([sys.executable, "-c", "import tombolo"], env=environment, capture_output=True, text=True)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("ImportError: TOMBOLO_LIBRARY is '/nowhere/libtombolo_ffi.so'", ended.stderr)


class Handle:
    """One of the library's: each question waits for its own future."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[Optional[str]]] = []
        self.stopped = 0

    async def next(self) -> Optional[str]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    def stop(self) -> None:
        self.stopped += 1
        for asked in self.asked:
            if not asked.done():
                asked.set_result(None)


class Watches(unittest.IsolatedAsyncioTestCase):
    async def test_what_comes_as_the_one_who_waits_is_cancelled_is_the_next_one_s(self) -> None:
        handle = Handle()
        watching: Watching[str] = Watching(handle, str)
        for turns in range(5):
            first = asyncio.ensure_future(watching.next())
            while len(handle.asked) <= turns:
                await asyncio.sleep(0)
            handle.asked[turns].set_result(f"item {turns}")
            for _ in range(turns):
                await asyncio.sleep(0)
            first.cancel()
            try:
                self.assertEqual(await first, f"item {turns}")
            except asyncio.CancelledError:
                self.assertEqual(await watching.next(), f"item {turns}")
        watching.close()
        self.assertIsNone(await watching.next())

    async def test_of_two_that_wait_each_gets_an_item_of_its_own(self) -> None:
        handle = Handle()
        watching: Watching[str] = Watching(handle, str)
        both = [asyncio.ensure_future(watching.next()) for _ in range(2)]
        for turn in range(2):
            while len(handle.asked) <= turn:
                await asyncio.sleep(0)
            handle.asked[turn].set_result(str(turn))
        self.assertEqual(sorted([str(await one) for one in both]), ["0", "1"])

    async def test_one_that_nobody_holds_is_stopped_though_a_question_is_open(self) -> None:
        handle = Handle()
        watching: Watching[str] = Watching(handle, str)
        waiting = asyncio.ensure_future(watching.next())
        while not handle.asked:
            await asyncio.sleep(0)
        waiting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waiting
        self.assertEqual(handle.stopped, 0)
        del watching, waiting
        gc.collect()
        self.assertEqual(handle.stopped, 1)


class Errors(unittest.TestCase):
    def test_every_error_of_the_library_has_a_class(self) -> None:
        special = {"Request", "NeedsNetwork", "UnknownRecord", "UnknownModel", "UnknownMutation", "Refused", "Store", "Open"}
        known = {
            name.rpartition(".")[2]
            for name, kind in vars(ffi.TomboloError).items()
            if isinstance(kind, type) and issubclass(kind, ffi.TomboloError)
        }
        self.assertEqual(known, special | set(errors._PLAIN))

    def test_codes_are_different_and_classes_are_exported(self) -> None:
        kinds = [getattr(errors, name) for name in errors.__all__ if name != "Problem"]
        self.assertEqual(len({kind.code for kind in kinds}), len(kinds))
        self.assertEqual([name for name in errors.__all__ if not hasattr(tombolo, name)], [])
        self.assertEqual(
            sorted(kind.__name__ for kind in kinds if kind.can_retry), ["BusyError", "DiskFullError", "OutboxFullError"]
        )
        self.assertTrue(errors.OpenError("x", "in_use").can_retry)
        self.assertFalse(errors.OpenError("x", "newer_file").can_retry)


class Values(unittest.TestCase):
    def test_an_enum_value_of_a_newer_server_survives(self) -> None:
        strange = Colour("GREEN")
        self.assertEqual((strange, strange.is_known, str(strange)), ("GREEN", False, "GREEN"))
        self.assertEqual(encode([strange, Colour.DARK_BLUE]), ["GREEN", "darkBlue"])
        for known in (strange, Colour.RED, Colour.DARK_BLUE):
            self.assertEqual(copy.deepcopy(known), known)
            self.assertEqual(pickle.loads(pickle.dumps(known)), known)
            self.assertEqual(hash(known), hash(str(known)))
        self.assertNotEqual(Colour("GREEN"), Colour.RED)
        self.assertEqual(len(Colour), 2)
        with self.assertRaises(ValueError):
            Colour(5)

    def test_what_is_unset_is_not_sent_and_none_is(self) -> None:
        class Edit(Input):
            def __init__(self, **given: object) -> None:
                self.first = given.get("first", UNSET)
                self.second = given.get("second", UNSET)

            _parts = (Part("first", "first"), Part("secondOne", "second"))

        self.assertEqual(Edit().to_json(), {})
        self.assertEqual(Edit(second=None).to_json(), {"secondOne": None})
        self.assertFalse(UNSET)
        self.assertIs(copy.deepcopy(UNSET), UNSET)
        self.assertEqual(repr(Edit(first="secret")), "Edit(first)")

    def test_json_that_does_not_fit_is_told(self) -> None:
        class Point(Value):
            def __init__(self, *, x: float, tags: object = None) -> None:
                self.x, self.tags = x, tags

            _parts = (Part("x", "x", required=True, read=float), Part("tags", "tags", read=list_of(Colour)))

        self.assertEqual(Point.from_json({"x": 1, "tags": ["RED", None]}).to_json(), {"x": 1.0, "tags": ["RED", None]})
        bad: list[object] = [None, [], {}, {"x": None}, {"x": "one"}, {"x": 1, "tags": "RED"}, {"x": 1, "tags": [5]}]
        for wrong in bad:
            with self.assertRaises(errors.ShapeError):
                Point.from_json(wrong)

    def test_what_cannot_become_json_is_told(self) -> None:
        loop: list[object] = []
        loop.append(loop)
        for wrong in (float("nan"), object(), {1}, loop):
            with self.assertRaises(errors.JsonError):
                to_json(wrong)

    def test_seconds(self) -> None:
        self.assertEqual([milliseconds("budget", s) for s in (0, 0.0001, 1, 1.5)], [0, 1, 1000, 1500])
        for seconds in (-1.0, float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                milliseconds("budget", seconds)


class Predicates(unittest.TestCase):
    def test_they_become_filters(self) -> None:
        name: TextField[Record, str] = TextField("name")
        size: OrderedField[Record, int] = OrderedField("size")
        colour: EqualField[Record, Colour] = EqualField("colour")
        tags: ListField[Record, str] = ListField("tags")
        for predicate, wanted in (
            (name == "a", {"name": {"eq": "a"}}),
            ((size > 1) & (size <= 5) & (colour != Colour.RED), {"and": [{"size": {"gt": 1}}, {"size": {"le": 5}}, {"colour": {"ne": "RED"}}]}),
            (name.begins_with("a") | ~tags.contains("x"), {"or": [{"name": {"beginsWith": "a"}}, {"not": {"tags": {"contains": "x"}}}]}),
            (size.between(1, 2), {"size": {"between": [1, 2]}}),
            (colour.in_([Colour.RED]), {"or": [{"colour": {"eq": "RED"}}]}),
            (tags.missing(), {"tags": {"attributeExists": False}}),
            (Predicate[Record]({}) & (name == "a"), {"name": {"eq": "a"}}),
            (Predicate[Record]({}) | (name == "a"), {}),
        ):
            self.assertEqual(predicate.json, wanted)
        self.assertNotIn("secret", repr(name == "secret"))
        with self.assertRaises(TypeError):
            (name == "a") and (size == 1)


class Strict(Record):
    """A record as code has it that takes for granted what its replica's schema does not."""

    def __init__(self, *, id: str, text: str, tree: Any = None) -> None:
        self.id = id
        self.text = text
        self.tree = tree

    _parts = (Part("id", "id", required=True), Part("text", "text", required=True), Part("tree", "tree"))
    _model = ModelInfo(
        name="Note",
        key=("id",),
        create=("createNote", "mutation($input: CreateNoteInput!) { createNote(input: $input) { id text tree { __typename } } }"),
        update=None,
        delete=("deleteNote", "mutation($input: DeleteNoteInput!) { deleteNote(input: $input) { id text tree { __typename } } }"),
        nests=True,
    )


class Given(Input):
    def __init__(self, id: str, text: Optional[str] = None, tree: Any = UNSET) -> None:
        self.id = id
        self.text = UNSET if text is None else text
        self.tree = tree

    _parts = (Part("id", "id"), Part("text", "text"), Part("tree", "tree"))


class Writes(unittest.IsolatedAsyncioTestCase):
    schema = "type Note @model { id: ID! text: String tree: Tree } type Tree { name: String next: Tree }"

    async def asyncSetUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.client = await tombolo.open(schema=self.schema, path=os.path.join(self.folder.name, "notes.db"))

    async def asyncTearDown(self) -> None:
        await self.client.close()
        self.folder.cleanup()

    async def test_one_whose_answer_cannot_be_read_is_queued_and_no_failure(self) -> None:
        written = await write(Strict, self.client, "create", Given("n1"))
        self.assertIsNone(written.record)
        self.assertIn("text", str(written.problem))
        self.assertEqual([mutation.number for mutation in await self.client.outbox()], [written.number])
        create = "mutation { createNote(input: { id: \"n2\" }) { id text } }"
        mutated = await self.client.mutate(create)
        answer = answered(Strict, mutated)
        self.assertIsNone(answer.data)
        self.assertIsInstance(answer.problem, errors.ShapeError)
        self.assertEqual(answer.mutated, mutated)

    async def test_one_of_which_a_field_fails_is_queued_and_no_failure(self) -> None:
        await self.client.close()
        schema = "type Note @model { id: ID! text: String! tree: Tree } type Tree { name: String next: Tree }"
        old = await tombolo.open(schema=schema.replace("text: String!", "text: String"), path=os.path.join(self.folder.name, "old.db"))
        await old.mutate('mutation { createNote(input: { id: "n1" }) { id } }')
        await old.close()
        self.client = await tombolo.open(schema=schema, path=os.path.join(self.folder.name, "old.db"))
        gone = await write(Strict, self.client, "delete", Given("n1"))
        self.assertIsNone(gone.record)
        self.assertIsInstance(gone.problem, errors.AnswerError)
        self.assertIsNone(await self.client.get("Note", "n1"))

    async def test_the_record_has_its_embedded_values_whole(self) -> None:
        tree: dict[str, Any] = {"name": "leaf", "next": None}
        for level in range(20):
            tree = {"name": str(level), "next": tree}
        written = await write(Strict, self.client, "create", Given("n1", "wet", tree))
        self.assertEqual(written.record and written.record.tree, tree)
        gone = await write(Strict, self.client, "delete", Given("n1"))
        self.assertEqual(gone.record and gone.record.tree, tree)


class Store(unittest.IsolatedAsyncioTestCase):
    schema = Writes.schema

    async def asyncSetUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.options = {"schema": self.schema, "path": os.path.join(self.folder.name, "notes.db"), "account": "ada"}
        self.store = DataStore(**self.options)

    async def asyncTearDown(self) -> None:
        await self.store.close()
        self.folder.cleanup()

    async def names(self) -> list[Any]:
        client = await self.store.client()
        return [item["id"] for item in (await client.find("Note")).items]

    async def test_a_save_whose_record_cannot_be_read_is_no_failure(self) -> None:
        with self.assertLogs("tombolo", "ERROR"):
            given = Strict(id="n1", text="")
            given.text = None  # type: ignore[assignment]
            self.assertIs(await self.store.save(given), given)
        self.assertEqual(await self.names(), ["n1"])

    async def test_what_is_saved_while_it_is_cleared_is_in_the_next_file(self) -> None:
        await self.store.save(Strict(id="before", text="t"))
        clearing = asyncio.ensure_future(self.store.clear())
        saves = [asyncio.ensure_future(self.store.save(Strict(id=f"n{turn}", text="t"))) for turn in range(20)]
        await clearing
        await asyncio.gather(*saves)
        self.assertNotIn("before", await self.names())
        await self.store.save(Strict(id="after", text="t"))
        self.assertIn("after", await self.names())

    async def test_a_clear_that_is_cancelled_leaves_a_store_that_works(self) -> None:
        for turns in range(6):
            await self.store.save(Strict(id="n1", text="t"))
            clearing = asyncio.ensure_future(self.store.clear())
            for _ in range(turns):
                await asyncio.sleep(0)
            clearing.cancel()
            await asyncio.gather(clearing, return_exceptions=True)
            await self.store.save(Strict(id="n2", text="t"))
            self.assertIn("n2", await self.names())

    async def test_one_that_was_signed_out_elsewhere_opens_anew(self) -> None:
        await self.store.save(Strict(id="n1", text="t"))
        async with tombolo.open(schema=self.schema, path=self.options["path"], account="ada") as other:
            await other.sign_out(tombolo.Discard())
        client = await self.store.client()
        with self.assertRaises(errors.SignedOutError):
            while True:
                await client.outbox()
        await self.store.save(Strict(id="n2", text="t"))
        self.assertEqual(await self.names(), ["n2"])


class Openings(unittest.IsolatedAsyncioTestCase):
    async def test_a_file_s_name_is_no_schema(self) -> None:
        with self.assertRaisesRegex(errors.SchemaError, "pathlib.Path"):
            await tombolo.open(schema="mine.graphql", path="/nowhere/a.db")


if __name__ == "__main__":
    result = unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
