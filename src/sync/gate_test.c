/* SPDX-License-Identifier: MIT */
/* The gate: each transition, then every order of two threads' calls at random. */
#include "sync/gate.h"

#include "support/t.h"

#include <weft/runtime.h>

#include <pthread.h>

START_TEST(gate_lets_one_reader_and_one_writer_in)
{
	struct gate gate = { 0 };

	ck_assert_int_eq(gate_enter(&gate, GATE_READ), GATE_ENTERED);
	ck_assert_int_eq(gate_enter(&gate, GATE_READ), GATE_REFUSED_BUSY);
	ck_assert_int_eq(gate_enter(&gate, GATE_WRITE), GATE_ENTERED);
	ck_assert_int_eq(gate_enter(&gate, GATE_WRITE), GATE_REFUSED_BUSY);
	ck_assert_int_eq(gate_leave(&gate, GATE_READ), GATE_LEFT);
	ck_assert_int_eq(gate_enter(&gate, GATE_READ), GATE_ENTERED);
}
END_TEST

START_TEST(gate_tells_the_last_one_out_of_a_closed_gate)
{
	struct gate gate = { 0 };

	ck_assert_int_eq(gate_enter(&gate, GATE_READ), GATE_ENTERED);
	ck_assert(gate_visit(&gate));
	ck_assert(gate_close(&gate, false));
	ck_assert(!gate_close(&gate, true));
	ck_assert(gate_word(&gate) & GATE_RESET);
	ck_assert(!gate_visit(&gate));
	ck_assert_int_eq(gate_enter(&gate, GATE_WRITE), GATE_REFUSED_SHUT);
	ck_assert_int_eq(gate_leave(&gate, GATE_VISIT), GATE_LEFT);
	ck_assert_int_eq(gate_leave(&gate, GATE_READ), GATE_LEFT);
	ck_assert_int_eq(gate_leave(&gate, GATE_VISIT), GATE_LAST);
	ck_assert(!gate_close(&gate, true));
	gate_finish(&gate);
	gate_wait_gone(&gate);
}
END_TEST

START_TEST(gate_shutdown_waits_for_the_writer)
{
	struct gate gate = { 0 };

	ck_assert_int_eq(gate_enter(&gate, GATE_WRITE), GATE_ENTERED);
	ck_assert_int_eq(gate_shutdown(&gate), GATE_SHUTDOWN_LATER);
	ck_assert_int_eq(gate_shutdown(&gate), GATE_SHUTDOWN_DONE);
	ck_assert_int_eq(gate_enter(&gate, GATE_WRITE), GATE_REFUSED_SHUT);
	ck_assert_int_eq(gate_leave(&gate, GATE_WRITE), GATE_DO_SHUTDOWN);
	ck_assert_int_eq(gate_leave(&gate, GATE_WRITE), GATE_LEFT);
	ck_assert_int_eq(gate_enter(&gate, GATE_WRITE), GATE_REFUSED_SHUT);
	ck_assert_int_eq(gate_enter(&gate, GATE_READ), GATE_ENTERED);
}
END_TEST

START_TEST(gate_shutdown_without_a_writer_is_the_callers)
{
	struct gate gate = { 0 };

	ck_assert_int_eq(gate_shutdown(&gate), GATE_SHUTDOWN_MINE);
	ck_assert(gate_close(&gate, false));
	ck_assert_int_eq(gate_leave(&gate, GATE_VISIT), GATE_LEFT);
	ck_assert_int_eq(gate_leave(&gate, GATE_WRITE), GATE_LAST);
	ck_assert_int_eq(gate_shutdown(&gate), GATE_SHUTDOWN_DONE);
}
END_TEST

START_TEST(gate_close_spares_a_late_writer_the_shutdown)
{
	struct gate gate = { 0 };

	ck_assert_int_eq(gate_enter(&gate, GATE_WRITE), GATE_ENTERED);
	ck_assert_int_eq(gate_shutdown(&gate), GATE_SHUTDOWN_LATER);
	ck_assert(gate_close(&gate, false));
	ck_assert_int_eq(gate_leave(&gate, GATE_VISIT), GATE_LEFT);
	ck_assert_int_eq(gate_leave(&gate, GATE_WRITE), GATE_LAST);
}
END_TEST

/* ---- threads ---- */

#define ROUNDS 20000

struct crew {
	struct gate gate;
	/* plain on purpose: the gate alone keeps them apart, which TSan checks */
	int read_by, written_by, shut_down, calls, torn_down;
};

static struct crew crews[ROUNDS];

static void leave(struct crew *c, uint32_t what)
{
	enum gate_leave then;

	while ((then = gate_leave(&c->gate, what)) == GATE_DO_SHUTDOWN)
		c->shut_down++;
	if (then == GATE_LAST) {
		c->calls = c->read_by + c->written_by;
		c->torn_down++;
		gate_finish(&c->gate);
	}
}

static void one_call(struct crew *c, uint64_t choice)
{
	switch (choice % 5) {
	case 0:
		if (gate_enter(&c->gate, GATE_READ) == GATE_ENTERED) {
			c->read_by++;
			leave(c, GATE_READ);
		}
		break;
	case 1:
		if (gate_enter(&c->gate, GATE_WRITE) == GATE_ENTERED) {
			c->written_by++;
			leave(c, GATE_WRITE);
		}
		break;
	case 2:
		if (gate_shutdown(&c->gate) == GATE_SHUTDOWN_MINE) {
			c->shut_down++;
			leave(c, GATE_WRITE);
		}
		break;
	case 3:
		if (gate_visit(&c->gate))
			leave(c, GATE_VISIT);
		break;
	default:
		if (gate_close(&c->gate, choice & 64))
			leave(c, GATE_VISIT);
		break;
	}
}

static void *crew_thread(void *arg)
{
	uint64_t state = *(uint64_t *)arg;

	for (int i = 0; i < ROUNDS; i++) {
		for (int n = 0; n < 4; n++)
			one_call(&crews[i], t_random(&state));
		if (gate_close(&crews[i].gate, false))
			leave(&crews[i], GATE_VISIT);
	}
	return NULL;
}

START_TEST(gate_is_torn_down_once_whatever_the_order)
{
	pthread_t threads[3];
	uint64_t seeds[3], state = t_seed();

	for (int i = 0; i < 3; i++) {
		seeds[i] = t_random(&state);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, crew_thread, &seeds[i]), 0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		while (!(gate_word(&crews[i].gate) & GATE_CLOSED))
			(void)weft_yield();
		gate_wait_gone(&crews[i].gate);
		ck_assert_int_eq(crews[i].torn_down, 1);
		ck_assert_int_le(crews[i].shut_down, 1);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

static void gate_tests(TCase *tc)
{
	t_add(tc, gate_lets_one_reader_and_one_writer_in);
	t_add(tc, gate_tells_the_last_one_out_of_a_closed_gate);
	t_add(tc, gate_shutdown_waits_for_the_writer);
	t_add(tc, gate_shutdown_without_a_writer_is_the_callers);
	t_add(tc, gate_close_spares_a_late_writer_the_shutdown);
	t_add(tc, gate_is_torn_down_once_whatever_the_order);
}

T_SUITE("gate", gate_tests)
