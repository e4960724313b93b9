/* SPDX-License-Identifier: MIT */
/*
 * What the mux is made of: sync/feed.h, pushlist.h, word.h. Held: every node is taken once, in
 * order, with what was written to it; who waits is woken; what is pushed to a consumer that
 * has gone is drained by somebody.
 */
#include "sync/feed.h"
#include "model.h"
#include "sync/pushlist.h"
#include "sync/word.h"

#define NODES 4

struct item {
	struct push_node node; /* first */
	unsigned value;
	unsigned taken;
};

static struct item items[NODES];
static struct feed feed;
static struct pushlist list;
static struct word state;
static struct bell bell;
static struct slot slot;
static unsigned order[NODES], order_n;

static struct push_node *item(unsigned i)
{
	items[i].value = i + 1;
	return &items[i].node;
}

static unsigned take(struct push_node *node)
{
	unsigned n = 0;

	for (; node; node = node->next, n++) {
		struct item *i = (struct item *)(void *)node;

		MODEL_CHECK(i->value == (unsigned)(i - items) + 1);
		MODEL_CHECK(i->taken++ == 0);
		order[order_n++] = i->value;
	}
	return n;
}

static void wake(weft_parker *parker)
{
	if (parker)
		weft_unpark(parker);
}

static void push(unsigned i)
{
	struct push_node *node = item(i);

	wake(feed_push(&feed, node, node));
}

static void pushes_2(void)
{
	push(0);
	push(1);
}

static void pushes_3(void)
{
	pushes_2();
	push(2);
}

static void takes(unsigned n)
{
	weft_parker *self = weft_parker_self();

	while (n > 0) {
		unsigned got = take(feed_take(&feed));

		n -= got;
		if (n > 0 && got == 0 && feed_wait(&feed, self))
			(void)weft_park(WEFT_FOREVER);
	}
	feed_unwait(&feed, self);
	for (unsigned i = 1; i < order_n; i++)
		MODEL_CHECK(order[i - 1] < order[i]);
}

static void takes_2(void)
{
	takes(2);
}

static void takes_3(void)
{
	takes(3);
}

/* Adds to what was not taken yet. */
static void pushes_with_retract(void)
{
	struct push_node *newest, *node;

	push(0);
	newest = feed_retract(&feed);
	node = item(1);
	if (newest) {
		node->next = newest;
		wake(feed_put_back(&feed, node));
	} else {
		wake(feed_push(&feed, node, node));
	}
}

/* The consumer waits for nodes or for the end, which is a state beside. */
static void takes_until_end(void)
{
	weft_parker *self = weft_parker_self();

	for (;;) {
		if (take(feed_take(&feed)))
			continue;
		if (word_get(&state) && feed_is_empty(&feed))
			break;
		if (!feed_wait(&feed, self))
			continue;
		if (word_get(&state)) {
			feed_unwait(&feed, self);
			continue;
		}
		(void)weft_park(WEFT_FOREVER);
	}
	MODEL_CHECK(order_n == 1);
}

static void pushes_and_ends(void)
{
	push(0);
	(void)word_set_bits(&state, 1);
	wake(feed_kick(&feed));
}

/* The consumer goes; whoever comes second drains. */
static _Atomic unsigned drained;

static void drain(void)
{
	struct push_node *node = feed_drain(&feed);

	for (; node; node = node->next) {
		MODEL_CHECK(((struct item *)(void *)node)->value);
		/* relaxed: a count */
		atomic_fetch_add_explicit(&drained, 1, memory_order_relaxed);
	}
}

static void consumer_goes(void)
{
	(void)word_set_bits(&state, 1);
	drain();
}

static void pushes_to_who_goes(void)
{
	push(0);
	if (word_get(&state))
		drain();
}

static void all_drained(void)
{
	MODEL_CHECK(drained == 1);
}

/* A list of many pushers; who pushes its first wakes the taker. */
static void list_push(unsigned i)
{
	if (pushlist_push(&list, item(i)) == PUSH_FIRST)
		bell_ring(&bell);
}

static void list_pushes_2(void)
{
	list_push(0);
	list_push(1);
}

static void list_pushes_1(void)
{
	list_push(2);
}

static void list_takes(void)
{
	unsigned n = 3;

	while (n > 0) {
		unsigned got = take(pushlist_take(&list));

		n -= got;
		if (n == 0 || got)
			continue;
		bell_set(&bell, weft_parker_self());
		if (pushlist_is_empty(&list))
			(void)weft_park(WEFT_FOREVER);
		bell_clear(&bell);
	}
}

static unsigned refused[MODEL_THREADS_MAX + 1];

static void list_push_or_not(void)
{
	unsigned self = model_self();

	refused[self] = pushlist_push(&list, item(self)) == PUSH_REFUSED;
}

static unsigned list_got;

static void list_closes(void)
{
	list_got = take(pushlist_close(&list));
}

static void list_all(void)
{
	MODEL_CHECK(list_got + refused[1] + refused[2] == 2);
}

/* A thing that one of several takes. */
static unsigned had[MODEL_THREADS_MAX + 1];

static void slot_setup(void)
{
	items[0].value = 0;
	(void)slot_swap(&slot, &items[0]);
}

static void slot_taker(void)
{
	struct item *i = slot_take(&slot);

	if (!i)
		return;
	had[model_self()]++;
	i->value++;
	(void)slot_swap(&slot, i);
}

static void slot_kept(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i <= MODEL_THREADS_MAX; i++)
		n += had[i];
	MODEL_CHECK(n >= 1 && items[0].value == n);
}

/* A poller's user, as src/mux/poll.c has it: a try that finds nothing arms, looks again, and is told
 * once. */
static struct word armed, told;

static void tries(void)
{
	bell_set(&bell, weft_parker_self());
	while (!word_get(&state)) {
		(void)word_swap(&armed, 1);
		if (word_get(&state))
			break;
		while (!word_swap(&told, 0))
			(void)weft_park(WEFT_FOREVER);
	}
}

static void changes(void)
{
	(void)word_swap(&state, 1);
	if (!word_get(&armed) || !word_swap(&armed, 0))
		return;
	MODEL_CHECK(!word_swap(&told, 1));
	bell_ring(&bell);
}

const struct model models[] = {
	Q("feed-2", "two nodes", NULL, { pushes_2, takes_2 }),
	Q("feed-3", "three nodes", NULL, { pushes_3, takes_3 }),
	Q("feed-retract", "a node added to one that was not taken", NULL,
		{ pushes_with_retract, takes_2 }),
	Q("feed-end", "a node, then the end", NULL, { pushes_and_ends, takes_until_end }),
	Q("feed-drain", "the consumer goes", NULL, { pushes_to_who_goes, consumer_goes },
		all_drained),
	Q("pushlist", "two pushers, a taker that sleeps", NULL,
		{ list_pushes_2, list_pushes_1, list_takes }),
	Q("pushlist-close", "two pushers, a close", NULL,
		{ list_push_or_not, list_push_or_not, list_closes }, list_all),
	Q("slot", "three take one thing and put it back", slot_setup,
		{ slot_taker, slot_taker, slot_taker }, slot_kept),
	Q("armed", "two tell one who tried in vain", NULL, { tries, changes, changes }),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
