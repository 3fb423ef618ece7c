"""Typed predicates, sort orders, queries and mutations over generated models. Generated code is made of this; an app uses what
the generated classes give it::

    late = Flight.where(lambda f: (f.carrier == "UA") & (f.delay > 30)).order_by(lambda f: f.delay.desc())
    flights = await late.fetch(client)
    async for flights in late.watch(client):
        ...
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, ClassVar, Generic, Optional, TypeVar, Union

from .client import Client
from .errors import AnswerError, TomboloError
from .mutations import Mutated
from .records import Found, SortBy
from .values import UNSET, Input, Value, encode
from .watching import Watching

__all__ = [
    "Answered",
    "EqualField",
    "Field",
    "ListField",
    "ModelInfo",
    "OrderedField",
    "Page",
    "Predicate",
    "Query",
    "Record",
    "Sort",
    "TextField",
    "Written",
]

R = TypeVar("R", bound="Record")
V = TypeVar("V")
F = TypeVar("F")
D = TypeVar("D")
A = TypeVar("A", bound=Value)

class Predicate(Generic[R]):
    """A test of records: made by comparing fields, joined by ``&`` and ``|``, turned round by ``~``. It is a filter of the
    API, and is tried by the database."""

    __slots__ = ("json",)

    def __init__(self, json: dict[str, Any]) -> None:
        self.json = json
        """The filter input. Empty: every record."""

    def __and__(self, other: Predicate[R]) -> Predicate[R]:
        return self._joined("and", other)

    def __or__(self, other: Predicate[R]) -> Predicate[R]:
        # Every record, or some of them: every record.
        return Predicate({}) if not self.json or not other.json else self._joined("or", other)

    def __invert__(self) -> Predicate[R]:
        return Predicate({"not": self.json})

    def __bool__(self) -> bool:
        raise TypeError("a predicate is joined by & and |, not by `and` and `or`; put comparisons into brackets")

    def _joined(self, word: str, other: Predicate[R]) -> Predicate[R]:
        if not self.json:
            return other
        if not other.json:
            return self
        parts: list[Any] = []
        for one in (self.json, other.json):
            parts.extend(one[word] if list(one) == [word] else [one])
        return Predicate({word: parts})

    def __repr__(self) -> str:
        return f"Predicate(on {', '.join(sorted(_named(self.json)))})"


def _named(json: Any) -> set[str]:
    found: set[str] = set()
    for name, value in json.items():
        if name in ("and", "or"):
            for one in value:
                found |= _named(one)
        elif name == "not":
            found |= _named(value)
        else:
            found.add(name)
    return found


class Sort(Generic[R]):
    """One step of an order."""

    __slots__ = ("descending", "name")

    def __init__(self, name: str, descending: bool) -> None:
        self.name = name
        self.descending = descending

    def step(self) -> SortBy:
        """As :meth:`Client.find` takes it."""
        return SortBy(self.name, self.descending)


class Field(Generic[R, V]):
    """A field of a model, as predicates and orders name it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def exists(self) -> Predicate[R]:
        """It has a value."""
        return self._test("attributeExists", True)

    def missing(self) -> Predicate[R]:
        """It has none."""
        return self._test("attributeExists", False)

    def _test(self, operator: str, operand: Any) -> Predicate[R]:
        return Predicate({self.name: {operator: encode(operand)}})


class EqualField(Field[R, V]):
    """One that can be compared for equality, and that lists can be sorted by."""

    __slots__ = ()

    def asc(self) -> Sort[R]:
        """In ascending order; what has no value comes first."""
        return Sort(self.name, False)

    def desc(self) -> Sort[R]:
        """In descending order; what has no value comes last."""
        return Sort(self.name, True)

    def __eq__(self, other: V) -> Predicate[R]:  # type: ignore[override]
        return self._test("eq", other)

    def __ne__(self, other: V) -> Predicate[R]:  # type: ignore[override]
        return self._test("ne", other)

    __hash__ = None  # type: ignore[assignment]

    def in_(self, values: Iterable[V]) -> Predicate[R]:
        """It is one of these. Of none: no record."""
        parts = [{self.name: {"eq": encode(value)}} for value in values]
        return Predicate({"or": parts}) if parts else self.exists() & self.missing()


class OrderedField(EqualField[R, V]):
    """One whose values have an order."""

    __slots__ = ()

    def __lt__(self, other: V) -> Predicate[R]:
        return self._test("lt", other)

    def __le__(self, other: V) -> Predicate[R]:
        return self._test("le", other)

    def __gt__(self, other: V) -> Predicate[R]:
        return self._test("gt", other)

    def __ge__(self, other: V) -> Predicate[R]:
        return self._test("ge", other)

    def between(self, low: V, high: V) -> Predicate[R]:
        """It is from ``low`` to ``high``, both included."""
        return self._test("between", [low, high])


