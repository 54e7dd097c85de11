from hypothesis import given
from hypothesis import strategies as st

from domain.candidates import SOURCES, merge
from schemas.types import CandidateSource

Found = dict[CandidateSource, list[int]]

lists: st.SearchStrategy[Found] = st.dictionaries(
    st.sampled_from(SOURCES), st.lists(st.integers(0, 30), unique=True, max_size=20)
)


@given(lists)
def test_each_row_once_with_the_sources_that_found_it(found: Found) -> None:
    merged = merge(found)
    assert merged.rows.tolist() == sorted({row for rows in found.values() for row in rows})
    for index, row in enumerate(merged.rows.tolist()):
        by = [source for source in SOURCES if row in found.get(source, [])]
        flags = merged.from_sources[index].tolist()
        assert [s for s, flag in zip(SOURCES, flags, strict=True) if flag] == by


@given(lists)
def test_the_source_is_the_one_that_places_a_row_highest(found: Found) -> None:
    merged = merge(found)
    for index, row in enumerate(merged.rows.tolist()):
        places = {source: rows.index(row) for source, rows in found.items() if row in rows}
        assert places[merged.sources()[index]] == min(places.values())


def test_nothing_found_is_an_empty_set() -> None:
    assert merge({}).rows.tolist() == []
