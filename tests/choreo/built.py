"""The four scripts of the examples, made by calls: the representation without any notation."""

from __future__ import annotations

import attrs

from amachine.choreography.builder import Builder, SceneBuilder
from amachine.choreography.script import EXIT, Script

Next = SceneBuilder | str


@attrs.frozen
class Final:
    """The last part of a file, and the digest of what came since the last one."""

    data: bytes
    digest: bytes


def add_ping(b: Builder, c: str, s: str, next: Next) -> SceneBuilder:
    ping, pong = b.scene(f"Ping[{c}, {s}, {next}]", c), b.scene(f"Pong[{c}, {s}, {next}]", s)
    if not ping.scene.branches:
        ping.branch("ping", int, to=s, next=pong).branch("next", to=s, next=next)
        pong.branch("pong", int, to=c, next=ping)
    return ping


def pingpong(c: str = "alice", s: str = "bob") -> Script:
    b = Builder()
    return b.script("pingpong", add_ping(b, c, s, EXIT), roles=(c, s))


def add_check_hash(b: Builder, ok: Next, bad: Next) -> SceneBuilder:
    check = b.scene(f"CheckHash[{ok}, {bad}]", "receiver")
    return check.branch("ok", to="sender", next=ok).branch("failed", to="sender", next=bad)


def sendfile(bad: str = EXIT) -> Script:
    b = Builder()
    size, send = b.scene("Size", "sender"), b.scene("Send", "sender")
    size.branch("size", int, to="receiver", next=send)
    send.branch("chunk", bytes, to="receiver", next=send)
    send.branch("check", bytes, to="receiver", next=add_check_hash(b, send, bad))
    send.branch("final", Final, to="receiver", next=add_check_hash(b, EXIT, bad))
    return b.script("sendfile", size, roles=("sender", "receiver"), exits=dict.fromkeys((EXIT, bad)))


def add_two_phase(b: Builder, k: str, x: str, y: str, ok: Next, bad: Next) -> SceneBuilder:
    args = f"[{k}, {x}, {y}, {ok}, {bad}]"
    begin, decide = b.scene(f"Begin{args}", k), b.scene(f"Decide{args}", k)
    vote_x, vote_y = b.scene(f"VoteX{args}", x), b.scene(f"VoteY{args}", y)
    if not begin.scene.branches:
        begin.branch("begin", to=(x, y), next=vote_x)
        vote_x.branch("resp", bool, to=k, next=vote_y)
        vote_y.branch("resp", bool, to=k, next=decide)
        decide.branch("ok", to=(x, y), next=ok).branch("failed", to=(x, y), next=bad)
        decide.branch("retry", to=(x, y), next=begin)
    return begin


def two_phase(ok: str = EXIT, bad: str = "Failed") -> Script:
    b = Builder()
    begin = add_two_phase(b, "k", "x", "y", ok, bad)
    return b.script("two_phase", begin, roles=("k", "x", "y"), exits=(ok, bad))


def show() -> Script:
    """Four roles, who play ping-pong and two-phase commits in changing casts: what the selector says."""
    b = Builder()
    start = b.scene("Start", "selector")
    everyone = ("charlie", "alice", "bob")

    def commit(k: str, x: str, y: str) -> SceneBuilder:
        return add_two_phase(b, k, x, y, start, EXIT)

    last = add_ping(b, "charlie", "alice", commit("charlie", "alice", "bob"))
    charlies = add_ping(b, "alice", "bob", add_ping(b, "bob", "charlie", last))
    start.branch("charlie_leads", to=everyone, next=charlies)
    alices = add_ping(b, "charlie", "bob", commit("alice", "bob", "charlie"))
    start.branch("alice_leads", to=everyone, next=alices)
    bobs = add_ping(b, "alice", "charlie", commit("bob", "alice", "charlie"))
    start.branch("bob_leads", to=everyone, next=bobs)
    start.branch("exit", to=everyone, next=EXIT)
    return b.script("show", start, roles=("selector", "alice", "bob", "charlie"))
