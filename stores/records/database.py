"""The database itself: connections, transactions, and what its errors mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url, select, text
from sqlalchemy import exc as failures
from sqlalchemy.dialects import postgresql, sqlite

from stores.errors import StoreRejected, StoreUnavailable
from stores.records.tables import metadata, schema_version

STORE = "the relational store"
TIMEOUT_S = 5.0
# Any number, the same in every process: who makes the tables holds it.
SCHEMA_LOCK = 7_219_034

Step = Callable[[Connection], None]

# Step n makes version n + 1 out of version n; once released, a step is never changed.
STEPS: tuple[Step, ...] = (metadata.create_all,)


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLAlchemy's errors into the stores' own."""
    try:
        yield
    except (failures.IntegrityError, failures.DataError) as error:
        raise StoreRejected(STORE, _first_line(error.orig)) from error
    except failures.DBAPIError as error:
        raise StoreUnavailable(STORE, _first_line(error.orig)) from error
    except failures.StatementError as error:
        # A value that has no form in the database, such as a time after the year 9999.
        raise StoreRejected(STORE, error.orig) from error
    except (failures.SQLAlchemyError, OSError) as error:
        raise StoreUnavailable(STORE, f"{type(error).__name__} {error}") from error


def _first_line(error: BaseException | None) -> str:
    """What was wrong; PostgreSQL goes on with the statement."""
    return f"{type(error).__name__} {error}".partition("\n")[0]


class Database:
    """Connects when it is first used, and again when it must. Safe to share between threads."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        chosen = make_url(url)
        self.is_sqlite = chosen.get_backend_name() == "sqlite"
        if self.is_sqlite:
            engine = _sqlite(chosen, timeout_s)
        else:
            engine = _postgresql(chosen.set(drivername="postgresql+psycopg"), timeout_s)
        self._reading = engine
        self._writing = engine.execution_options(writes=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with translated(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is kept when the block ends, and undone when it raises."""
        with translated(), self._writing.begin() as connection:
            yield connection

    def prepare(self) -> None:
        """Have the tables as this version of the program wants them."""
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"))
            _migrate(connection, STEPS)

    def close(self) -> None:
        """Let go of the connections."""
        self._reading.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Both dialects say ON CONFLICT in the same way, and each by a class of its own."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _migrate(connection: Connection, steps: tuple[Step, ...]) -> None:
    schema_version.create(connection, checkfirst=True)
    found = connection.scalar(select(schema_version.c.version)) or 0
    if found > len(steps):
        raise StoreUnavailable(
            STORE,
            f"its tables are of version {found} and this freshet knows {len(steps)}; update it",
        )
    for step in steps[found:]:
        step(connection)
    if found < len(steps):
        connection.execute(schema_version.delete())
        connection.execute(schema_version.insert().values(version=len(steps)))


def _postgresql(url: Any, timeout_s: float) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=timeout_s,
        connect_args={
            "connect_timeout": max(1, int(timeout_s)),
            "application_name": "freshet",
            "options": f"-c statement_timeout={int(timeout_s * 1000)} -c timezone=UTC",
        },
    )


def _sqlite(url: Any, timeout_s: float) -> Engine:
    engine = create_engine(
        url, pool_timeout=timeout_s, connect_args={"timeout": timeout_s, "isolation_level": None}
    )

    @event.listens_for(engine, "do_connect")
    def make_directory(*_: object) -> None:
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        # Readers go on while one writes; what is committed survives a loss of power.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Whoever reads in order to write must lock first: SQLite lets nobody upgrade a stale read.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
