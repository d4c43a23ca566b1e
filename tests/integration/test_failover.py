"""The primary dies under 64 sessions; `scripts/failover` shows PgBouncer beside it."""
import pytest

from support import SLOW
from support.failover import UNKNOWN, fail_over, through_weir

pytestmark = pytest.mark.alone


def test_what_was_not_sent_to_the_dead_one_is_served_by_the_next():
    seen = fail_over(through_weir)
    print(seen.report())
    assert not seen.errors(since=seen.killed), seen.report()
    assert set(seen.errors()) <= {UNKNOWN}, seen.report()
    held = seen.held()
    assert len(held) > 32 and held[len(held) * 99 // 100] < 1.0 * SLOW, seen.report()
    assert max(one.ended for one in seen.requests) > seen.promoted + 2, seen.report()
    lost = seen.errors()[UNKNOWN]
    assert seen.acknowledged <= seen.found <= seen.acknowledged + lost, seen.report()