class TextField(OrderedField[R, V]):
    """A text."""

    __slots__ = ()

    def begins_with(self, text: str) -> Predicate[R]:
        """It begins with this."""
        return self._test("beginsWith", text)

    def contains(self, text: str) -> Predicate[R]:
        """This stands somewhere in it."""
        return self._test("contains", text)

    def not_contains(self, text: str) -> Predicate[R]:
        """This stands nowhere in it."""
        return self._test("notContains", text)


class ListField(Field[R, V]):
    """A list; ``V`` is the type of its items."""

    __slots__ = ()

    def contains(self, item: V) -> Predicate[R]:
        """The item is in it."""
        return self._test("contains", item)

    def not_contains(self, item: V) -> Predicate[R]:
        """The item is not in it."""
        return self._test("notContains", item)


class ModelInfo:
    """What the API calls a model and its mutations, and the documents that call them."""

    __slots__ = ("create", "delete", "key", "name", "nests", "update")

    def __init__(
        self,
        *,
        name: str,
        key: tuple[str, ...],
        create: Optional[tuple[str, str]],
        update: Optional[tuple[str, str]],
        delete: Optional[tuple[str, str]],
        nests: bool = False,
    ) -> None:
        self.name = name
        self.key = key
        """The key's fields by their names in the API."""
        self.create = create
        """Root field and document; so with the others."""
        self.update = update
        self.delete = delete
        self.nests = nests
        """An embedded value may nest deeper than those documents select."""

    def root(self, operation: str) -> tuple[str, str]:
        """Root field and document of an operation."""
        found: Optional[tuple[str, str]] = getattr(self, operation)
        if found is None:
            raise TypeError(f"the schema switches off `{operation}` for {self.name}: see @model in it")
        return found


class Record(Value):
    """A record of a model, as a value: changing it changes no row. Save it (:mod:`tombolo.datastore`) or send an input."""

    _model: ClassVar[ModelInfo]
    _loaded: Optional[dict[str, Any]] = None

    @classmethod
    def from_json(cls: type[R], given: Any) -> R:
        """As :meth:`Value.from_json`; the record remembers what it was read from, so that a save sends what the app changed
        and no more."""
        record = super().from_json(given)
        # With its version: what others change from now on is in conflict with it, as the schema says.
        record._loaded = {**record.to_json(), "_version": given.get("_version")}
        return record

    def key_json(self) -> dict[str, Any]:
        """The fields of its key, as JSON's own types."""
        idents = {part.name: part.ident for part in self._parts}
        return {name: encode(getattr(self, idents[name])) for name in self._model.key}

    def __repr__(self) -> str:
        """The key, and no other value."""
        key = ", ".join(f"{name}={value!r}" for name, value in self.key_json().items())
        return f"{type(self).__name__}({key})"


class Page(Generic[R]):
    """Some records of a list."""

    __slots__ = ("items", "next_token")

    def __init__(self, items: list[R], next_token: Optional[str]) -> None:
        self.items = items
        """The records."""
        self.next_token = next_token
        """What asks for the next page; ``None`` for the last one."""


class Query(Generic[R, F]):
    """A list of a model's records that is being put together. Each step gives another query."""

    def __init__(
        self,
        record: type[R],
        fields: F,
        predicate: Optional[Predicate[R]] = None,
        order: tuple[Sort[R], ...] = (),
        limit: Optional[int] = None,
    ) -> None:
        self._record = record
        self._fields = fields
        self._predicate = predicate
        self._order = order
        self._limit = limit

    def where(self, test: Union[Predicate[R], Callable[[F], Predicate[R]]]) -> Query[R, F]:
        """Only records for which this holds too."""
        made = test if isinstance(test, Predicate) else test(self._fields)
        joined = made if self._predicate is None else self._predicate & made
        return Query(self._record, self._fields, joined, self._order, self._limit)

    def order_by(self, *steps: Union[Sort[R], Callable[[F], Sort[R]]]) -> Query[R, F]:
        """In this order (at most 8 steps in all); what the steps leave equal goes by the key."""
        made = tuple(step if isinstance(step, Sort) else step(self._fields) for step in steps)
        return Query(self._record, self._fields, self._predicate, self._order + made, self._limit)

    def limit(self, limit: int) -> Query[R, F]:
        """The first so many only."""
        if limit < 1:
            raise ValueError(f"a limit is 1 or more, not {limit}")
        return Query(self._record, self._fields, self._predicate, self._order, limit)

    @property
    def predicate(self) -> Optional[Predicate[R]]:
        """What is asked for; ``None``: every record."""
        return self._predicate

    @property
    def record(self) -> type[R]:
        """The type of its records."""
        return self._record

    @property
    def filter(self) -> Optional[dict[str, Any]]:
        """The filter input; ``None``: every record."""
        return (self._predicate.json or None) if self._predicate is not None else None

    @property
    def steps(self) -> tuple[SortBy, ...]:
        """The order."""
        return tuple(step.step() for step in self._order)

    def _items(self, found: Found) -> list[R]:
        return [self._record.from_json(item) for item in found.items]

    async def fetch(self, client: Client) -> list[R]:
        """The records: all of them, or as many as :meth:`limit` says."""
        records: list[R] = []
        token: Optional[str] = None
        while True:
            left = None if self._limit is None else self._limit - len(records)
            page = await self.page(client, limit=left, token=token)
            records.extend(page.items)
            token = page.next_token
            if token is None or (self._limit is not None and len(records) >= self._limit):
                return records

    async def page(
        self, client: Client, *, limit: Optional[int] = None, offset: int = 0, token: Optional[str] = None
    ) -> Page[R]:
        """At most ``limit`` records, so many passed over, or on from where ``token`` says."""
        wanted = self._limit if limit is None else limit
        name = self._record._model.name
        found = await client.find(
            name, filter=self.filter, sort=self.steps, limit=wanted, offset=offset, token=token
        )
        return Page(self._items(found), found.next_token)

    async def first(self, client: Client) -> Optional[R]:
        """The first one; ``None`` if there is none."""
        found = await self.page(client, limit=1)
        return found.items[0] if found.items else None

    def watch(self, client: Client) -> Watching[list[R]]:
        """The records now, and each time they change: the first 100,000, or as many as :meth:`limit` says."""
        name = self._record._model.name
        watching = client.watch_find(name, filter=self.filter, sort=self.steps, limit=self._limit)
        return watching.map(self._items)


