/* SPDX-License-Identifier: MIT */
/* See broadcast.h for the ring, and for what things cost. */
#include "sync/broadcast.h"

#include "base/err.h"
#include "base/mem.h"
#include "sync/select.h"
#include "sync/words.h"

struct slot {
	_Atomic uint64_t stamp;
	/* then, with ref and unref: _Atomic uint64_t pins; then the message */
};

static struct slot *slot_of(const weft_broadcast *b, uint64_t position)
{
	size_t index = (size_t)(position / 2) & (b->capacity - 1);

	return (struct slot *)(void *)(b->slots + index * b->stride);
}

static _Atomic uint64_t *message_of(const weft_broadcast *b, struct slot *slot)
{
	return (_Atomic uint64_t *)(void *)((char *)slot + b->message_offset);
}

static _Atomic uint64_t *pins_of(struct slot *slot)
{
	return &slot->stamp + 1;
}

static bool is_counted(const weft_broadcast *b)
{
	return b->options.ref != NULL;
}

/* --- life ------------------------------------------------------------------------------ */

static weft_err options_check(
	size_t message_size, size_t capacity, const weft_broadcast_options *options)
{
	bool counted = options && options->ref;
	size_t most = counted ? WEFT_BROADCAST_COUNTED_SIZE_MAX : WEFT_BROADCAST_MESSAGE_SIZE_MAX;

	if (options && !options->ref != !options->unref)
		return err_setf(WEFT_EINVAL, "create broadcast: ref and unref: both or neither");
	if (message_size > most)
		return err_setf(WEFT_EINVAL, "create broadcast: message_size %zu: at most %zu",
			message_size, most);
	if (capacity == 0 || capacity > WEFT_BROADCAST_CAPACITY_MAX)
		return err_setf(WEFT_EINVAL, "create broadcast: capacity %zu: 1 to %zu", capacity,
			WEFT_BROADCAST_CAPACITY_MAX);
	return WEFT_OK;
}

static void slots_init(weft_broadcast *b)
{
	for (size_t i = 0; i < b->capacity; i++) {
		uint64_t position = b->start + 2 * i;
		struct slot *slot = slot_of(b, position);

		atomic_init(&slot->stamp, position - b->lap);
		if (is_counted(b))
			atomic_init(pins_of(slot), 0);
	}
}

weft_err broadcast_create_at(weft_broadcast **out, size_t message_size, size_t capacity,
	const weft_broadcast_options *options, uint64_t start)
{
	weft_broadcast *b;
	weft_err err = options_check(message_size, capacity, options);

	if (err != WEFT_OK)
		return err;
	b = mem_aligned(CACHE_APART, sizeof(*b));
	if (!b)
		return err_set(WEFT_ENOMEM);
	memset(b, 0, sizeof(*b));
	if (options)
		b->options = *options;
	for (b->capacity = 1; b->capacity < capacity;)
		b->capacity *= 2;
	b->message_size = message_size;
	b->message_offset = (is_counted(b) ? 2 : 1) * sizeof(uint64_t);
	b->stride = b->message_offset + WORDS_OF(message_size) * sizeof(uint64_t);
	b->lap = 2 * (uint64_t)b->capacity;
	b->start = start;
	atomic_init(&b->tail, start);
	wait_queue_init(&b->waiters);
	ends_init(&b->ends);
	b->slots = mem_alloc(b->capacity * b->stride);
	if (!b->slots) {
		mem_free(b);
		return err_set(WEFT_ENOMEM);
	}
	slots_init(b);
	*out = b;
	return WEFT_OK;
}

weft_err weft_broadcast_create(weft_broadcast **out, size_t message_size, size_t capacity,
	const weft_broadcast_options *options)
{
	return broadcast_create_at(out, message_size, capacity, options, 0);
}

weft_broadcast *weft_broadcast_ref(weft_broadcast *b)
{
	refcount_hold(&b->ends.refs);
	return b;
}

/* Gives up what the ring still holds. */
static void rest_unref(weft_broadcast *b)
{
	uint64_t message[WORDS_OF(WEFT_BROADCAST_COUNTED_SIZE_MAX)];
	/* relaxed: the last reference is gone, nobody else is here */
	uint64_t tail = atomic_load_explicit(&b->tail, memory_order_relaxed) & ~BROADCAST_CLOSED;
	uint64_t position = tail - b->start < b->lap ? b->start : tail - b->lap;

	for (; position != tail; position += 2) {
		words_load(message, message_of(b, slot_of(b, position)), b->message_size);
		b->options.unref(message, b->options.user);
	}
}

