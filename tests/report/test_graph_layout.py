from itertools import pairwise

import pytest

from bridge.report.edges import edges
from bridge.report.graph_layout import layout


def test_a_chain_is_one_straight_line() -> None:
    found = layout(range(50), pairwise(range(50)))
    assert {column for column, _ in found.places.values()} == {0.0}
    assert [found.places[node][1] for node in range(50)] == list(range(50))


def test_every_edge_goes_down_and_has_a_bend_at_every_rank_between() -> None:
    links = [(0, 1), (1, 2), (2, 3), (0, 3), (1, 4), (3, 4)]
    found = layout(range(5), links)
    for writer, reader in links:
        gap = found.places[reader][1] - found.places[writer][1]
        assert gap >= 1
        assert len(found.routes[writer, reader]) == gap - 1


def test_nodes_and_bends_of_one_rank_are_apart() -> None:
    links = [(0, branch) for branch in range(1, 8)] + [(branch, 8) for branch in range(1, 8)] + [(0, 8)]
    found = layout(range(9), links)
    columns = sorted([found.places[branch][0] for branch in range(1, 8)] + list(found.routes[0, 8]))
    assert all(right - left >= 1 - 1e-9 for left, right in pairwise(columns))
    assert min(columns) == 0.0


def test_branches_that_swap_at_the_end_are_ordered_so_that_none_cross() -> None:
    # two branches of four nodes each, joined last to first
    links = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 8), (6, 7)]
    found = layout(range(9), links)
    first, second = ([found.places[node][0] for node in branch] for branch in ((1, 3, 5, 8), (2, 4, 6, 7)))
    assert all(a < b for a, b in zip(first, second, strict=True)) or all(a > b for a, b in zip(first, second, strict=True))


def test_a_node_that_reads_nothing_stands_right_above_its_reader() -> None:
    found = layout(range(5), [(0, 1), (1, 2), (2, 3), (4, 3)])
    assert found.places[4][1] == found.places[3][1] - 1


def test_a_tensor_that_every_layer_reads_does_not_take_a_bend_for_each_pair() -> None:
    count = 2000
    links = [*pairwise(range(count)), *((0, reader) for reader in range(50, count))]
    found = layout(range(count), links)
    assert sum(len(route) for route in found.routes.values()) <= 4 * count
    assert found.routes[0, 50]
    assert found.routes[0, count - 1] == ()


@pytest.mark.parametrize("nodes", [(), (3,), (1, 2)])
def test_a_graph_without_edges_has_places_for_its_nodes(nodes: tuple[int, ...]) -> None:
    assert list(layout(nodes, ()).places) == list(nodes)


def test_edges_name_writer_and_reader_by_position_and_once() -> None:
    links = [("a", ["x"], ["t"]), ("b", ["t", "t", "weights"], ["u"]), ("c", ["t", "u"], ["v"])]
    assert edges(links, ["folded", "a", "b", "c"]) == ((1, 2), (1, 3), (2, 3))