async def get(record: type[R], client: Client, key: dict[str, Any]) -> Optional[R]:
    """The record with this key; ``None`` if this replica holds none."""
    found = await client.get(record._model.name, encode(key))
    return None if found is None else record.from_json(found)


def watch(record: type[R], client: Client, key: dict[str, Any]) -> Watching[Optional[R]]:
    """The record with this key now, and each time it changes."""
    filter = {name: {"eq": encode(value)} for name, value in key.items()}

    def read(found: Found) -> Optional[R]:
        return record.from_json(found.items[0]) if found.items else None

    return client.watch_find(record._model.name, filter=filter, limit=1).map(read)


async def write(record: type[R], client: Client, operation: str, given: Input) -> Written[R]:
    """Sends an input; gives the record as it stands here and the mutation's number."""
    model = record._model
    name, document = model.root(operation)
    input = given.to_json()
    # The answer's document does not select all of embedded values that nest without end: those records are read as a whole.
    before = await _whole(record, client, input) if model.nests and operation == "delete" else None
    done = await client.mutate(document, {"input": input})
    # Queued: nothing that comes now may be told as a failure of the call, or the app would do it again.
    if done.problems:
        return Written(None, done, _of_problems(done))
    try:
        found = done.data.get(name)
        if model.nests and found is not None:
            whole = before if operation == "delete" else await _whole(record, client, found)
            found = found if whole is None else whole
        return Written(None if found is None else record.from_json(found), done)
    except TomboloError as problem:
        return Written(None, done, problem)


async def _whole(record: type[R], client: Client, found: dict[str, Any]) -> Optional[dict[str, Any]]:
    """The record with this one's key as JSON; ``None`` if it cannot be read as a whole."""
    model = record._model
    try:
        return await client.get(model.name, {name: found[name] for name in model.key})
    except (TomboloError, KeyError):
        return None


def _of_problems(done: Mutated) -> AnswerError:
    return AnswerError("; ".join(problem.message for problem in done.problems), tuple(done.problems), done.data)


def answered(data: type[A], done: Mutated) -> Answered[A]:
    """The answer of an operation that is queued already."""
    if done.problems:
        return Answered(None, done, _of_problems(done))
    try:
        return Answered(data.from_json(done.data), done)
    except TomboloError as problem:
        return Answered(None, done, problem)


def variables(given: dict[str, Any]) -> dict[str, Any]:
    """Variables of an operation: what is :data:`UNSET` is not sent."""
    return {name: encode(value) for name, value in given.items() if value is not UNSET}


class Written(Generic[R]):
    """What writing a record gives back at once. The mutation is queued, whatever ``problem`` says of its answer."""

    __slots__ = ("mutated", "problem", "record")

    def __init__(self, record: Optional[R], mutated: Mutated, problem: Optional[TomboloError] = None) -> None:
        self.record = record
        """The record as it stands here now; for a delete, as it was. ``None`` if the answer cannot be read."""
        self.mutated = mutated
        """The mutation's numbers, for :meth:`Client.outcome`."""
        self.problem = problem
        """Why the answer cannot be read."""

    def __repr__(self) -> str:
        return f"Written({self.number}, {self.record if self.problem is None else self.problem!r})"

    @property
    def number(self) -> int:
        """The mutation's number."""
        return self.mutated.number


class Answered(Generic[D]):
    """What a typed mutation gives back at once. It is queued, whatever ``problem`` says of its answer."""

    __slots__ = ("data", "mutated", "problem")

    def __init__(self, data: Optional[D], mutated: Mutated, problem: Optional[TomboloError] = None) -> None:
        self.data = data
        """The answer, from the local rows as they are now. ``None`` if it cannot be read."""
        self.mutated = mutated
        """The mutation's numbers, for :meth:`Client.outcome`."""
        self.problem = problem
        """Why the answer cannot be read."""