void weft_broadcast_unref(weft_broadcast *b)
{
	if (!b || !refcount_drop(&b->ends.refs))
		return;
	if (is_counted(b))
		rest_unref(b);
	mem_free(b->slots);
	mem_free(b);
}

weft_broadcast *weft_broadcast_sender_ref(weft_broadcast *b)
{
	ends_sender_add(&b->ends);
	return b;
}

weft_broadcast *weft_broadcast_sender_try_ref(weft_broadcast *b)
{
	return !weft_broadcast_is_closed(b) && ends_sender_try_add(&b->ends) ? b : NULL;
}

void weft_broadcast_sender_unref(weft_broadcast *b)
{
	if (!b)
		return;
	if (refcount_drop(&b->ends.senders))
		weft_broadcast_close(b);
	weft_broadcast_unref(b);
}

/* --- sending --------------------------------------------------------------------------- */

/* The positions of count messages from *position on are the caller's. False: closed. */
static inline bool claim(weft_broadcast *b, size_t count, uint64_t *position)
{
	/* relaxed: the exchange checks it */
	uint64_t tail = atomic_load_explicit(&b->tail, memory_order_relaxed);

	do {
		if (weft_unlikely(tail & BROADCAST_CLOSED))
			return false;
		/* seq_cst; pairs with broadcast_is_ready and the looks of those who wait:
		 * before wait_any. relaxed on failure: tried again */
	} while (!atomic_compare_exchange_weak_explicit(
		&b->tail, &tail, tail + 2 * count, memory_order_seq_cst, memory_order_relaxed));
	*position = tail;
	return true;
}

/* With the position claimed and the slot free for it: whoever had pinned the message before
 * has its reference. */
static void slot_unpin(struct slot *slot, uint64_t position)
{
	unsigned spins = 0;

	/* seq_cst; pairs with the pin in counted_take: this store, then that look, or the
	 * other way round */
	atomic_store_explicit(&slot->stamp, position + 1, memory_order_seq_cst);
	/* seq_cst; pairs with the pin and, as an acquire, with the unpin: its copy is made */
	while (atomic_load_explicit(pins_of(slot), memory_order_seq_cst) != 0)
		rt_relax(&spins, false);
}

static void counted_put(
	weft_broadcast *b, struct slot *slot, uint64_t position, const void *message)
{
	uint64_t old[WORDS_OF(WEFT_BROADCAST_COUNTED_SIZE_MAX)];
	bool has_old = position - b->start >= b->lap;

	slot_unpin(slot, position);
	if (has_old)
		words_load(old, message_of(b, slot), b->message_size);
	words_store(message_of(b, slot), message, b->message_size);
	/* release; pairs with the acquire of the next to use the slot: the message */
	atomic_store_explicit(&slot->stamp, position, memory_order_release);
	if (has_old)
		b->options.unref(old, b->options.user);
}

static inline void put(weft_broadcast *b, uint64_t position, const void *message)
{
	struct slot *slot = slot_of(b, position);
	unsigned spins = 0;

	/* acquire; pairs with the release of the sender one turn before: its words come first */
	while (weft_unlikely(
		atomic_load_explicit(&slot->stamp, memory_order_acquire) != position - b->lap))
		rt_relax(&spins, false);
	if (weft_unlikely(is_counted(b))) {
		counted_put(b, slot, position, message);
		return;
	}
	/* release; pairs with the acquires in broadcast_try_recv: who sees it, or one of the
	 * words, sees the tail, too */
	atomic_store_explicit(&slot->stamp, position + 1, memory_order_release);
	words_store(message_of(b, slot), message, b->message_size);
	/* release; pairs with the acquire of the next to use the slot: the message */
	atomic_store_explicit(&slot->stamp, position, memory_order_release);
}

weft_err weft_broadcast_send(weft_broadcast *b, const void *message)
{
	uint64_t position;

	if (weft_unlikely(!claim(b, 1, &position)))
		return err_set(WEFT_ECLOSED);
	put(b, position, message);
	if (wait_any(&b->waiters))
		crowd_wake(&b->waiters);
	return WEFT_OK;
}

weft_err weft_broadcast_send_many(weft_broadcast *b, const void *messages, size_t count)
{
	const char *message = messages;
	uint64_t position;

	if (!claim(b, count, &position))
		return err_set(WEFT_ECLOSED);
	for (size_t i = 0; i < count; i++, position += 2, message += b->message_size)
		put(b, position, message);
	if (count > 0 && wait_any(&b->waiters))
		crowd_wake(&b->waiters);
	return WEFT_OK;
}

