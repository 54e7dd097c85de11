"""One contract, held by SQLite and by PostgreSQL."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, select, text

from schemas.types import UserSnapshot
from stores.errors import StoreRejected, StoreUnavailable
from stores.records.database import Database
from stores.records.entered import Hand, ProfileEntries
from stores.records.learned import LearnedWriter
from stores.records.reading import Entered, Entry, Learned, RecordReader
from stores.records.tables import (
    ENTERED_OF_ITEMS,
    ENTERED_OF_USERS,
    LEARNED_OF_ITEMS,
    LEARNED_OF_USERS,
    erased_users,
    items,
    metadata,
    profile_entries,
    schema_version,
    user_profiles,
)
from tests.stores.postgres import Postgres, running_postgres
from tests.stores.records import (
    NOW_MS,
    deleted_item,
    item_event,
    item_popularity,
    item_snapshot,
    user_snapshot,
)

HAND = Hand(by="ada", at_ms=NOW_MS + 5_000)
NOTHING_ENTERED = Entered(
    external_id=None,
    language=None,
    explicit_preferences={},
    blocked_items=(),
    blocked_creators=(),
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/there/records.sqlite"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database(url) as database:
        database.prepare()
        yield database


@pytest.fixture
def writer(database: Database) -> LearnedWriter:
    return LearnedWriter(database)


@pytest.fixture
def entries(database: Database) -> ProfileEntries:
    return ProfileEntries(database)


@pytest.fixture
def reader(database: Database) -> RecordReader:
    return RecordReader(database)


def erasure(user_id: str, version: int, **more: Any) -> UserSnapshot:
    return user_snapshot(user_id, version, erased=True, **more)


def test_a_user_is_read_as_the_stream_learned_it(
    writer: LearnedWriter, reader: RecordReader
) -> None:
    assert reader.profile("ü") is None
    assert writer.write(users=[user_snapshot("ü", 7, country="DE", device_type="mobile")]) == 1
    found = reader.profile("ü")
    assert found is not None
    assert (found.created_at_ms, found.updated_at_ms) == (NOW_MS, NOW_MS + 7)
    assert found.entered == NOTHING_ENTERED
    assert found.learned == Learned(
        version=7,
        log_time_ms=NOW_MS + 7,
        last_active_ms=NOW_MS + 7,
        country_code="DE",
        device_type="mobile",
        preferred_categories={},
        preferred_creators={},
    )


def test_preferred_categories_are_what_the_reader_of_snapshots_finds(
    database: Database, reader: RecordReader
) -> None:
    writer = LearnedWriter(database, preferred=lambda user: {"mugs": user.version / 8})
    writer.write(users=[user_snapshot("u", 4), user_snapshot("u", 6)])
    user = reader.profile("u")
    assert user is not None
    assert user.learned is not None
    assert user.learned.preferred_categories == {"mugs": 0.75}


def test_what_was_entered_is_read_with_who_entered_it_and_when(
    entries: ProfileEntries, reader: RecordReader
) -> None:
    entries.enter_preferences("u", {"drama": 0.8, "spicy": False}, HAND)
    entries.enter_language("u", "de", HAND)
    entries.enter_external_id("u", "crm-1", HAND)
    entries.block_item("u", "i1", HAND)
    entries.block_item("u", "i2", HAND)
    entries.unblock_item("u", "i1", Hand(by="bob", at_ms=NOW_MS + 6_000))
    entries.block_creator("u", "c1", HAND)
    entries.block_creator("u", "c2", HAND)
    entries.unblock_creator("u", "c2", HAND)
    found = reader.profile("u")
    assert found is not None
    assert (found.created_at_ms, found.updated_at_ms) == (NOW_MS + 5_000, NOW_MS + 6_000)
    assert found.learned is None
    assert found.entered == Entered(
        external_id="crm-1",
        language="de",
        explicit_preferences={"drama": 0.8, "spicy": False},
        blocked_items=("i2",),
        blocked_creators=("c1",),
    )
    made = reader.entries("u")
    assert len(made) == 9
    assert made[5] == Entry(field="blocked_items", value=["i2"], by="bob", at_ms=NOW_MS + 6_000)
    assert {one.by for one in made} == {"ada", "bob"}


def test_a_profile_is_as_old_as_the_first_that_was_known_of_it(
    writer: LearnedWriter, entries: ProfileEntries, reader: RecordReader
) -> None:
    entries.enter_language("u", "de", HAND)
    writer.write(users=[user_snapshot("u", 1, first_seen_ms=NOW_MS - 50)])
    writer.write(users=[user_snapshot("u", 2, first_seen_ms=NOW_MS)])
    found = reader.profile("u")
    assert found is not None
    assert (found.created_at_ms, found.updated_at_ms) == (NOW_MS - 50, HAND.at_ms)


def test_an_entry_that_changes_nothing_leaves_no_trace(
    entries: ProfileEntries, reader: RecordReader
) -> None:
    entries.block_item("u", "i", HAND)
    entries.block_item("u", "i", HAND)
    entries.unblock_creator("u", "never", HAND)
    assert [one.field for one in reader.entries("u")] == ["blocked_items"]


def test_neither_side_touches_the_columns_of_the_other(
    database: Database, writer: LearnedWriter, entries: ProfileEntries
) -> None:
    def columns(names: frozenset[str]) -> dict[str, Any]:
        with database.reading() as connection:
            row = connection.execute(select(user_profiles)).one()
        return {name: row._mapping[name] for name in names}

    writer.write(users=[user_snapshot("u", 1, country="DE")])
    learned = columns(LEARNED_OF_USERS)
    entries.enter_preferences("u", {"a": 1}, HAND)
    entries.enter_language("u", "fr", HAND)
    entries.enter_external_id("u", "x", HAND)
    entries.block_item("u", "i", HAND)
    entries.block_creator("u", "c", HAND)
    assert columns(LEARNED_OF_USERS) == learned
    entered = columns(ENTERED_OF_USERS)
    assert None not in entered.values()
    writer.write(users=[user_snapshot("u", 2, country="FR", device_type="tv")])
    assert columns(ENTERED_OF_USERS) == entered
    assert columns(LEARNED_OF_USERS) != learned


def test_every_column_belongs_to_one_side() -> None:
    shared = {"user_id", "created_at", "updated_at"}
    assert {c.name for c in user_profiles.c} == shared | LEARNED_OF_USERS | ENTERED_OF_USERS
    assert not LEARNED_OF_USERS & ENTERED_OF_USERS
    shared = {"item_id", "created_at"}
    assert {c.name for c in items.c} == shared | LEARNED_OF_ITEMS | ENTERED_OF_ITEMS
    assert not LEARNED_OF_ITEMS & ENTERED_OF_ITEMS


def test_an_older_version_never_replaces_a_newer_one(
    writer: LearnedWriter, reader: RecordReader
) -> None:
    assert (
        writer.write(
            users=[user_snapshot("u", 5, country="FR")],
            entries=[item_snapshot("i", 5, catalog=item_event("i", title="new"))],
            moved=[item_popularity("i", 9)],
        )
        == 3
    )
    assert (
        writer.write(
            users=[user_snapshot("u", 4, country="XX")],
            entries=[item_snapshot("i", 4, catalog=item_event("i", title="old"))],
            moved=[item_popularity("i", 8)],
        )
        == 0
    )
    user, item = reader.profile("u"), reader.item("i")
    assert user is not None
    assert user.learned is not None
    assert item is not None
    assert (user.learned.version, user.learned.country_code) == (5, "FR")
    assert (item["title"], item["popularity_score"]) == ("new", 9.0)
    assert (item["catalog_version"], item["learned_version"]) == (5, 9)


def test_a_job_that_counts_again_from_one_wins_by_its_later_log_time(
    writer: LearnedWriter, reader: RecordReader
) -> None:
    late_ms = NOW_MS + 60_000
    writer.write(
        users=[user_snapshot("u", 50)],
        entries=[item_snapshot("i", 50)],
        moved=[item_popularity("i", 60)],
    )
    assert (
        writer.write(
            users=[user_snapshot("u", 1, log_time_ms=late_ms)],
            entries=[item_snapshot("i", 1, log_time_ms=late_ms)],
            moved=[item_popularity("i", 2, log_time_ms=late_ms)],
        )
        == 3
    )
    user, item = reader.profile("u"), reader.item("i")
    assert user is not None
    assert user.learned is not None
    assert item is not None
    assert (user.learned.version, item["catalog_version"], item["learned_version"]) == (1, 1, 2)


@pytest.mark.parametrize("at_once", [True, False])
def test_the_log_time_that_guards_a_row_never_goes_back(
    writer: LearnedWriter, reader: RecordReader, *, at_once: bool
) -> None:
    """Version 8 comes from a slower partition; a late version 7 must not replace it."""
    told = [
        user_snapshot("u", 7, log_time_ms=NOW_MS + 100),
        user_snapshot("u", 8, log_time_ms=NOW_MS + 98),
        user_snapshot("u", 7, log_time_ms=NOW_MS + 100),
    ]
    for batch in [told] if at_once else [[one] for one in told]:
        writer.write(users=batch)
    user = reader.profile("u")
    assert user is not None
    assert user.learned is not None
    assert (user.learned.version, user.learned.log_time_ms) == (8, NOW_MS + 100)


def test_writing_again_changes_nothing(database: Database, writer: LearnedWriter) -> None:
    def rows() -> list[Any]:
        with database.reading() as connection:
            return [connection.execute(select(table)).all() for table in (user_profiles, items)]

    batch: dict[str, Any] = {
        "users": [user_snapshot(f"u{n % 3}", n) for n in range(1, 9)],
        "entries": [item_snapshot("i", 1), item_snapshot("j", 1), deleted_item("j", 2)],
        "moved": [item_popularity("i", n) for n in range(1, 5)],
    }
    writer.write(**batch)
    before = rows()
    writer.write(**batch)
    assert rows() == before


def test_an_item_keeps_what_the_catalogue_says_apart_from_what_was_computed(
    writer: LearnedWriter, reader: RecordReader
) -> None:
    entry = item_event(
        "i",
        external_id="sku-1",
        item_type="film",
        description="Long.",
        creator_id="c",
        brand_id="b",
        category_id="drama",
        categories=("drama", "noir"),
        tags=("old",),
        language="de",
        content_rating="12",
        price=9.99,
        image_url="there",
        created_at_ms=NOW_MS - 9,
        published_at_ms=NOW_MS - 5,
        visibility="private",
        popularity_score=0.5,
        quality_score=0.25,
        freshness_score=0.75,
        metadata={"colour": "red"},
    )
    writer.write(moved=[item_popularity("i", 3)])
    first = reader.item("i")
    assert first is not None
    assert (first["item_type"], first["title"], first["catalog_version"]) == ("unknown", None, None)
    writer.write(entries=[item_snapshot("i", 2, catalog=entry)])
    assert reader.item("i") == {
        "item_id": "i",
        "created_at": NOW_MS - 9,
        "popularity_score": 3.0,
        "popularity_at": NOW_MS,
        "trending_score": 3.0,
        "total_events": 3,
        "learned_version": 3,
        "learned_log_time_ms": NOW_MS + 3,
        "external_id": "sku-1",
        "item_type": "film",
        "title": "Title of i",
        "description": "Long.",
        "creator_id": "c",
        "brand_id": "b",
        "category_id": "drama",
        "categories": ["drama", "noir"],
        "tags": ["old"],
        "language": "de",
        "content_rating": "12",
        "price": 9.99,
        "availability": "in_stock",
        "image_url": "there",
        "published_at": NOW_MS - 5,
        "updated_at": NOW_MS,
        "deleted_at": None,
        "is_active": True,
        "visibility": "private",
        "catalog_popularity_score": 0.5,
        "quality_score": 0.25,
        "freshness_score": 0.75,
        "metadata": {"colour": "red"},
        "catalog_version": 2,
        "catalog_log_time_ms": NOW_MS + 2,
    }


def test_a_deleted_item_stays_as_inactive_and_frees_its_name_elsewhere(
    writer: LearnedWriter, reader: RecordReader
) -> None:
    named = item_event("i", external_id="sku")
    writer.write(entries=[item_snapshot("i", 1, catalog=named)])
    heir = item_snapshot("j", 1, catalog=item_event("j", external_id="sku"))
    assert writer.write(entries=[heir, deleted_item("i", 2), deleted_item("never", 1)]) == 3
    gone, there = reader.item("i"), reader.item("j")
    assert gone is not None
    assert there is not None
    assert (gone["is_active"], gone["deleted_at"], gone["title"]) == (False, NOW_MS, "Title of i")
    assert there["external_id"] == "sku"
    writer.write(entries=[item_snapshot("i", 3)])
    back = reader.item("i")
    assert back is not None
    assert (back["is_active"], back["deleted_at"]) == (True, None)


def test_erasing_a_user_deletes_what_was_learned_and_what_was_entered(
    database: Database, writer: LearnedWriter, entries: ProfileEntries
) -> None:
    writer.write(users=[user_snapshot("gone", 5), user_snapshot("stays", 5)])
    for user_id in ("gone", "stays"):
        entries.block_item(user_id, "i", HAND)
    writer.write(users=[erasure("gone", 6)])
    with database.reading() as connection:
        left = {
            table.name: [row.user_id for row in connection.execute(select(table))]
            for table in (user_profiles, profile_entries)
        }
        (trace,) = connection.execute(select(erased_users)).all()
    assert left == {"user_profiles": ["stays"], "profile_entries": ["stays"]}
    assert "gone" not in str(trace)


def test_what_is_older_than_an_erasure_never_comes_back(
    writer: LearnedWriter, reader: RecordReader
) -> None:
    """Also where the log of another topic was ahead of the request's."""
    ahead = user_snapshot("u", 5, log_time_ms=NOW_MS + 500)
    for batch in ([ahead], [erasure("u", 6, log_time_ms=NOW_MS + 400)], [ahead]):
        writer.write(users=batch)
    assert reader.profile("u") is None
    both = [replace(ahead, user_id="v"), erasure("v", 6, log_time_ms=NOW_MS + 400)]
    writer.write(users=both)
    writer.write(users=both[:1])
    assert reader.profile("v") is None


