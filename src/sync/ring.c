/* SPDX-License-Identifier: MIT */
/*
 * The bounded channel, beside the single send and receive: several slots by one claim, and
 * permits. See ring.h for what a position, its flags and a stamp are.
 *
 * A claim takes slots that are free (that hold a message) at the look before its CAS: so
 * whoever claimed several waits for nobody before each is published (freed), however many
 * others were interrupted half way.
 *
 * Costs: a batch: one CAS, and a load and a store a slot. A permit: one CAS on tail when it
 * is taken, one when it is used; while any is out, plain sends load head, too.
 */
#include "sync/ring.h"

struct ring_claim {
	uint64_t position; /* of the first slot */
	size_t count;
	uint64_t flags; /* put: of tail, after it */
};

static uint64_t permit_unit(const weft_chan *chan)
{
	return 2 * chan->closed_bit;
}

static uint64_t permits_of(const weft_chan *chan, uint64_t tail)
{
	return (tail & chan->tail_flags) / permit_unit(chan);
}

/* n slots further, at most a lap. */
static uint64_t ring_advance(const weft_chan *chan, uint64_t position, size_t n)
{
	uint64_t index = position & (chan->closed_bit - 1);

	if (index + n < chan->capacity)
		return position + n;
	return position + n - chan->capacity + chan->lap;
}

/* Messages from head to position, which has no flags. Negative: position is an old one. */
static int64_t ring_distance(const weft_chan *chan, uint64_t head, uint64_t position)
{
	uint64_t mask = chan->closed_bit - 1;
	int64_t distance = (int64_t)(position & mask) - (int64_t)(head & mask);
	uint64_t laps = (position & ~mask) - (head & ~mask);

	if (laps == 0)
		return distance;
	return laps == chan->lap ? distance + (int64_t)chan->capacity : -1;
}

/* Room for how many plain sends, when this was tail. Negative: it is an old one. */
static int64_t ring_room(const weft_chan *chan, uint64_t tail)
{
	/* seq_cst; pairs with the CAS on head: the look after entering a list. After tail was
	 * read: head may have moved on, never back. */
	uint64_t head = atomic_load_explicit(&chan->head, memory_order_seq_cst);
	int64_t queued = ring_distance(chan, head, tail & ~chan->tail_flags);

	if (queued < 0)
		return -1;
	return (int64_t)chan->capacity - queued - (int64_t)permits_of(chan, tail);
}

/* Slots from position on that have the stamp of their lap plus this; want at most. */
static size_t slots_ready(const weft_chan *chan, uint64_t position, size_t want, uint64_t plus)
{
	size_t n = 0;

	for (; n < want; n++) {
		uint64_t index = position & (chan->closed_bit - 1);
		char *slot = chan->slots + index * chan->stride;

		/* acquire; pairs with the release of the slot's last owner: its message is
		 * there, or out */
		if (atomic_load_explicit(chan_stamp(chan, slot), memory_order_acquire) !=
			position - index + plus)
			break;
		position = ring_next(chan, position, index);
	}
	return n;
}

static size_t want_max(const weft_chan *chan, size_t count)
{
	if (count > WEFT_CHAN_BATCH_MAX)
		count = WEFT_CHAN_BATCH_MAX;
	return count < chan->capacity ? count : chan->capacity;
}

/* WEFT_OK (count is at least 1), WEFT_EAGAIN, WEFT_ECLOSED; the latter two not for permits. */
static weft_err claim_put(weft_chan *chan, size_t count, bool permit, struct ring_claim *claim)
{
	size_t n, want = want_max(chan, count);
	unsigned spins = 0;
	/* seq_cst; pairs with the CAS below and the close: the look after entering a list */
	uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);

	for (;;) {
		if (!permit && (tail & chan->closed_bit))
			return WEFT_ECLOSED;
		claim->position = tail & ~chan->tail_flags;
		claim->flags = (tail & chan->tail_flags) - (permit ? permit_unit(chan) : 0);
		n = slots_ready(chan, claim->position, want, 0);
		if (!permit && (n == 0 || claim->flags)) {
			int64_t room = ring_room(chan, tail);

			if (room == 0)
				return WEFT_EAGAIN;
			n = room > 0 && (size_t)room < n ? (size_t)room : n;
		}
		/* seq_cst; pairs with ring_is_ready and the loads of tail by those who have
		 * entered a list: before wait_any. On failure as the first load. */
		if (n > 0 &&
			atomic_compare_exchange_weak_explicit(&chan->tail, &tail,
				ring_advance(chan, claim->position, n) | claim->flags,
				memory_order_seq_cst, memory_order_seq_cst))
			break;
		if (n == 0) {
			/* a receiver is about to free the slot, or tail has moved on */
			rt_relax(&spins, false);
			/* seq_cst: as the first */
			tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
		}
	}
	claim->count = n;
	return WEFT_OK;
}