void weft_broadcast_close(weft_broadcast *b)
{
	/* seq_cst; pairs with broadcast_is_ready: before wait_any */
	atomic_fetch_or_explicit(&b->tail, BROADCAST_CLOSED, memory_order_seq_cst);
	if (wait_any(&b->waiters))
		crowd_wake(&b->waiters);
}

bool weft_broadcast_is_closed(const weft_broadcast *b)
{
	/* acquire; pairs with the close: what its caller did before */
	return atomic_load_explicit(&b->tail, memory_order_acquire) & BROADCAST_CLOSED;
}

size_t weft_broadcast_capacity(const weft_broadcast *b)
{
	return b->capacity;
}

size_t weft_broadcast_sub_count(const weft_broadcast *b)
{
	return (size_t)counter_get(&b->subs);
}

size_t weft_broadcast_sender_count(const weft_broadcast *b)
{
	return refcount_get(&b->ends.senders);
}

/* --- subscribers ----------------------------------------------------------------------- */

static uint64_t position_of(const weft_broadcast_sub *sub)
{
	/* relaxed: the caller's own */
	return atomic_load_explicit(&sub->position, memory_order_relaxed);
}

/* From outside: who loads tail after it finds no older one. */
static uint64_t position_seen(const weft_broadcast_sub *sub)
{
	/* acquire; pairs with position_set: the tail that its owner had seen */
	return atomic_load_explicit(&sub->position, memory_order_acquire);
}

static void position_set(weft_broadcast_sub *sub, uint64_t position)
{
	/* release; pairs with position_seen: what the owner has seen of tail */
	atomic_store_explicit(&sub->position, position, memory_order_release);
}

static uint64_t tail_position(const weft_broadcast *b)
{
	/* acquire; pairs with the claims: what was sent before */
	return atomic_load_explicit(&b->tail, memory_order_acquire) & ~BROADCAST_CLOSED;
}

static weft_err sub_make(weft_broadcast_sub **out, weft_broadcast *b, uint64_t position)
{
	weft_broadcast_sub *sub = mem_aligned(CACHE_LINE, sizeof(*sub));

	if (!sub)
		return err_set(WEFT_ENOMEM);
	atomic_init(&sub->position, position);
	atomic_init(&sub->missed, 0);
	sub->source = weft_broadcast_ref(b);
	counter_add(&b->subs, 1);
	*out = sub;
	return WEFT_OK;
}

weft_err weft_broadcast_sub_create(weft_broadcast_sub **out, weft_broadcast *b)
{
	return sub_make(out, b, tail_position(b));
}

weft_err weft_broadcast_sub_copy(weft_broadcast_sub **out, const weft_broadcast_sub *sub)
{
	return sub_make(out, sub->source, position_seen(sub));
}

void weft_broadcast_sub_free(weft_broadcast_sub *sub)
{
	if (!sub)
		return;
	counter_sub(&sub->source->subs, 1);
	weft_broadcast_unref(sub->source);
	mem_free(sub);
}

weft_broadcast *weft_broadcast_sub_source(const weft_broadcast_sub *sub)
{
	return sub->source;
}

uint64_t weft_broadcast_sub_missed(const weft_broadcast_sub *sub)
{
	/* relaxed: a number that orders nothing */
	return atomic_load_explicit(&sub->missed, memory_order_relaxed);
}

uint64_t weft_broadcast_sub_len(const weft_broadcast_sub *sub)
{
	uint64_t position = position_seen(sub);

	return (tail_position(sub->source) - position) / 2;
}

uint64_t weft_broadcast_sub_resubscribe(weft_broadcast_sub *sub)
{
	uint64_t position = position_of(sub);
	uint64_t tail = tail_position(sub->source);

	position_set(sub, tail);
	return (tail - position) / 2;
}

/* Its message was overwritten, by a sender whose claim the caller has seen. */
static __attribute__((noinline)) weft_err lag(weft_broadcast_sub *sub, uint64_t position)
{
	uint64_t oldest = tail_position(sub->source) - sub->source->lap;

	/* relaxed: a number, which one writes */
	atomic_store_explicit(&sub->missed, (oldest - position) / 2, memory_order_relaxed);
	position_set(sub, oldest);
	return WEFT_ELAGGED;
}