def test_a_user_who_comes_back_is_a_new_one_also_when_the_log_is_read_again(
    writer: LearnedWriter, entries: ProfileEntries, reader: RecordReader
) -> None:
    old, request = user_snapshot("u", 5, country="DE"), erasure("u", 6)
    back = user_snapshot("u", 1, log_time_ms=NOW_MS + 9_000)
    writer.write(users=[old, request, back])
    entries.block_item("u", "i", HAND)
    for batch in ([old], [request], [back], [old, request, back]):
        writer.write(users=batch)
    found = reader.profile("u")
    assert found is not None
    assert found.learned is not None
    assert (found.learned.version, found.learned.country_code) == (1, None)
    assert found.entered.blocked_items == ("i",)
    writer.write(users=[erasure("u", 2, log_time_ms=NOW_MS + 10_000)])
    assert reader.profile("u") is None
    assert reader.entries("u") == []


def test_what_the_store_refuses_is_told_and_nothing_of_the_batch_is_kept(
    writer: LearnedWriter, reader: RecordReader
) -> None:
    one, other = (item_snapshot(n, 1, catalog=item_event(n, external_id="same")) for n in "ij")
    with pytest.raises(StoreRejected, match=r"relational store refused the write: .*external"):
        writer.write(users=[user_snapshot("u", 1)], entries=[one, other])
    assert reader.profile("u") is None
    late = item_event("k", published_at_ms=10**17)
    with pytest.raises(StoreRejected, match="refused the write: days="):
        writer.write(entries=[item_snapshot("k", 1, catalog=late)])


