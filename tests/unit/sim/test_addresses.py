"""Numbers and LIDs are the same for the same seed, and never collide."""

from perene.sim.addresses import Numbers


def test_same_seed_gives_the_same_numbers_and_lids() -> None:
    first, second = Numbers(7), Numbers(7)
    phones = [first.next() for _ in range(3)]
    assert phones == [second.next() for _ in range(3)]
    assert [first.lid(p) for p in phones] == [second.lid(p) for p in phones]


def test_another_seed_gives_other_lids() -> None:
    assert Numbers(1).lid("15550000001") != Numbers(2).lid("15550000001")


def test_a_name_always_has_the_same_number_away_from_the_counted_ones() -> None:
    numbers = Numbers(1)
    assert numbers.of_name("alice") == Numbers(1).of_name("alice")
    assert int(numbers.of_name("alice")) > int(numbers.next()) + 1_000_000
