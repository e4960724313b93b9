/* SPDX-License-Identifier: MIT */
/* idle.h against partners made of arithmetic: a wake takes WAKE, a turn's work WORK, a look
 * finds what has come by then. */
#include "rt/idle.h"
#include "support/t.h"

enum {
	WAKE = 30000, /* ns: to end a sleep on another core */
	WORK = 2000,  /* ns: what a turn costs the side that has work */
	WAY = 500,    /* ns: of a message */
};

struct side {
	struct rt_idle idle;
	int64_t looked; /* ns spent looking */
	bool never;	/* a partner that always sleeps */
};

static void side_init(struct side *side, int64_t now)
{
	*side = (struct side){ 0 };
	idle_init(&side->idle, now);
}

/* The side ran dry at now, and its message comes at arrival: when it has it. */
static int64_t side_wait(struct side *side, int64_t now, int64_t arrival)
{
	int64_t look = side->never ? 0 : idle_begin(&side->idle, now), got = arrival;

	if (look < arrival - now) {
		got = arrival + WAKE;
		side->looked += look;
	} else {
		side->looked += arrival - now;
	}
	if (!side->never)
		idle_end(&side->idle, got);
	return got;
}

/* turns round trips, from a to b and back; when the last one is over. */
static int64_t ping_pong(struct side *a, struct side *b, int64_t now, int turns)
{
	int64_t a_dry = now, b_dry = now - WORK;

	for (int i = 0; i < turns; i++) {
		int64_t got = side_wait(b, b_dry, a_dry + WAY);

		b_dry = got + WORK;
		got = side_wait(a, a_dry, b_dry + WAY);
		a_dry = got + WORK;
	}
	return a_dry;
}

START_TEST(two_that_wait_for_one_another_find_that_both_are_quick)
{
	struct side a, b;
	int64_t begun, end;

	side_init(&a, 0);
	side_init(&b, 0);
	begun = ping_pong(&a, &b, 1000000, 100);
	end = ping_pong(&a, &b, begun, 1000);
	ck_assert_int_lt((end - begun) / 1000, 2 * (WORK + WAY) + 100);
	ck_assert_int_eq(a.idle.mode, IDLE_IS_LOOKING);
	ck_assert_int_eq(b.idle.mode, IDLE_IS_LOOKING);
}
END_TEST

/* They need not begin together: who notices that its partner tries, tries too. */
START_TEST(a_partner_that_joins_late_is_found)
{
	struct side a, b;
	int64_t begun, end;

	for (int late = 1; late < 200; late += 7) {
		side_init(&a, 0);
		side_init(&b, 0);
		b.never = true;
		begun = ping_pong(&a, &b, 0, late);
		side_init(&b, begun);
		/* within two seconds */
		begun = ping_pong(&a, &b, begun, 30000);
		end = ping_pong(&a, &b, begun, 1000);
		ck_assert_int_lt((end - begun) / 1000, 4 * (WORK + WAY));
	}
}
END_TEST

START_TEST(a_partner_that_always_sleeps_costs_its_share_of_the_time_at_most)
{
	struct side a, b;
	int64_t end;

	side_init(&a, 0);
	side_init(&b, 0);
	b.never = true;
	end = ping_pong(&a, &b, 0, 1000000);
	ck_assert_int_gt(a.looked, 0);
	ck_assert_int_lt(a.looked, end / IDLE_SHARE + IDLE_CREDIT + IDLE_LONG);
}
END_TEST

START_TEST(rare_work_is_never_looked_for)
{
	struct side a;
	int64_t now = 0;

	side_init(&a, 0);
	for (int i = 0; i < 10000; i++)
		now = side_wait(&a, now, now + 1000000) + WORK;
	ck_assert_int_eq(a.looked, 0);
}
END_TEST

START_TEST(one_long_wait_among_short_ones_changes_nothing)
{
	struct side a, b;
	int64_t now, got;

	side_init(&a, 0);
	side_init(&b, 0);
	now = ping_pong(&a, &b, 0, 1000);
	got = side_wait(&a, now, now + 50000000);
	ck_assert_int_eq(got, now + 50000000 + WAKE);
	ck_assert_int_eq(a.idle.mode, IDLE_IS_LOOKING);
}
END_TEST

START_TEST(looking_ends_when_waits_are_long_again)
{
	struct side a, b;
	int64_t now, before;

	side_init(&a, 0);
	side_init(&b, 0);
	now = ping_pong(&a, &b, 0, 1000);
	before = a.looked;
	for (int i = 0; i < 1000; i++)
		now = side_wait(&a, now, now + 1000000) + WORK;
	ck_assert_int_eq(a.idle.mode, IDLE_SLEEP);
	ck_assert_int_lt(a.looked - before, (int64_t)20 * IDLE_LOOK);
}
END_TEST

/* A clock that stands still, or jumps, does no harm. */
START_TEST(no_wait_at_all_and_a_century_are_waits_too)
{
	struct side a;

	side_init(&a, 0);
	for (int i = 0; i < 100; i++)
		(void)side_wait(&a, 5, 5);
	ck_assert_int_ge(a.idle.average, 0);
	(void)side_wait(&a, 5, INT64_MAX / 2);
	ck_assert_int_le(a.idle.average, IDLE_LONG);
	ck_assert_int_le(a.idle.credit, IDLE_CREDIT);
}
END_TEST

static void idle_tests(TCase *tc)
{
	t_add(tc, two_that_wait_for_one_another_find_that_both_are_quick);
	t_add(tc, a_partner_that_joins_late_is_found);
	t_add(tc, a_partner_that_always_sleeps_costs_its_share_of_the_time_at_most);
	t_add(tc, rare_work_is_never_looked_for);
	t_add(tc, one_long_wait_among_short_ones_changes_nothing);
	t_add(tc, looking_ends_when_waits_are_long_again);
	t_add(tc, no_wait_at_all_and_a_century_are_waits_too);
}
T_SUITE("idle", idle_tests)