def test_a_name_elsewhere_belongs_to_one_user(entries: ProfileEntries) -> None:
    entries.enter_external_id("u", "crm-1", HAND)
    with pytest.raises(StoreRejected, match="external_id"):
        entries.enter_external_id("v", "crm-1", HAND)
    entries.enter_external_id("u", None, HAND)
    entries.enter_external_id("v", "crm-1", HAND)


@pytest.mark.parametrize("text", ["", "x" * 257])
def test_an_entry_without_usable_names_is_refused(entries: ProfileEntries, text: str) -> None:
    reason = f"has {len(text)} bytes; 1 to 256 are allowed"
    with pytest.raises(StoreRejected, match=f"user_id {reason}"):
        entries.enter_language(text, "de", HAND)
    with pytest.raises(StoreRejected, match=f"by {reason}"):
        entries.enter_language("u", "de", Hand(by=text, at_ms=NOW_MS))
    with pytest.raises(StoreRejected, match=f"what is blocked {reason}"):
        entries.block_item("u", text, HAND)
    with pytest.raises(StoreRejected, match=f"external_id {reason}"):
        entries.enter_external_id("u", text, HAND)


def test_two_who_block_at_once_both_have_their_way(
    entries: ProfileEntries, reader: RecordReader
) -> None:
    def block(kind: str) -> None:
        for number in range(20):
            entries.block_item("u", f"{kind}{number}", HAND)

    threads = [threading.Thread(target=block, args=(kind,)) for kind in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = reader.profile("u")
    assert found is not None
    assert len(found.entered.blocked_items) == 40


def test_the_tables_are_made_once_and_what_is_there_stays(
    url: str, writer: LearnedWriter, reader: RecordReader
) -> None:
    writer.write(users=[user_snapshot("u", 1)])
    with Database(url) as again:
        again.prepare()
        with again.reading() as connection:
            assert connection.scalars(select(schema_version.c.version)).all() == [1]
            assert set(inspect(connection).get_table_names()) == set(metadata.tables)
    assert reader.profile("u") is not None


def test_only_steps_that_were_not_taken_are_taken(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    steps = (lambda _: taken.append("first"), lambda _: taken.append("second"))
    monkeypatch.setattr("stores.records.database.STEPS", steps)
    database.prepare()
    database.prepare()
    assert taken == ["second"]


def test_tables_of_a_newer_version_are_left_alone(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(schema_version.update().values(version=99))
    with pytest.raises(
        StoreUnavailable, match="its tables are of version 99 and this freshet knows 1; update it"
    ):
        database.prepare()


def test_missing_tables_are_an_absence_that_prepare_ends(
    database: Database, writer: LearnedWriter
) -> None:
    with database.writing() as connection:
        metadata.drop_all(connection)
    with pytest.raises(StoreUnavailable, match="erased_users"):
        writer.write(users=[user_snapshot("u", 1)])
    database.prepare()
    assert writer.write(users=[user_snapshot("u", 1)]) == 1


def test_a_directory_that_cannot_be_is_an_absence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        Database(f"sqlite:///{tmp_path}/file/records.sqlite") as database,
        pytest.raises(StoreUnavailable, match="the relational store is not available: "),
    ):
        database.prepare()


def test_a_locked_file_is_an_absence(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.sqlite"
    with Database(url) as holder, Database(url, timeout_s=0.1) as database:
        holder.prepare()
        with holder.writing(), pytest.raises(StoreUnavailable, match="database is locked"):
            database.prepare()


@pytest.mark.e2e
def test_a_server_that_goes_away_and_comes_back(postgres: Postgres) -> None:
    with Database(postgres.new_database()) as database:
        database.prepare()
        writer = LearnedWriter(database)
        postgres.stop()
        try:
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="the relational store is not available"):
                    writer.write(users=[user_snapshot("u", 1)])
        finally:
            postgres.start()
        assert writer.write(users=[user_snapshot("u", 1)]) == 1
        postgres.stop()
        postgres.start()
        assert writer.write(users=[user_snapshot("u", 2)]) == 1


@pytest.mark.e2e
def test_the_stream_needs_no_right_to_what_people_enter(postgres: Postgres) -> None:
    """A server can hold the two apart by itself, with rights by the column."""
    url = postgres.new_database()
    of_stream = ", ".join(sorted({"user_id", "created_at", "updated_at", *LEARNED_OF_USERS}))
    with Database(url) as owner:
        owner.prepare()
        with owner.writing() as connection:
            for statement in (
                "DROP ROLE IF EXISTS stream",
                "CREATE ROLE stream LOGIN",
                "GRANT SELECT ON user_profiles, erased_users TO stream",
                f"GRANT INSERT ({of_stream}), UPDATE ({of_stream}) ON user_profiles TO stream",
            ):
                connection.execute(text(statement))
    with Database(url.replace("postgres@", "stream@")) as database:
        assert LearnedWriter(database).write(users=[user_snapshot("u", 1)]) == 1
        assert LearnedWriter(database).write(users=[user_snapshot("u", 2)]) == 1
        with pytest.raises(StoreUnavailable, match="permission denied"):
            ProfileEntries(database).block_item("u", "i", HAND)


@st.composite
def logs(draw: st.DrawFn) -> list[UserSnapshot]:
    """What two users' partition holds: versions that grow, log times of two topics, erasures."""
    log, versions, at_ms = [], {"u": 0, "v": 0}, NOW_MS
    for _ in range(draw(st.integers(1, 12))):
        user_id = draw(st.sampled_from(["u", "v"]))
        at_ms += draw(st.integers(1, 20))
        versions[user_id] += 1
        erased = draw(st.integers(0, 4)) == 0
        log.append(user_snapshot(user_id, versions[user_id], log_time_ms=at_ms, erased=erased))
        if erased:
            versions[user_id] = 0
    return log


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(log=logs(), cuts=st.lists(st.integers(0, 12), max_size=4), from_=st.integers(0, 12))
def test_however_the_log_is_cut_and_repeated_the_outcome_is_its_last_word(
    database: Database, log: list[UserSnapshot], cuts: list[int], from_: int
) -> None:
    with database.writing() as connection:
        for table in metadata.sorted_tables:
            if table is not schema_version:
                connection.execute(table.delete())
    writer, reader = LearnedWriter(database), RecordReader(database)
    ends = sorted({*cuts, len(log)})
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        writer.write(users=log[start:end])
    writer.write(users=log[from_:])
    for user_id in ("u", "v"):
        told = [one for one in log if one.user_id == user_id]
        expected = told[-1].version if told and not told[-1].erased else None
        found = reader.profile(user_id)
        assert (found.learned.version if found and found.learned else None) == expected
