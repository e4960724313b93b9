/* SPDX-License-Identifier: MIT */
/*
 * Oneshot, mutex, semaphore, wait group. Held: the oneshot's value arrives whole, or the other
 * end learns that none will; the mutex has one owner, who sees what the last one did; permits
 * are never more than there are; nobody sleeps who could go on; who waited for the group may
 * free it at once.
 */
#include "model.h"

#include <weft/mutex.h>
#include <weft/oneshot.h>

#define MAYBE 1

static weft_oneshot *oneshot;
static weft_mutex *mutex;
static weft_semaphore *semaphore;
static weft_waitgroup *group;
static uint64_t data;

static void none(void) {}

static void oneshot_make(void)
{
	MODEL_CHECK(weft_oneshot_create(&oneshot, sizeof(data)) == WEFT_OK);
}

static void oneshot_sends(void)
{
	uint64_t value = 7;
	weft_err err = weft_oneshot_send(oneshot, &value);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ECLOSED);
	weft_oneshot_close_sender(oneshot);
}

/* Its close, which would wake too, comes when all is over. */
static void oneshot_sends_only(void)
{
	uint64_t value = 7;

	MODEL_CHECK(weft_oneshot_send(oneshot, &value) == WEFT_OK);
}

static void oneshot_sender_goes(void)
{
	weft_oneshot_close_sender(oneshot);
}

static void oneshot_sends_none(void)
{
	weft_oneshot_close_sender(oneshot);
}

static void oneshot_receives(void)
{
	uint64_t value = 0;

	MODEL_CHECK(weft_oneshot_recv(oneshot, &value, WEFT_FOREVER) == WEFT_OK);
	MODEL_CHECK(value == 7);
	weft_oneshot_close_receiver(oneshot);
}

static void oneshot_receives_none(void)
{
	uint64_t value = 0;

	MODEL_CHECK(weft_oneshot_recv(oneshot, &value, WEFT_FOREVER) == WEFT_ECLOSED);
	weft_oneshot_close_receiver(oneshot);
}

static void oneshot_receives_maybe(void)
{
	uint64_t value = 0;
	weft_err err = weft_oneshot_recv(oneshot, &value, MAYBE);

	MODEL_CHECK(err == WEFT_ETIMEDOUT || (err == WEFT_OK && value == 7));
	weft_oneshot_close_receiver(oneshot);
}

static void oneshot_waits_closed(void)
{
	MODEL_CHECK(weft_oneshot_wait_closed(oneshot, WEFT_FOREVER) == WEFT_OK);
	weft_oneshot_close_sender(oneshot);
}

static void oneshot_closes(void)
{
	weft_oneshot_close_receiver(oneshot);
}

static void mutex_make(void)
{
	MODEL_CHECK(weft_mutex_create(&mutex) == WEFT_OK);
}

static void mutex_turn(void)
{
	MODEL_CHECK(weft_mutex_lock(mutex, WEFT_FOREVER) == WEFT_OK);
	data++;
	weft_mutex_unlock(mutex);
}

static void mutex_turns(void)
{
	mutex_turn();
	mutex_turn();
}

static void mutex_maybe(void)
{
	if (weft_mutex_lock(mutex, MAYBE) != WEFT_OK)
		return;
	data++;
	weft_mutex_unlock(mutex);
}

static void mutex_try(void)
{
	if (!weft_mutex_try_lock(mutex))
		return;
	data++;
	weft_mutex_unlock(mutex);
}

static void mutex_free(void)
{
	weft_mutex_free(mutex);
}

static void semaphore_1(void)
{
	MODEL_CHECK(weft_semaphore_create(&semaphore, 1) == WEFT_OK);
}

static void semaphore_2(void)
{
	MODEL_CHECK(weft_semaphore_create(&semaphore, 2) == WEFT_OK);
}

/* One permit: who has it sees what the last one did. */
static void permit_turn(void)
{
	MODEL_CHECK(weft_semaphore_acquire(semaphore, 1, WEFT_FOREVER) == WEFT_OK);
	data++;
	weft_semaphore_release(semaphore, 1);
}

static void permit_maybe(void)
{
	if (weft_semaphore_acquire(semaphore, 1, MAYBE) != WEFT_OK)
		return;
	data++;
	weft_semaphore_release(semaphore, 1);
}

static void permit_both(void)
{
	MODEL_CHECK(weft_semaphore_acquire(semaphore, 2, WEFT_FOREVER) == WEFT_OK);
	data++;
	weft_semaphore_release(semaphore, 2);
}

static void permit_both_maybe(void)
{
	if (weft_semaphore_acquire(semaphore, 2, MAYBE) == WEFT_OK)
		weft_semaphore_release(semaphore, 2);
}

static void semaphore_2_less_1(void)
{
	semaphore_2();
	MODEL_CHECK(weft_semaphore_acquire(semaphore, 1, WEFT_NOW) == WEFT_OK);
}

static void permit_one(void)
{
	MODEL_CHECK(weft_semaphore_acquire(semaphore, 1, WEFT_FOREVER) == WEFT_OK);
	weft_semaphore_release(semaphore, 1);
}

static void semaphore_free(void)
{
	weft_semaphore_free(semaphore);
}

static void group_2(void)
{
	MODEL_CHECK(weft_waitgroup_create(&group) == WEFT_OK);
	weft_waitgroup_add(group, 2);
}

static uint64_t parts[MODEL_THREADS_MAX + 1];

static void group_part(void)
{
	parts[model_self()] = 7;
	weft_waitgroup_done(group);
}

static void group_waits(void)
{
	MODEL_CHECK(weft_waitgroup_wait(group, WEFT_FOREVER) == WEFT_OK);
	MODEL_CHECK(parts[2] == 7 && parts[3] == 7);
	weft_waitgroup_free(group);
}

const struct model models[] = {
	Q("oneshot-value", "sent, received", oneshot_make, { oneshot_sends, oneshot_receives },
		none),
	Q("oneshot-sent", "sent, received, then closed", oneshot_make,
		{ oneshot_sends_only, oneshot_receives }, oneshot_sender_goes),
	Q("oneshot-none", "closed without a value", oneshot_make,
		{ oneshot_sends_none, oneshot_receives_none }, none),
	Q("oneshot-cancel", "the receiver may give up", oneshot_make,
		{ oneshot_sends, oneshot_receives_maybe }, none),
	Q("oneshot-closed", "the sender waits for the close", oneshot_make,
		{ oneshot_waits_closed, oneshot_closes }, none),
	Q("mutex-2", "two threads, two turns and one", mutex_make, { mutex_turns, mutex_turn },
		mutex_free),
	M("mutex-3", "three threads", mutex_make, { mutex_turn, mutex_turn, mutex_turn },
		mutex_free),
	M("mutex-cancel", "one may give up, one only tries", mutex_make,
		{ mutex_turn, mutex_maybe, mutex_try }, mutex_free),
	Q("semaphore-3", "one permit, three threads", semaphore_1,
		{ permit_turn, permit_turn, permit_turn }, semaphore_free),
	Q("semaphore-cancel", "one permit, one may give up", semaphore_1,
		{ permit_turn, permit_maybe, permit_turn }, semaphore_free),
	Q("semaphore-large", "one permit left: who wants two gives up, who wants one waits",
		semaphore_2_less_1, { permit_both_maybe, permit_one, permit_one }, semaphore_free),
	Q("semaphore-both", "two of two permits", semaphore_2, { permit_both, permit_both },
		semaphore_free),
	Q("group", "two parts, who waits frees the group", group_2,
		{ group_waits, group_part, group_part }, none),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