/* Copies the messages into claimed slots, which are then the receivers'. */
static void publish(weft_chan *chan, const struct ring_claim *claim, const void *messages)
{
	uint64_t position = claim->position;

	for (size_t i = 0; i < claim->count; i++) {
		uint64_t index = position & (chan->closed_bit - 1);
		char *slot = chan->slots + index * chan->stride;

		chan_copy(slot, chan_nth(chan, messages, i), chan->message_size);
		/* release; pairs with the acquire of the receiver: the message */
		atomic_store_explicit(
			chan_stamp(chan, slot), position - index + 1, memory_order_release);
		position = ring_next(chan, position, index);
	}
}

weft_err ring_put_many(weft_chan *chan, const void *messages, size_t count, size_t *done)
{
	struct ring_claim claim;
	weft_err err = claim_put(chan, count, false, &claim);

	if (err != WEFT_OK)
		return err;
	publish(chan, &claim, messages);
	*done = claim.count;
	return WEFT_OK;
}

weft_err ring_put_flagged(weft_chan *chan, const void *message)
{
	size_t done;

	return ring_put_many(chan, message, 1, &done);
}

weft_err ring_take_many(weft_chan *chan, const struct chan_sink *sink, size_t count, size_t *done)
{
	size_t n, want = want_max(chan, count);
	unsigned spins = 0;
	/* relaxed: the CAS checks it, and emptiness follows from any old value of it */
	uint64_t tail, head = atomic_load_explicit(&chan->head, memory_order_relaxed);

	for (;;) {
		n = slots_ready(chan, head, want, 1);
		/* seq_cst; pairs with the load of head by senders who have entered a list:
		 * before wait_any. relaxed on failure: as the load above */
		if (n > 0 &&
			atomic_compare_exchange_weak_explicit(&chan->head, &head,
				ring_advance(chan, head, n), memory_order_seq_cst,
				memory_order_relaxed))
			break;
		if (n > 0)
			continue;
		/* seq_cst; pairs with the CAS on tail and with the close: the look after
		 * entering a list */
		tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
		if ((tail & ~chan->tail_flags) == head)
			return ring_empty_err(chan, tail);
		/* a sender is about to publish, or head has moved on */
		rt_relax(&spins, false);
		/* relaxed: as the first */
		head = atomic_load_explicit(&chan->head, memory_order_relaxed);
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t index = head & (chan->closed_bit - 1);
		char *slot = chan->slots + index * chan->stride;

		chan_sink_put(chan, sink, i, slot);
		/* release; pairs with the acquire of the sender: the slot is read */
		atomic_store_explicit(
			chan_stamp(chan, slot), head - index + chan->lap, memory_order_release);
		head = ring_next(chan, head, index);
	}
	*done = n;
	return WEFT_OK;
}

bool ring_is_full(const weft_chan *chan)
{
	int64_t room;

	do {
		/* seq_cst: as elsewhere before head; a moment's look */
		room = ring_room(chan, atomic_load_explicit(&chan->tail, memory_order_seq_cst));
	} while (room < 0);
	return room == 0;
}

bool ring_has_room_flagged(const weft_chan *chan, uint64_t tail)
{
	for (;;) {
		int64_t room;

		if (tail & chan->closed_bit)
			return true;
		room = ring_room(chan, tail);
		if (room >= 0)
			return room > 0;
		/* seq_cst; as in ring_is_ready, when what it read was too old */
		tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
	}
}

weft_err ring_reserve(weft_chan *chan)
{
	/* seq_cst; pairs with the CAS on tail and the close: the look after entering a list */
	uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
	int64_t room;

	for (;;) {
		if (tail & chan->closed_bit)
			return WEFT_ECLOSED;
		room = ring_room(chan, tail);
		if (room == 0)
			return WEFT_EAGAIN;
		if (permits_of(chan, tail) == WEFT_CHAN_PERMITS_MAX)
			return WEFT_ECAPACITY;
		if (room < 0) {
			/* seq_cst: as the first */
			tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
			continue;
		}
		/* seq_cst, both; in one order with all that changes tail: see the first */
		if (atomic_compare_exchange_weak_explicit(&chan->tail, &tail,
			    tail + permit_unit(chan), memory_order_seq_cst, memory_order_seq_cst))
			return WEFT_OK;
	}
}

bool ring_unreserve(weft_chan *chan)
{
	/* seq_cst; pairs with the loads of tail by those who have entered a list: there is
	 * room, or nothing will come */
	uint64_t old =
		atomic_fetch_sub_explicit(&chan->tail, permit_unit(chan), memory_order_seq_cst);

	return (old & chan->tail_flags) == (chan->closed_bit | permit_unit(chan));
}

bool ring_put_reserved(weft_chan *chan, const void *message)
{
	struct ring_claim claim;

	(void)claim_put(chan, 1, true, &claim);
	publish(chan, &claim, message);
	return claim.flags == chan->closed_bit;
}