/* False: the stamp has changed. */
static bool counted_take(weft_broadcast *b, struct slot *slot, uint64_t position, void *message)
{
	bool there;

	/* seq_cst; pairs with slot_unpin: the pin, then the look at the stamp */
	atomic_fetch_add_explicit(pins_of(slot), 1, memory_order_seq_cst);
	/* seq_cst; pairs with slot_unpin, and as an acquire with the message's release */
	there = atomic_load_explicit(&slot->stamp, memory_order_seq_cst) == position;
	if (there) {
		words_load(message, message_of(b, slot), b->message_size);
		b->options.ref(message, b->options.user);
	}
	/* release; pairs with the look in slot_unpin: copied, and referred to */
	atomic_fetch_sub_explicit(pins_of(slot), 1, memory_order_release);
	return there;
}

static inline bool take(weft_broadcast *b, struct slot *slot, uint64_t position, void *message)
{
	if (weft_unlikely(is_counted(b)))
		return counted_take(b, slot, position, message);
	words_load(message, message_of(b, slot), b->message_size);
	/* relaxed: the words' acquires come before; see words.h */
	return atomic_load_explicit(&slot->stamp, memory_order_relaxed) == position;
}

weft_err broadcast_try_recv(weft_broadcast_sub *sub, void *message)
{
	weft_broadcast *b = sub->source;
	uint64_t position = position_of(sub);
	struct slot *slot = slot_of(b, position);
	unsigned spins = 0;

	for (;;) {
		/* acquire; pairs with the releases of the sender: the message, the tail */
		uint64_t stamp = atomic_load_explicit(&slot->stamp, memory_order_acquire);
		int64_t ahead = (int64_t)(stamp - position);
		uint64_t tail;

		if (weft_likely(ahead == 0)) {
			if (weft_unlikely(!take(b, slot, position, message)))
				continue;
			position_set(sub, position + 2);
			return WEFT_OK;
		}
		if (ahead > 1)
			return lag(sub, position);
		/* seq_cst; pairs with the claim and the close: the look after entering a list */
		tail = atomic_load_explicit(&b->tail, memory_order_seq_cst);
		if ((tail & ~BROADCAST_CLOSED) == position)
			return tail & BROADCAST_CLOSED ? WEFT_ECLOSED : WEFT_EAGAIN;
		/* a sender is about to publish it */
		rt_relax(&spins, false);
	}
}

bool broadcast_is_ready(const weft_broadcast_sub *sub)
{
	/* seq_cst; pairs with the claim and the close: the look after entering a list */
	return atomic_load_explicit(&sub->source->tail, memory_order_seq_cst) != position_of(sub);
}

static bool sub_is_ready(const void *sub)
{
	return broadcast_is_ready(sub);
}

/* Out of line: what a call does that could not complete at once. */
static __attribute__((noinline)) weft_err recv_slow(
	weft_broadcast_sub *sub, void *message, weft_err err, weft_deadline until)
{
	while (err == WEFT_EAGAIN) {
		err = wait_until(&sub->source->waiters, sub_is_ready, sub, until, "broadcast recv");
		if (err != WEFT_OK)
			return err;
		err = broadcast_try_recv(sub, message);
	}
	return err == WEFT_OK ? WEFT_OK : err_set(err);
}

weft_err weft_broadcast_sub_recv(weft_broadcast_sub *sub, void *message, weft_deadline until)
{
	weft_err err = broadcast_try_recv(sub, message);

	return weft_likely(err == WEFT_OK) ? WEFT_OK : recv_slow(sub, message, err, until);
}

weft_err weft_broadcast_sub_try_recv(weft_broadcast_sub *sub, void *message)
{
	weft_err err = broadcast_try_recv(sub, message);

	return weft_likely(err == WEFT_OK) ? WEFT_OK : err_set(err);
}

/* --- in a select ----------------------------------------------------------------------- */

static const char *select_flaw(const weft_select_case *c)
{
	return c->sub ? NULL : "no subscriber";
}

static weft_err select_attempt(const weft_select_case *c)
{
	return broadcast_try_recv(c->sub, c->message);
}

static bool select_enter(const weft_select_case *c, struct wait_node *node)
{
	wait_push(&c->sub->source->waiters, node, false);
	return broadcast_is_ready(c->sub);
}

static void select_leave(const weft_select_case *c, struct wait_node *node)
{
	wait_remove(&c->sub->source->waiters, node);
}

const struct select_ops select_broadcast = {
	.flaw = select_flaw,
	.attempt = select_attempt,
	.enter = select_enter,
	.leave = select_leave,
};
