"""Expense: a workflow that waits for a human, and hears of the decision over HTTP. After a sample of Temporal's.

A report is submitted; somebody approves or rejects it, or nobody does in time; what is approved is paid. Each report is a
machine. To wait is to be in a state: `undecided` has the deadline as its task, which ends with it. The first decision
stands, by a veto, and a 409 tells the other one. How Temporal's sample does it is in README.md beside this.

    python examples/expense.py           submits and decides by itself, without a network
    python examples/expense.py serve     on http://127.0.0.1:8099, until Ctrl-C

    curl 127.0.0.1:8099/expenses -d '{"id": "lunch", "amount": 40}'
    curl 127.0.0.1:8099/expenses/lunch/approve -d '{"by": "Ada"}'
    curl 127.0.0.1:8099/expenses
"""

import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TypeVar

import anyio
import attrs
import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from amachine import Event, Machine, State, exclusive, relate

LIMIT = 10_000
"""Bytes of a request, at most."""
T = TypeVar("T")


@attrs.frozen
class Report:
    """What somebody has spent."""

    id: str
    amount: float


@attrs.frozen
class Decision:
    """Who has decided."""

    by: str


@attrs.frozen
class Receipt:
    """That it was paid."""

    number: str


class Expense(Machine):
    """The life of one report. Activate `undecided`, and wait for `settled`."""

    settled = State(doc="Nothing more will happen.")
    undecided = State()
    approved = State(Decision)
    rejected = State(Decision, add=[settled])
    expired = State(add=[settled])
    verdict = exclusive(undecided, approved, rejected, expired)

    paying = State(auto=True, require=[approved])
    paid = State(Receipt, remove=[paying], add=[settled])
    _ = relate("Exception", remove=[paying], add=[settled])

    def __init__(self, report: Report, office: "Office") -> None:
        super().__init__(report.id, parent=office)
        self.report = report
        self.office = office

    @undecided.task
    async def expire(self, _: Event[None]) -> None:
        await anyio.sleep(self.office.patience)
        self.expired.add()

    @approved.enter
    @rejected.enter
    def is_undecided(self, _: Event[Decision]) -> bool:
        return self.undecided.active

    @paying.task
    async def pay(self, _: Event[None]) -> None:
        self.paid.add(await self.office.pay(self.report))


class Office(Machine):
    """All reports, and how they are paid."""

    report = State(Report, multi=True)

    def __init__(self, pay: Callable[[Report], Awaitable[str]], *, patience: float = 600) -> None:
        super().__init__("office")
        self.pay = pay
        self.patience = patience
        self.expenses: dict[str, Expense] = {}

    @report.enter
    def is_new(self, e: Event[Report]) -> bool:
        return e.args.id not in self.expenses

    @report.state
    def file(self, e: Event[Report]) -> None:
        self.expenses[e.args.id] = expense = Expense(e.args, self)
        expense.undecided.add()

    @report.task
    async def follow(self, e: Event[Report]) -> None:
        async with self.expenses[e.args.id] as expense:
            await expense.settled.when()


def application(office: Office) -> Starlette:
    """The office, over HTTP."""

    async def show(_: Request) -> JSONResponse:
        return JSONResponse({id: expense.active for id, expense in office.expenses.items()})

    async def submit(request: Request) -> JSONResponse:
        answer = office.report.send(await read(request, Report))
        return JSONResponse({"why": answer.why}, 201 if answer else 409)

    async def decide(request: Request) -> JSONResponse:
        expense = office.expenses.get(request.path_params["id"])
        verdicts = {"approve": expense.approved, "reject": expense.rejected} if expense else {}
        verdict = verdicts.get(request.path_params["verdict"])
        if verdict is None:
            return JSONResponse({"why": "there is no such report, or verdict"}, 404)
        answer = verdict.send(await read(request, Decision))
        return JSONResponse({"why": answer.why}, 200 if answer else 409)

    return Starlette(
        routes=[
            Route("/expenses", show),
            Route("/expenses", submit, methods=["POST"]),
            Route("/expenses/{id}/{verdict}", decide, methods=["POST"]),
        ]
    )


async def read(request: Request, wanted: type[T]) -> T:
    """The body of a request, checked. Errors: HTTPException, also for one that is too long."""
    content = b""
    async with aclosing(request.stream()) as parts:
        async for part in parts:
            content += part
            if len(content) > LIMIT:
                raise HTTPException(413)
    try:
        return msgspec.json.decode(content, type=wanted)
    except msgspec.DecodeError as error:
        raise HTTPException(422, str(error)) from error


async def pay(report: Report) -> str:
    """Stands for the bank."""
    await anyio.lowlevel.checkpoint()
    return f"{report.id}-{report.amount:g}"


async def main(*words: str) -> None:
    """Serve on the loopback interface, or rehearse."""
    if words != ("serve",):
        await rehearse()
        return
    async with Office(pay) as office:
        await uvicorn.Server(uvicorn.Config(application(office), host="127.0.0.1", port=8099)).serve()


async def rehearse() -> None:
    """Submit and decide."""
    async with Office(pay, patience=0.05) as office:
        transport = httpx.ASGITransport(application(office))
        async with httpx.AsyncClient(transport=transport, base_url="http://office") as client:

            async def post(path: str, **content: object) -> None:
                answer = await client.post(path, json=content)
                print(f"{path} {answer.status_code} {answer.json()['why']}".rstrip())

            for number, name in enumerate(("lunch", "yacht", "train"), 1):
                await post("/expenses", id=name, amount=number**9)
            await post("/expenses/lunch/approve", by="Ada")
            await post("/expenses/yacht/reject", by="Ada")
            await post("/expenses/yacht/approve", by="Bob")
            for expense in office.expenses.values():
                await expense.settled.when()
            print((await client.get("/expenses")).json())


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        anyio.run(main, *sys.argv[1:])
