"""Who gets what, in worlds small enough to check by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from fingerv7.core.planner import Candidate, Move, Plan, Policy, Strategy, Trigger, Unplaced, UnplacedReason

from .worlds import World, check, counts, fleet, held, named, stream, streams, worker

PERFECT = Policy(imbalance_threshold_percent=0, max_stream_difference=0, max_moves_per_round_percent=100)
FREE = Policy(max_moves_per_round_percent=100)


def planned(world: World) -> Plan:
    done = world.plan()
    check(world, done)
    return done


def triggers(done: Plan) -> dict[Trigger, int]:
    return dict(Counter(m.trigger for m in done.moves))


@pytest.mark.parametrize(
    ("number", "capacities", "expected"),
    [
        (300, (100, 150, 50), {"w0": 100, "w1": 150, "w2": 50}),
        (150, (100, 150, 50), {"w0": 50, "w1": 75, "w2": 25}),
        (7, (10, 10, 10), {"w0": 3, "w1": 2, "w2": 2}),
        (10, (60, 30, 10), {"w0": 6, "w1": 3, "w2": 1}),
        # Fair parts of 50.48 and five times 0.505: rounding each to the nearest would take two from the large one.
        (53, (100, 1, 1, 1, 1, 1), {"w0": 50, "w1": 1, "w2": 1, "w3": 1}),
        (3, (1, 1), {"w0": 1, "w1": 1}),
        (0, (5, 5), {}),
    ],
)
def test_new_streams_are_shared_in_proportion_to_capacity(number, capacities, expected):
    done = planned(World(streams(number), fleet(*capacities)))
    assert counts(done) == expected
    assert {m.trigger for m in done.moves} <= {Trigger.NewStream}
    assert done.balanced


def test_a_stream_is_moved_from_nobody():
    done = planned(World(streams(1), fleet(1)))
    assert done.moves == (Move("s0000", None, "w0", Trigger.NewStream),)


def test_perfect_balance_brings_loads_within_one_stream_with_the_fewest_moves():
    done = planned(World(streams(100), fleet(50, 50, 50), held(45, 25, 30), PERFECT))
    assert sorted(counts(done).values()) == [33, 33, 34]
    assert len(done.moves) == done.lower_bound == 11
    assert all(m.source == "w0" for m in done.moves)


def test_balancing_goes_for_the_balanced_shares_not_for_the_edge_of_the_tolerance():
    done = planned(World(streams(100), fleet(50, 50, 50), held(45, 25, 30), FREE))
    assert max(counts(done).values()) == 34
    assert triggers(done) == {Trigger.Imbalance: 11}
    assert done.imbalance_before_percent == pytest.approx(100 * (45 - 100 / 3) / 50)
    assert done.imbalance_after_percent == pytest.approx(100 * (34 - 100 / 3) / 50)


@pytest.mark.parametrize(
    ("current", "policy"),
    [
        pytest.param(held(40, 30, 30), Policy(), id="the loads differ by less than the threshold"),
        pytest.param(held(45, 25, 30), Policy(max_stream_difference=12), id="the streams differ by little"),
        pytest.param(held(45, 25, 30), Policy(may_balance=False), id="balancing is not allowed now"),
    ],
)
def test_nothing_moves_while(current, policy):
    done = planned(World(streams(100), fleet(50, 50, 50), current, policy))
    assert done.moves == ()
    assert done.target == current


def test_a_round_moves_no_more_than_its_budget_and_the_next_goes_on():
    world = World(streams(100), fleet(100, 100), held(100, 0), Policy(max_moves_per_round_percent=10))
    sizes = []
    while (done := planned(world)).moves:
        sizes.append(len(done.moves))
        world = world.after(done)
    # 35 against a mean of 50 is within the threshold of 15 percent points.
    assert sizes == [10, 10, 10, 10]
    assert counts(done) == {"w0": 60, "w1": 40}


def test_one_move_is_always_allowed():
    done = planned(World(streams(9), fleet(10, 10), held(9, 0), Policy(max_moves_per_round_percent=1)))
    assert len(done.moves) == 1


def test_a_round_that_cannot_fill_all_new_workers_fills_them_evenly():
    done = planned(World(streams(100), fleet(100, 100, 100, 100, 100), held(100), Policy()))
    assert counts(done) == {"w0": 90, "w1": 3, "w2": 3, "w3": 2, "w4": 2}


def test_balancing_that_would_not_lower_the_imbalance_is_not_done():
    # The parts are a third three times and one, so that w3 gets one stream, and the other stays on a worker that it
    # fills. Both on w3 would be one more than its part.
    done = planned(World(streams(2), fleet(1, 1, 1, 3), {"s0000": "w0", "s0001": "w1"}, PERFECT))
    assert done.moves == ()


@pytest.mark.parametrize(
    ("light", "moves"),
    [
        pytest.param(11, 11, id="by 11 percent"),
        pytest.param(9, 0, id="by 9 percent only"),
    ],
)
def test_balancing_is_worth_its_moves_where_it_lowers_the_imbalance_by_a_tenth(light: int, moves: int):
    # w0 is 100 above the mean of 200, and only its light streams can leave it: what is left is 100 less their number.
    catalog = streams(100 + light) | {"heavy": stream("heavy", weight=300 - light)}
    done = planned(World(catalog, fleet(1000, 1000), held(light, 100) | {"heavy": "w0"}, PERFECT))
    assert done.imbalance_before_percent == pytest.approx(10)
    assert len(done.moves) == moves


def test_a_round_that_its_budget_cuts_short_need_not_lower_the_imbalance_by_a_tenth():
    done = planned(World(streams(200), fleet(200, 200), held(200), Policy(max_moves_per_round_percent=4)))
    assert len(done.moves) == 8
    assert (done.imbalance_before_percent, done.imbalance_after_percent) == (50, 46)


def test_a_round_that_its_budget_cuts_short_comes_nearer_even_if_another_worker_is_as_far_from_the_mean():
    policy = replace(PERFECT, max_moves_per_round_percent=1)
    world = World(streams(40), fleet(20, 20, 20, 20, 20, 20), held(10, 10, 5, 5, 5, 5), policy)
    done = planned(world)
    assert len(done.moves) == 1
    assert done.imbalance_after_percent == done.imbalance_before_percent
    while done.moves:
        world = world.after(done)
        done = planned(world)
    assert sorted(counts(done).values()) == [6, 6, 7, 7, 7, 7]


def test_a_worker_that_joins_gets_its_share_and_the_moves_say_why():
    done = planned(World(streams(90), fleet(60, 60, 60), held(45, 45, 0), FREE))
    assert counts(done) == {"w0": 30, "w1": 30, "w2": 30}
    assert triggers(done) == {Trigger.NewWorker: 30}


def test_a_lost_worker_s_streams_go_to_the_others_at_once_and_nothing_else_moves():
    world = World(streams(90), fleet(60, 60), held(30, 30, 30), Policy(may_balance=False))
    done = planned(world)
    assert triggers(done) == {Trigger.WorkerLost: 30}
    assert all(m.source == "w2" for m in done.moves)
    assert counts(done) == {"w0": 45, "w1": 45}
    assert done.lower_bound == 0


def test_a_draining_worker_keeps_nothing_that_fits_elsewhere():
    candidates = fleet(20, 20) | named(worker("w2", 20, keeps=False))
    done = planned(World(streams(30), candidates, held(10, 10, 10)))
    assert triggers(done) == {Trigger.WorkerIneligible: 10}
    assert counts(done) == {"w0": 15, "w1": 15}


def test_what_a_draining_worker_cannot_hand_on_has_no_place():
    candidates = fleet(12) | named(worker("w1", 20, keeps=False))
    done = planned(World(streams(20), candidates, held(10, 10)))
    assert counts(done) == {"w0": 12}
    assert {u.reason for u in done.unplaced} == {UnplacedReason.NoCapacity}
    assert all(u.stream in {f"s{i:04d}" for i in range(10, 20)} for u in done.unplaced)


def test_a_late_worker_keeps_what_it_has_and_gets_nothing_new():
    candidates = fleet(50, 50) | named(worker("w2", 50, eligible=False))
    done = planned(World(streams(60), candidates, held(10, 10, 10)))
    assert counts(done) == {"w0": 25, "w1": 25, "w2": 10}
    assert triggers(done) == {Trigger.NewStream: 30}


def test_an_over_full_worker_sheds_its_overflow_only():
    done = planned(World(streams(40), fleet(15, 40), held(20, 20), Policy(may_balance=False)))
    assert counts(done) == {"w0": 15, "w1": 25}
    assert triggers(done) == {Trigger.OverCapacity: 5}
    assert done.lower_bound == 5


def test_an_over_full_worker_sheds_one_heavy_stream_rather_than_many_light_ones():
    catalog = streams(6) | {"heavy": stream("heavy", weight=6), "medium": stream("medium", weight=4)}
    current = held(6) | {"heavy": "w0", "medium": "w0"}
    done = planned(World(catalog, fleet(12, 20), current, Policy(may_balance=False)))
    assert done.moves == (Move("medium", "w0", "w1", Trigger.OverCapacity),)


def test_an_over_full_late_worker_sheds_what_finds_a_place_elsewhere():
    catalog = {s.id: s for s in (stream("a"), stream("b", capabilities=frozenset({"vpn"})))}
    candidates = named(worker("late", 1, "vpn", eligible=False), worker("other", 1, "vpn"), worker("x", 1))
    world = World(catalog | {"c": stream("c")}, candidates, {"a": "late", "b": "late", "c": "x"})
    done = planned(world)
    assert done.unplaced == ()
    assert len(done.moves) == 1


def test_more_bytes_than_a_worker_may_hold_are_more_than_it_can_take():
    candidates = named(worker("w0", 10, max_bytes=1000, reserved_bytes=100), worker("w1", 10, max_bytes=500))
    done = planned(World(streams(8, size=200), candidates))
    assert counts(done) == {"w0": 4, "w1": 2}
    assert [u.reason for u in done.unplaced] == [UnplacedReason.NoCapacity] * 2


def test_one_large_stream_does_not_keep_small_ones_from_using_the_bytes_that_are_left():
    catalog = streams(9, size=100) | {"large": stream("large", size=900)}
    candidates = named(worker("w0", 20, max_bytes=1000), worker("w1", 20, max_bytes=900))
    assert planned(World(catalog, candidates)).unplaced == ()


def test_reserved_room_is_not_used():
    done = planned(World(streams(20), named(worker("w0", 10, reserved_weight=7), worker("w1", 10))))
    assert counts(done) == {"w0": 3, "w1": 10}
    assert len(done.unplaced) == 7


def test_a_stream_goes_only_where_all_its_capabilities_are():
    catalog = {s.id: s for s in (stream("both", capabilities=frozenset({"vpn", "hls"})), stream("none"))}
    candidates = named(worker("w0", 5, "vpn"), worker("w1", 5, "hls"), worker("w2", 5, "vpn", "hls"))
    assert planned(World(catalog, candidates)).target["both"] == "w2"


def test_a_stream_leaves_a_worker_that_lost_a_capability():
    catalog = {"a": stream("a", capabilities=frozenset({"vpn"}))}
    done = planned(World(catalog, named(worker("w0", 5), worker("w1", 5, "vpn")), {"a": "w0"}))
    assert done.moves == (Move("a", "w0", "w1", Trigger.WorkerIneligible),)
    assert done.lower_bound == 1


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        pytest.param({}, UnplacedReason.NoEligibleWorker, id="there is no worker at all"),
        pytest.param(fleet(5), UnplacedReason.NoCapableWorker, id="no worker has the capability"),
        pytest.param(
            named(worker("w0", 5, "vpn", eligible=False), worker("w1", 5)),
            UnplacedReason.NoEligibleWorker,
            id="the workers that have the capability get nothing new",
        ),
        pytest.param(named(worker("w0", 0, "vpn")), UnplacedReason.NoCapacity, id="the worker that has it is full"),
    ],
)
def test_a_stream_without_a_place_says_why(candidates: dict[str, Candidate], reason: UnplacedReason):
    done = planned(World({"a": stream("a", capabilities=frozenset({"vpn"}))}, candidates))
    assert done.unplaced == (Unplaced("a", reason),)
    assert done.target == {}


def test_scarce_streams_come_before_those_that_could_live_elsewhere():
    catalog = streams(4) | {f"v{i}": stream(f"v{i}", capabilities=frozenset({"vpn"})) for i in range(4)}
    done = planned(World(catalog, named(worker("w0", 4, "vpn"), worker("w1", 2))))
    assert {s for s, w in done.target.items() if w == "w0"} == {"v0", "v1", "v2", "v3"}
    assert [u.stream for u in done.unplaced] == ["s0002", "s0003"]


def test_a_stream_that_lives_on_the_only_capable_worker_makes_room_by_moving():
    catalog = streams(2) | {"v": stream("v", capabilities=frozenset({"vpn"}))}
    candidates = named(worker("w0", 2, "vpn"), worker("w1", 2))
    done = planned(World(catalog, candidates, {"s0000": "w0", "s0001": "w0"}, Policy(may_balance=False)))
    assert done.unplaced == ()
    assert done.target["v"] == "w0"
    assert [(m.source, m.target) for m in done.moves if m.stream != "v"] == [("w0", "w1")]
    assert triggers(done) == {Trigger.NewStream: 1, Trigger.MakingRoom: 1}


def test_room_is_made_along_a_chain_of_workers():
    catalog = {
        s.id: s
        for s in (
            stream("a", capabilities=frozenset({"vpn"})),
            stream("b", capabilities=frozenset({"hls"})),
            stream("new", capabilities=frozenset({"vpn", "hls"})),
        )
    }
    candidates = named(worker("w0", 1, "vpn", "hls"), worker("w1", 1, "vpn", "aac"), worker("w2", 1, "aac", "hls"))
    done = planned(World(catalog, candidates, {"a": "w0"}))
    assert done.target == {"a": "w1", "b": "w2", "new": "w0"}


def test_room_for_a_heavy_stream_is_gathered_from_several_light_ones():
    catalog = streams(12, weight=1) | {"heavy": stream("heavy", weight=6)}
    done = planned(World(catalog, fleet(9, 9), held(6, 6), Policy(may_balance=False)))
    assert done.unplaced == ()
    assert len(done.moves) == 4


def test_who_had_a_worker_is_placed_before_who_is_new():
    done = planned(World(streams(3), fleet(1), {"s0002": "gone"}))
    assert done.target == {"s0002": "w0"}


def test_a_stream_prefers_its_own_location_where_that_costs_no_balance():
    catalog = {f"s{i}": stream(f"s{i}", location="berlin" if i % 2 else "paris") for i in range(10)}
    candidates = named(worker("w0", 9, location="berlin"), worker("w1", 9, location="paris"))
    done = planned(World(catalog, candidates))
    assert all(catalog[s].location == candidates[w].location for s, w in done.target.items())
    assert counts(done) == {"w0": 5, "w1": 5}


def test_balance_goes_before_location():
    candidates = named(worker("w0", 10, location="berlin"), worker("w1", 10, location="paris"))
    done = planned(World(streams(10, location="paris"), candidates))
    assert counts(done) == {"w0": 5, "w1": 5}


def test_capabilities_that_tie_work_to_few_workers_do_not_count_as_imbalance():
    # w0 alone can take these nine, and there is no tenth stream that it could give away.
    catalog = {f"v{i}": stream(f"v{i}", capabilities=frozenset({"vpn"})) for i in range(9)} | streams(2)
    candidates = named(worker("w0", 10, "vpn"), worker("w1", 10), worker("w2", 10))
    done = planned(World(catalog, candidates))
    assert counts(done) == {"w0": 9, "w1": 1, "w2": 1}
    assert done.balanced
    assert done.imbalance_after_percent > 50


def test_overlapping_capabilities_are_shared_evenly_from_the_start():
    a = {f"a{i:02d}": stream(f"a{i:02d}", capabilities=frozenset({"vpn"})) for i in range(20)}
    b = {f"b{i:02d}": stream(f"b{i:02d}", capabilities=frozenset({"hls"})) for i in range(22)}
    candidates = named(worker("w0", 50, "vpn"), worker("w1", 50, "vpn", "hls"), worker("w2", 50, "hls"))
    assert counts(planned(World(a | b, candidates))) == {"w0": 14, "w1": 14, "w2": 14}


def test_streams_of_different_weight_are_shared_by_weight():
    catalog = streams(8, weight=1) | {f"h{i}": stream(f"h{i}", weight=4) for i in range(2)}
    done = planned(World(catalog, fleet(10, 10)))
    loads = Counter(done.target[s] for s in catalog for _ in range(catalog[s].weight))
    assert loads == {"w0": 8, "w1": 8}


def test_a_heavy_stream_is_exchanged_for_a_light_one_where_a_move_alone_would_not_help():
    weights = {"h0": 8, "h1": 8, "l0": 4, "l1": 4}
    catalog = {name: stream(name, weight=weight) for name, weight in weights.items()}
    done = planned(World(catalog, fleet(20, 20), {"h0": "w0", "h1": "w0", "l0": "w1", "l1": "w1"}, FREE))
    assert len(done.moves) == 2
    assert done.imbalance_after_percent == 0


def test_streams_that_are_gone_and_weights_below_one_do_no_harm():
    done = World(streams(2, weight=0), fleet(1), {"deleted": "w0", "other": "gone"}).plan()
    assert counts(done) == {"w0": 1}


@pytest.mark.parametrize("total", [45, 25, 30])
def test_any_number_over_equal_workers_is_shared_within_one_stream(total: int):
    shared = counts(planned(World(streams(total), fleet(50, 50, 50))))
    assert max(shared.values()) - min(shared.values()) <= 1


def test_a_worker_above_the_target_load_gets_nothing_while_another_is_below():
    # By even loads alone w0, which can take more than the others together, would get some.
    candidates = named(worker("w0", 100, reserved_weight=0), worker("w1", 20))
    current = {f"s{i:04d}": "w0" for i in range(80)}
    done = planned(World(streams(96), candidates, current, Policy(target_load_percent=80, may_balance=False)))
    assert counts(done) == {"w0": 80, "w1": 16}


def test_above_the_target_load_everybody_is_filled_rather_than_leave_streams_out():
    done = planned(World(streams(19), fleet(10, 10), {}, Policy(target_load_percent=80)))
    assert sorted(counts(done).values()) == [9, 10]


def test_better_workers_get_more_and_no_score_counts_for_more_than_its_bound():
    candidates = named(
        worker("w0", 100, score_percent=0),
        worker("w1", 100, score_percent=100),
        worker("w2", 100, score_percent=9999),
    )
    scored = World(streams(130), candidates, {}, Policy(strategy=Strategy.Performance))
    assert counts(planned(scored)) == {"w0": 10, "w1": 40, "w2": 80}
    assert sorted(counts(World(streams(130), candidates).plan()).values()) == [43, 43, 44]


def test_a_better_worker_is_filled_no_further_than_its_capacity():
    candidates = named(worker("w0", 20, score_percent=200), worker("w1", 100, score_percent=50))
    done = planned(World(streams(60), candidates, {}, Policy(strategy=Strategy.Performance)))
    assert counts(done) == {"w0": 20, "w1": 40}
    assert done.balanced


LOCAL = Policy(strategy=Strategy.Location)


def cities(berlin: int, paris: int) -> dict[str, Candidate]:
    return named(worker("b", berlin, location="berlin"), worker("p", paris, location="paris"))


def test_streams_live_at_their_location_even_where_that_is_uneven():
    done = planned(World(streams(10, location="berlin"), cities(10, 10), {}, LOCAL))
    assert counts(done) == {"b": 10}
    assert done.balanced


def test_what_a_location_has_no_room_for_spills_over():
    done = planned(World(streams(10, location="berlin"), cities(7, 10), {}, LOCAL))
    assert counts(done) == {"b": 7, "p": 3}


def test_streams_of_no_location_leave_the_places_of_a_location_to_its_own():
    catalog = streams(6) | {f"b{i}": stream(f"b{i}", location="berlin") for i in range(6)}
    done = planned(World(catalog, cities(6, 6), {}, LOCAL))
    assert all(done.target[f"b{i}"] == "b" for i in range(6))


def test_streams_come_home_within_the_budget_of_each_round():
    catalog = streams(20, location="berlin")
    world = World(catalog, cities(20, 20), dict.fromkeys(catalog, "p"), LOCAL)
    arrived = []
    while (done := planned(world)).moves:
        assert triggers(done).keys() == {Trigger.ComingHome}
        assert done.lower_bound == len(done.moves)
        arrived.append(len(done.moves))
        world = world.after(done)
    assert arrived == [2] * 10


def test_who_comes_home_makes_room_for_the_next_in_the_same_round():
    catalog = {"a": stream("a", location="rome"), "b": stream("b", location="paris")}
    candidates = cities(2, 1) | named(worker("r", 1, location="rome"))
    world = World(catalog, candidates, {"a": "p", "b": "b"}, replace(FREE, strategy=Strategy.Location))
    done = planned(world)
    assert done.target == {"a": "r", "b": "p"}
    assert done.lower_bound == len(done.moves) == 2
    one_a_round = replace(world, policy=replace(world.policy, max_moves_per_round_percent=50))
    assert [m.stream for m in planned(one_a_round).moves] == ["a"]


def test_who_finds_no_room_at_home_may_have_to_keep_the_place_that_another_would_come_home_to():
    catalog = {
        "small": stream("small", location="berlin", size=100),
        "large": stream("large", location="paris", size=400),
        "other": stream("other", size=150),
    }
    candidates = named(
        worker("b", 2, location="berlin", max_bytes=400), worker("p", 3, location="paris", max_bytes=500)
    )
    # Beside the other one the large one does not fit in Paris, nor the small one beside the large one in Berlin.
    current = {"small": "p", "other": "p", "large": "b"}
    done = planned(World(catalog, candidates, current, replace(FREE, strategy=Strategy.Location)))
    assert done.moves == ()


def test_a_stream_that_comes_home_and_is_evened_out_there_moves_once():
    catalog = {
        "a": stream("a", location="paris"),
        "b": stream("b", location="paris"),
        "heavy": stream("heavy", weight=3),
    }
    candidates = named(worker("away", 1), worker("p3", 3, location="paris"), worker("p5", 5, location="paris"))
    current = {"a": "p5", "b": "away", "heavy": "p3"}
    done = planned(World(catalog, candidates, current, replace(PERFECT, strategy=Strategy.Location)))
    assert done.target == {"a": "p5", "b": "p3", "heavy": "p5"}
    assert done.lower_bound == done.owned_moves == 2


def test_a_worker_does_not_give_a_stream_only_to_be_given_another():
    # "a" could come to w0, which then gives "plain" to w3; but w1 has one like it, which w3 may be given at once.
    hls = frozenset({"hls"})
    catalog = {s.id: s for s in (stream("a", capabilities=hls), stream("b", capabilities=hls), stream("plain"))}
    catalog |= {"other": stream("other"), "rare": stream("rare", capabilities=hls | {"aac"})}
    candidates = named(
        worker("w0", 11, "hls"),
        worker("w1", 10, "hls"),
        worker("w2", 12, "hls", "aac", score_percent=10),
        worker("w3", 8, score_percent=900),
        worker("w4", 9),
    )
    current = {"a": "w1", "other": "w1", "plain": "w0", "b": "w2", "rare": "w2"}
    done = planned(World(catalog, candidates, current, replace(PERFECT, strategy=Strategy.Performance)))
    assert counts(done) == {"w0": 2, "w1": 1, "w2": 1, "w3": 1}
    assert len(done.moves) == done.lower_bound == 2


def test_a_location_is_evened_out_within_itself():
    candidates = named(worker("b1", 20, location="berlin"), worker("b2", 20, location="berlin"), worker("p", 20))
    catalog = streams(12, location="berlin")
    done = planned(
        World(catalog, candidates, dict.fromkeys(catalog, "b1"), Policy(strategy=Strategy.Location, may_balance=True))
    )
    assert {m.target for m in done.moves} == {"b2"}


def test_moves_from_or_to_a_worker_whose_capacity_changed_say_so():
    candidates = named(worker("w0", 40), worker("w1", 120, capacity_changed=True))
    done = planned(World(streams(60), candidates, held(30, 30), FREE))
    assert counts(done) == {"w0": 15, "w1": 45}
    assert triggers(done) == {Trigger.CapacityChanged: 15}


def test_a_stream_goes_to_the_worker_it_is_pinned_to_and_leaves_others_for_it():
    catalog = streams(4)
    world = World(catalog, fleet(4, 4), held(2, 2), Policy(pins={"s0000": "w1"}))
    done = planned(world)
    assert done.moves == [Move("s0000", "w0", "w1", Trigger.WorkerIneligible)]


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        pytest.param(Policy(pins={"a": "w0"}), UnplacedReason.NoCapacity, id="its only worker is full"),
        pytest.param(Policy(pins={"a": "nobody"}), UnplacedReason.Excluded, id="pinned to nobody who is there"),
        pytest.param(Policy(excluded_streams=frozenset({"a"})), UnplacedReason.Excluded, id="the stream is excluded"),
        pytest.param(
            Policy(excluded_workers=frozenset({"w0", "w1"})), UnplacedReason.Excluded, id="all workers are excluded"
        ),
        pytest.param(
            Policy(excluded_pairs=frozenset({("a", "w0"), ("a", "w1")})), UnplacedReason.Excluded, id="each pair is"
        ),
        pytest.param(
            Policy(excluded_pairs=frozenset({("a", "w1")})), UnplacedReason.NoCapacity, id="the other worker is full"
        ),
    ],
)
def test_a_stream_that_the_policy_keeps_out_says_so(policy: Policy, reason: UnplacedReason):
    done = planned(World({"a": stream("a", weight=2)}, fleet(1, 5), {}, policy))
    assert done.unplaced == (Unplaced("a", reason),)


def test_an_excluded_worker_keeps_what_it_has_and_an_excluded_pair_parts():
    current = held(3, 3)
    policy = Policy(
        excluded_workers=frozenset({"w0"}), excluded_pairs=frozenset({("s0005", "w1")}), may_balance=False
    )
    done = planned(World(streams(7), fleet(9, 9, 9), current, policy))
    assert {s for s, w in done.target.items() if w == "w0"} == {"s0000", "s0001", "s0002"}
    assert {m.stream: m.target for m in done.moves} == {"s0005": "w2", "s0006": "w2"}


def test_an_excluded_stream_is_taken_from_its_worker():
    done = planned(World(streams(2), fleet(9), held(2), Policy(excluded_streams=frozenset({"s0001"}))))
    assert done.target == {"s0000": "w0"}
    assert done.unplaced == (Unplaced("s0001", UnplacedReason.Excluded),)


def test_rules_about_streams_and_workers_that_are_not_there_do_no_harm():
    policy = Policy(
        pins={"unheard of": "w0"},
        excluded_streams=frozenset({"gone"}),
        excluded_workers=frozenset({"nobody"}),
        excluded_pairs=frozenset({("s0000", "nobody"), ("gone", "w0")}),
        rotate=("gone",),
    )
    assert counts(planned(World(streams(3), fleet(5), {}, policy))) == {"w0": 3}
    assert planned(World(streams(3), {}, {}, policy)).target == {}
    assert planned(World({}, fleet(5), {}, policy)).moves == ()


def test_very_heavy_streams_and_very_large_workers_are_counted_exactly():
    catalog = {"a": stream("a", weight=2**40 + 1), "b": stream("b", weight=2**40 - 1), "c": stream("c")}
    done = planned(World(catalog, fleet(2**40, 2**41), {}))
    assert done.target["a"] == "w1"
    assert done.unplaced == ()


def test_who_is_passed_on_to_a_worker_leaves_the_bytes_of_those_that_return_there():
    # The hall has no bytes for anybody new, so that "vpn" could leave w1 only for what w0 passes on to w2; but "large"
    # stays on w0 too.
    vpn = frozenset({"vpn"})
    catalog = {f"light{n}": stream(f"light{n}") for n in range(6)}
    catalog |= {f"vpn{n}": stream(f"vpn{n}", capabilities=vpn, size=100) for n in range(10)}
    catalog["large"] = stream("large", weight=2, capabilities=vpn, size=400)
    catalog |= {"full": stream("full", weight=4, size=1000), "alone": stream("alone", weight=2)}
    candidates = named(
        worker("w0", 12, "vpn", max_bytes=450),
        worker("w1", 12, "vpn"),
        worker("w2", 12),
        worker("hall", 12, "vpn", max_bytes=1000),
    )
    homes = {"light": "w0", "large": "w0", "vpn": "w1", "alone": "w2", "full": "hall"}
    planned(World(catalog, candidates, {name: homes[name.rstrip("0123456789")] for name in catalog}, PERFECT))


def test_who_left_for_want_of_bytes_does_not_stand_in_the_way_of_others():
    # By weight alone "large" could return to w0, for one move less; by bytes nobody could come there then.
    vpn = frozenset({"vpn"})
    catalog = {s.id: s for s in (stream("stays"), stream("large", size=400), stream("small", capabilities=vpn))}
    catalog |= {f"vpn{n}": stream(f"vpn{n}", capabilities=vpn, size=size) for n, size in enumerate((150, 100, 150))}
    candidates = named(worker("w0", 3, "vpn", max_bytes=300), worker("w1", 3))
    current = {"stays": "w0", "large": "w0", "vpn0": "w0"}
    world = World(catalog, candidates, current, Policy(may_balance=False))
    done = planned(world)
    assert done.target == {"stays": "w1", "large": "w1", "vpn0": "w0", "vpn1": "w0", "small": "w0"}
    assert done.lower_bound == done.owned_moves == 2
    assert planned(world.after(done)).moves == ()


def test_the_bound_does_not_count_what_returns_to_make_room():
    weights = {"a": 3, "b": 2, "c": 3, "d": 1, "e": 1, "new": 3, "f": 3, "g": 1, "h": 2, "i": 1, "j": 1, "k": 7}
    sizes = {"a": 100, "b": 400, "e": 100, "new": 150, "f": 100, "g": 100, "h": 400, "i": 400, "k": 100}
    catalog = {name: stream(name, weight=weight, size=sizes.get(name, 0)) for name, weight in weights.items()}
    candidates = named(worker("w1", 6), worker("w2", 6, max_bytes=500), worker("w3", 12), worker("w4", 5))
    current = {"w1": "fgh", "w2": "b", "w3": "cijk", "w4": "ade"}
    policy = Policy(imbalance_threshold_percent=0, max_moves_per_round_percent=100)
    done = planned(World(catalog, candidates, {s: w for w, mine in current.items() for s in mine}, policy))
    assert done.target["new"] == "w3"
    assert done.owned_moves == 1


def test_an_over_full_worker_keeps_what_has_no_place_elsewhere():
    # Either would do, and the light one is enough; but it may be nowhere else.
    catalog = {"light": stream("light"), "heavy": stream("heavy", weight=3)}
    policy = Policy(pins={"light": "w0"}, may_balance=False)
    done = planned(World(catalog, fleet(3, 4), {"light": "w0", "heavy": "w0"}, policy))
    assert done.moves == [Move("heavy", "w0", "w1", Trigger.OverCapacity)]
    assert done.lower_bound == 1
