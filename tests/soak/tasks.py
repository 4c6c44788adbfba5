"""Many short tasks through worker kills and server kills: every accepted one ends once, and nothing is left behind.

Half of the tasks are of an app that says it may be run again (`steady`), half of one that does not (`once`). Each call
of a function leaves a line in a ledger that a crash does not take back.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from agentkit import Inference
from agentkit.client.config import ClientConfig
from agentkit.errors import TaskFailedError
from agentkit.protocol.retry import RetryPolicy
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.wire import TaskStatus, is_terminal_status
from tests.conformance.seed_apps import write_app
from tests.soak.site import Site

__all__ = ["Plan", "Report", "soak"]

APP = """
class Input(BaseAppInput):
    number: int
    seconds: float
    ledger: str

class Output(BaseAppOutput):
    number: int

class App(BaseApp):
    async def run(self, app_input: Input) -> Output:
        note = os.open(app_input.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(note, f"{app_input.number}\\n".encode())
        os.close(note)
        await asyncio.sleep(app_input.seconds)
        print("task", app_input.number, "done")
        return Output(number=app_input.number)
"""
APPS = {"steady": "metadata: {idempotent: true}", "once": ""}
LONGEST_SECONDS = 0.04  # a task sleeps so long at most
CLIENTS = 8
EVERY_ATTEMPTS = 400  # a client asks again through everything that is done here
KILLED = ("was killed by signal 9", "the server stopped while the task was running")
FEW = 6  # descriptors that a server opens when it is first used, and keeps


@dataclass(frozen=True)
class Plan:
    """How much of what. `worker_pause_seconds` lies between two kills of workers, on average."""

    tasks: int = 2000
    workers: int = 4
    server_kills: int = 2
    worker_pause_seconds: float = 1.5
    seed: int = 0
    patience_seconds: float = 900.0


@dataclass
class Report:
    """What came of it."""

    seed: int
    tasks: int
    seconds: float = 0.0
    tasks_per_second: float = 0.0
    worker_kills: int = 0
    server_kills: int = 0
    restarts: int = 0
    requeued: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    errors: dict[str, int] = field(default_factory=dict[str, int])
    open_files: int = 0
    folders_left: int = 0  # of workers that were just being started when their server was killed


def soak(plan: Plan, folder: Path) -> Report:
    """Does all of it. Raises AssertionError naming what does not hold."""
    report = Report(plan.seed, plan.tasks)
    with _running(folder, plan) as site:
        with _client(site.url) as client:
            for name, manifest in APPS.items():
                client.apps.deploy(write_app(folder / name, APP, name=name, manifest=manifest))
        begin = time.monotonic()
        accepted = _run_all(site, plan, report, folder / "ledger")
        report.seconds = round(time.monotonic() - begin, 2)
        report.tasks_per_second = round(plan.tasks / report.seconds, 1)
        report.restarts = site.restarts
        with _client(site.url) as client:
            tasks = list(client.tasks.iterate(limit=100))
        _check_tasks(tasks, accepted, report)
        _check_ledger(tasks, folder / "ledger")
        _check_files(site, folder / "ledger", report)
        code = site.stop()
        assert code == 0, f"the server ended with {code}"
        assert not (left := site.until_no_workers()), f"processes left behind: {left}"
        report.folders_left = len(list((folder / "scratch").iterdir()))
        assert report.folders_left <= report.server_kills, "folders left behind by more than the killed servers"
    assert not (wakes := anyio.run(_wakes, folder / "agentkit.db")), f"wake-ups left behind: {wakes}"
    return report


# -- running ---------------------------------------------------------------------------------------------------------


@contextmanager
def _running(folder: Path, plan: Plan) -> Iterator[Site]:
    site = Site(folder, plan.workers)
    site.start()
    try:
        yield site
    finally:
        site.close()


def _client(url: str) -> Inference:
    retry = RetryPolicy(max_attempts=EVERY_ATTEMPTS, first_seconds=0.02, factor=1.5, max_backoff_seconds=0.25)
    config = ClientConfig(base_url=url, honours_keys=True, retry=retry, quiet_seconds=5.0, poll_seconds=0.2)
    return Inference(config=config)


def _run_all(site: Site, plan: Plan, report: Report, ledger: Path) -> dict[int, str]:
    """Submits every task and waits for its end, while workers and servers are killed; the ids by number."""
    draw = random.Random(plan.seed)
    naps = [draw.uniform(0, LONGEST_SECONDS) for _ in range(plan.tasks)]
    deaths = sorted(draw.sample(range(plan.tasks // 10, plan.tasks * 9 // 10), plan.server_kills))
    killer = _Killer(site, plan, report, deaths, random.Random(plan.seed + 1))
    accepted: dict[int, str] = {}

    def run(numbers: Sequence[int]) -> None:
        with _client(site.url) as client:
            for number in numbers:
                task = client.tasks.run(
                    {
                        "app": _app_of(number),
                        "input": {"number": number, "seconds": naps[number], "ledger": str(ledger)},
                    },
                    wait=False,
                    idempotency_key=f"soak-{plan.seed}-{number}",
                )
                accepted[number] = task.id
                killer.submitted()
                if number // CLIENTS % 4 < 2:  # some are waited for, some are not
                    _wait(client, task.id)

    with killer.at_work(), ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(run, range(first, plan.tasks, CLIENTS)) for first in range(CLIENTS)]:
            done.result(plan.patience_seconds)
        _until_over(site, plan)
    return accepted


def _wait(client: Inference, task_id: str) -> None:
    """Watches the task to its end, whatever the server goes through; a failure is looked at later."""
    try:
        client.tasks.wait_for_completion(task_id, max_reconnects=EVERY_ATTEMPTS, reconnect_delay_ms=50)
    except TaskFailedError:
        return


def _until_over(site: Site, plan: Plan) -> None:
    """Returns once no task is open."""
    until = time.monotonic() + plan.patience_seconds
    closed = [{"field": "status", "operator": "lt", "value": int(TaskStatus.COMPLETED)}]
    with _client(site.url) as client:
        while left := client.tasks.list(filters=closed, limit=10).items:
            assert time.monotonic() < until, f"tasks still open: {[(each.id, each.status) for each in left]}"
            time.sleep(0.1)


class _Killer:
    """Kills workers now and then, and the server when so many tasks were submitted."""

    def __init__(self, site: Site, plan: Plan, report: Report, deaths: Sequence[int], draw: random.Random) -> None:
        self._site = site
        self._pause = plan.worker_pause_seconds
        self._report = report
        self._deaths = list(deaths)
        self._draw = draw
        self._submitted = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._due = threading.Event()  # the server is to be killed now, or all is over
        self._failures = list[BaseException]()

    def submitted(self) -> None:
        """Another task was accepted."""
        with self._lock:
            self._submitted += 1
            if self._deaths and self._submitted >= self._deaths[0]:
                self._due.set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While entered, it kills."""
        thread = threading.Thread(target=self._work, name="killer")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._due.set()
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _is_due(self) -> bool:
        """Whether another kill of the server is planned for by now; it is taken off the plan."""
        with self._lock:
            if not self._deaths or self._submitted < self._deaths[0]:
                return False
            self._deaths.pop(0)
            if not self._over.is_set() and not (self._deaths and self._submitted >= self._deaths[0]):
                self._due.clear()
            return True

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                if not self._due.wait(self._draw.expovariate(1 / self._pause)):
                    self._kill_worker()
                elif self._is_due():
                    self._kill_server()
            assert not self._deaths, "all was over before the server was killed as often as planned"
        except BaseException as error:
            self._failures.append(error)

    def _kill_server(self) -> None:
        self._site.kill()
        self._report.server_kills += 1
        left = self._site.until_no_workers()
        assert not left, f"workers that outlived their server: {left}"
        self._site.start()

    def _kill_worker(self) -> None:
        """Any that was called before: one that dies while it starts fails its task, whatever the app says."""
        state = self._site.fleet() or {"workers": []}
        pids = [each["pid"] for each in state["workers"] if each["pid"] and each["calls"]]
        if pids and self._site.kill_worker(self._draw.choice(pids)):
            self._report.worker_kills += 1


# -- checking --------------------------------------------------------------------------------------------------------


def _app_of(number: int) -> str:
    return list(APPS)[number // CLIENTS % 2]  # each client runs both


def _check_tasks(tasks: Sequence[Any], accepted: dict[int, str], report: Report) -> None:
    """That each accepted task is there once and ended once, well unless a kill explains it."""
    ids = {task.id: task.input["number"] for task in tasks}
    assert len(ids) == len(tasks) == len(accepted) == report.tasks, (len(ids), len(tasks), len(accepted))
    assert all(ids[task_id] == number for number, task_id in accepted.items())
    outcomes, errors = Counter[str](), Counter[str]()
    for task in tasks:
        seen = [event.status for event in task.events]
        assert is_terminal_status(task.status), (task.id, task.status)
        assert [is_terminal_status(each) for each in seen].count(True) == 1, (task.id, seen)
        assert seen[-1] == task.status, (task.id, seen)
        app = _app_of(task.input["number"])
        outcomes[f"{app} {TaskStatus(task.status).name.lower()}"] += 1
        report.requeued += seen.count(TaskStatus.QUEUED) - 1
        if task.status == TaskStatus.COMPLETED:
            assert task.output["number"] == task.input["number"], task.output
            continue
        assert app == "once", f"task {task.id} may be run again, but ended {task.status}: {task.error}, {seen}"
        known = next((text for text in KILLED if text in (task.error or "")), None)
        assert task.status == TaskStatus.FAILED and known, (task.id, task.status, task.error, seen)
        errors[known] += 1
    report.outcomes, report.errors = dict(outcomes), dict(errors)


def _check_ledger(tasks: Sequence[Any], ledger: Path) -> None:
    """That a completed task's function was called, and that of an app that is not to be run again once at most."""
    calls = Counter(map(int, ledger.read_text().split()))
    for task in tasks:
        number = task.input["number"]
        if task.status == TaskStatus.COMPLETED:
            assert calls[number] >= 1, f"task {task.id} completed and was never called"
        if _app_of(number) == "once":
            assert calls[number] <= 1, f"task {task.id} was called {calls[number]} times"


def _check_files(site: Site, ledger: Path, report: Report) -> None:
    """That the server holds no more descriptors after another round of tasks and kills than before it."""
    before = _without_workers(site)
    with _client(site.url) as client:
        for number in range(3 * site.workers):
            told = {"number": -1, "seconds": 0, "ledger": f"{ledger}.more"}
            client.run({"app": "steady", "input": told})
            if number % site.workers == 0:
                _without_workers(site)
    after = _without_workers(site)
    report.open_files = len(after)
    new = dict(Counter(after) - Counter(before))
    assert len(_but_readers(after)) <= len(_but_readers(before)), f"descriptors left open: {new}"
    site.stop()
    site.start()
    fresh = _without_workers(site)
    assert len(before) <= len(fresh) + FEW, (
        f"descriptors left open by the soak: {dict(Counter(before) - Counter(fresh))}"
    )


def _without_workers(site: Site) -> list[str]:
    """What the server holds open when it has no worker and no client."""
    until = time.monotonic() + 20
    while workers := (site.fleet() or {"workers": [None]})["workers"]:
        assert time.monotonic() < until, f"workers that do not go: {workers}"
        for each in workers:
            if each and each["pid"]:
                site.kill_worker(each["pid"])
        time.sleep(0.05)
    assert not (left := site.until_no_workers()), f"processes left behind: {left}"
    time.sleep(0.2)  # the server closes the connection that asked
    return sorted(link.split(":")[0] for link in site.open_files())


def _but_readers(links: Sequence[str]) -> list[str]:
    """Without the connections to the database: a few readers, opened when they are first needed."""
    return [link for link in links if "agentkit.db" not in link]


async def _wakes(db: Path) -> list[Any]:
    store = SqliteStore(db)
    await store.open()
    try:
        return list(await store.read(lambda tx: tx.wakes()))
    finally:
        await store.close()
