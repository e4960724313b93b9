/* SPDX-License-Identifier: MIT */
/*
 * The unbounded channel: a list of blocks of BLOCK_SLOTS slots.
 *
 * A position counts slots in units of 2; its lowest bit is a flag: in tail "closed", in
 * head "tail is in a later block", which saves the receiver its look at tail. Each block
 * has BLOCK_LAP positions, the last of which is no slot: a tail (head) that stands there
 * says that the sender (receiver) of the block's last slot is moving it to the next
 * block, and others wait politely. The next block is allocated before its slot is
 * claimed, so that failing has no effect.
 *
 * tail_block is stored before tail leaves that position, and a position never comes
 * back: so a CAS on tail that succeeds with a block read after the position has the
 * block that belongs to it. The same for head. Blocks are looked into only after such a
 * CAS, hence never after they were freed.
 *
 * A block is freed by whoever is the last to be done with it, and nobody counts: the
 * receiver of the last slot goes over the slots before it, and where one is not read yet leaves
 * word there that its receiver is to go on from there. So done is said in the slot
 * that the receiver has at hand anyway, not on a line that all of them share. Senders are
 * done with the block before: the last thing a sender does there is to publish its slot,
 * which the slot's receiver waited for; the sender of the last slot links the next block
 * before it publishes.
 */
#include "base/check.h"
#include "base/mem.h"
#include "sync/chan.h"

enum {
	BLOCK_LAP = 32,
	BLOCK_SLOTS = BLOCK_LAP - 1,
	POSITION = 2, /* one slot further */
	FLAG = 1,
};

enum { /* parts of a slot's read; each is added once */
	SLOT_READ = 1,
	SLOT_GO_ON = 2, /* its receiver is to go on giving the block back */
};

/* What stands behind a message, in place of the ring's stamp. */
struct slot_state {
	_Atomic uint32_t written; /* its sender's: 1 */
	_Atomic uint32_t read;
};

struct chan_block {
	_Atomic(struct chan_block *) next; /* set once, by the sender of the last slot */
	alignas(16) char slots[];
};

static inline struct slot_state *state_of(const weft_chan *chan, char *slot)
{
	return (struct slot_state *)(void *)(slot + chan->stamp_offset);
}

/* One that was given back spares the allocator's way from receivers to senders. */
static struct chan_block *spare_take(weft_chan *chan)
{
	/* relaxed: only a hint */
	if (!atomic_load_explicit(&chan->spare, memory_order_relaxed))
		return NULL;
	/* acquire; pairs with the release in spare_put: its readers are done with it */
	return atomic_exchange_explicit(&chan->spare, NULL, memory_order_acquire);
}

static void spare_put(weft_chan *chan, struct chan_block *block)
{
	/* release; pairs with the acquire in spare_take, and acquire for the one it takes the
	 * place of, which goes to the allocator */
	mem_free(atomic_exchange_explicit(&chan->spare, block, memory_order_acq_rel));
}

static struct chan_block *block_create(weft_chan *chan)
{
	struct chan_block *block = spare_take(chan);

	if (!block)
		block = mem_alloc(sizeof(*block) + BLOCK_SLOTS * chan->stride);
	if (!block)
		return NULL;
	atomic_init(&block->next, NULL);
	for (size_t i = 0; i < BLOCK_SLOTS; i++) {
		struct slot_state *state = state_of(chan, block->slots + i * chan->stride);

		atomic_init(&state->written, 0);
		atomic_init(&state->read, 0);
	}
	return block;
}

static inline size_t offset_of(uint64_t position)
{
	return (size_t)(position / POSITION % BLOCK_LAP);
}

/* Messages sent before this position. */
static inline uint64_t messages_at(uint64_t position)
{
	uint64_t slot = position / POSITION;

	return slot / BLOCK_LAP * BLOCK_SLOTS + slot % BLOCK_LAP;
}

weft_err blocks_init(weft_chan *chan)
{
	struct chan_block *block;

	chan->closed_bit = FLAG;
	chan->tail_flags = FLAG;
	block = block_create(chan);
	if (!block)
		return WEFT_ENOMEM;
	atomic_init(&chan->head_block, block);
	atomic_init(&chan->tail_block, block);
	return WEFT_OK;
}

void blocks_fini(weft_chan *chan)
{
	/* relaxed, all: the last reference is gone, nobody else is here */
	uint64_t head = atomic_load_explicit(&chan->head, memory_order_relaxed) & ~(uint64_t)FLAG;
	uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_relaxed) & ~(uint64_t)FLAG;
	/* relaxed: as above, nobody else is here */
	struct chan_block *block = atomic_load_explicit(&chan->head_block, memory_order_relaxed);

	for (; head != tail; head += POSITION) {
		size_t offset = offset_of(head);

		if (offset == BLOCK_SLOTS) {
			/* relaxed: as above, nobody else is here */
			struct chan_block *next =
				atomic_load_explicit(&block->next, memory_order_relaxed);

			mem_free(block);
			block = next;
		} else if (chan->options.destroy) {
			chan->options.destroy(
				block->slots + offset * chan->stride, chan->options.user);
		}
	}
	mem_free(block);
	/* relaxed: as above, nobody else is here */
	mem_free(atomic_load_explicit(&chan->spare, memory_order_relaxed));
}

/* The sender of the last slot: makes the next block the one to send to. */
static void tail_advance(weft_chan *chan, struct chan_block *block, struct chan_block *next)
{
	/* release; pairs with the acquire in claim_put: the block's contents, and
	 * before tail moves: see the head of the file */
	atomic_store_explicit(&chan->tail_block, next, memory_order_release);
	/* release; pairs with the loads of tail in claim_put: tail_block is stored.
	 * An add, as a close may set the flag meanwhile. */
	atomic_fetch_add_explicit(&chan->tail, POSITION, memory_order_release);
	/* release; pairs with the acquire in head_advance: the block's contents */
	atomic_store_explicit(&block->next, next, memory_order_release);
}

struct blocks_claim {
	struct chan_block *block;
	size_t offset, count;
};

/*
 * Claims slots of one block, count at most. *fresh is a block to go on with, or NULL: then it
 * is made when it is needed. Used up when it is NULL afterwards; else to be put back, also on
 * an error.
 */
__attribute__((always_inline)) static inline weft_err claim_put(weft_chan *chan, size_t count,
	bool permit, struct chan_block **fresh, struct blocks_claim *claim)
{
	struct chan_block *block;
	unsigned spins = 0, races = 0;
	size_t offset, n;
	/* seq_cst; as the CAS below, of which this stands for a failed one */
	uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);

	for (;;) {
		if (weft_unlikely(tail & FLAG) && !permit)
			return WEFT_ECLOSED;
		offset = offset_of(tail);
		/* acquire; pairs with the release in tail_advance */
		block = atomic_load_explicit(&chan->tail_block, memory_order_acquire);
		if (offset == BLOCK_SLOTS) {
			rt_relax(&spins, false);
			/* seq_cst: as the first */
			tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
			continue;
		}
		n = count < BLOCK_SLOTS - offset ? count : BLOCK_SLOTS - offset;
		if (offset + n == BLOCK_SLOTS && !*fresh) {
			*fresh = block_create(chan);
			if (!*fresh)
				return WEFT_ENOMEM;
		}
		/* seq_cst; pairs with the load of tail by receivers who have entered a
		 * list: before wait_any. On failure acquire would do, for tail_block. */
		if (atomic_compare_exchange_weak_explicit(&chan->tail, &tail, tail + n * POSITION,
			    memory_order_seq_cst, memory_order_seq_cst))
			break;
		rt_backoff_race(&races);
	}
	if (offset + n == BLOCK_SLOTS) {
		tail_advance(chan, block, *fresh);
		*fresh = NULL;
	}
	*claim = (struct blocks_claim){ block, offset, n };
	return WEFT_OK;
}

static inline void publish(
	const weft_chan *chan, const struct blocks_claim *claim, size_t i, const void *message)
{
	char *slot = claim->block->slots + (claim->offset + i) * chan->stride;

	chan_copy(slot, message, chan->message_size);
	/* release; pairs with the acquire in slot_wait: the message; last touch of the slot, and
	 * with the last of the claim, of the block */
	atomic_store_explicit(&state_of(chan, slot)->written, 1, memory_order_release);
}

weft_err blocks_put(weft_chan *chan, const void *message)
{
	struct chan_block *fresh = NULL;
	struct blocks_claim claim;
	weft_err err = claim_put(chan, 1, false, &fresh, &claim);

	if (weft_likely(err == WEFT_OK))
		publish(chan, &claim, 0, message);
	if (weft_unlikely(fresh))
		spare_put(chan, fresh);
	return err;
}

weft_err blocks_put_many(weft_chan *chan, const void *messages, size_t count, size_t *done)
{
	struct chan_block *fresh = NULL;
	struct blocks_claim claim;
	size_t sent = 0;
	weft_err err = WEFT_OK;

	if (count > WEFT_CHAN_BATCH_MAX)
		count = WEFT_CHAN_BATCH_MAX;
	while (sent < count && err == WEFT_OK) {
		err = claim_put(chan, count - sent, false, &fresh, &claim);
		for (size_t i = 0; err == WEFT_OK && i < claim.count; i++, sent++)
			publish(chan, &claim, i, chan_nth(chan, messages, sent));
	}
	if (fresh)
		spare_put(chan, fresh);
	if (sent == 0)
		return err;
	*done = sent;
	return WEFT_OK;
}

/* The receiver of the last slot: makes the next block the one to receive from. */
static void head_advance(weft_chan *chan, struct chan_block *block, uint64_t head)
{
	struct chan_block *next;
	unsigned spins = 0;

	/* acquire; pairs with the release in tail_advance: the next block's contents */
	while (!(next = atomic_load_explicit(&block->next, memory_order_acquire)))
		rt_relax(&spins, false);
	head = (head & ~(uint64_t)FLAG) + POSITION;
	/* relaxed: a next one means that tail has left this one; not looked into here */
	if (atomic_load_explicit(&next->next, memory_order_relaxed))
		head |= FLAG;
	/* release, both; pair with the acquires in claim_take: the block's contents,
	 * and head_block before head, as in tail_advance */
	atomic_store_explicit(&chan->head_block, next, memory_order_release);
	atomic_store_explicit(&chan->head, head, memory_order_release);
}

/* A claimed slot, once its sender has published it. */
static char *slot_wait(const weft_chan *chan, struct chan_block *block, size_t offset)
{
	char *slot = block->slots + offset * chan->stride;
	unsigned spins = 0;

	/* acquire; pairs with the release in publish: the message */
	while (!atomic_load_explicit(&state_of(chan, slot)->written, memory_order_acquire))
		rt_relax(&spins, false);
	return slot;
}

/*
 * Closed and empty, as tail said: also for good? Not while permits are out; and when none is,
 * none can be taken any more, but what the last one sent is in tail only now.
 */
static weft_err empty_err(const weft_chan *chan, uint64_t tail)
{
	/* seq_cst; pairs with the changes of the number, in blocks_reserve and _unreserve: it
	 * is 0 after tail had the flag, so that tail does not change after this */
	if (atomic_load_explicit(&chan->permits, memory_order_seq_cst) != 0)
		return WEFT_EAGAIN;
	/* seq_cst; pairs with the CAS in claim_put, before its permit's end */
	if (atomic_load_explicit(&chan->tail, memory_order_seq_cst) != tail)
		return WEFT_OK;
	return WEFT_ECLOSED;
}

/* What head becomes when *n slots are taken, count at most, all in one block. 0: there is
 * none, *err says why. */
static inline uint64_t head_next(
	const weft_chan *chan, uint64_t head, size_t count, size_t *n, weft_err *err)
{
	size_t left = BLOCK_SLOTS - offset_of(head);
	uint64_t tail;

	*n = count < left ? count : left;
	if (head & FLAG)
		return head + *n * POSITION;
	do {
		/* seq_cst; pairs with the CAS in claim_put and the close: the look after
		 * entering a list */
		tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);
		if (head / POSITION != tail / POSITION)
			break;
		*err = tail & FLAG ? empty_err(chan, tail) : WEFT_EAGAIN;
		if (*err != WEFT_OK)
			return 0;
	} while (true);
	if (head / POSITION / BLOCK_LAP != tail / POSITION / BLOCK_LAP)
		return (head | FLAG) + *n * POSITION;
	if (*n > tail / POSITION - head / POSITION)
		*n = (size_t)(tail / POSITION - head / POSITION);
	return head + *n * POSITION;
}

__attribute__((always_inline)) static inline weft_err claim_take(
	weft_chan *chan, size_t count, struct blocks_claim *claim)
{
	struct chan_block *block;
	unsigned spins = 0, races = 0;
	size_t offset, n;
	uint64_t next;
	/* acquire; pairs with the release in head_advance: head_block is at least as new */
	uint64_t head = atomic_load_explicit(&chan->head, memory_order_acquire);

	for (;;) {
		weft_err err = WEFT_OK;

		offset = offset_of(head);
		/* acquire; pairs with the release in head_advance */
		block = atomic_load_explicit(&chan->head_block, memory_order_acquire);
		if (offset == BLOCK_SLOTS) {
			rt_relax(&spins, false);
			/* acquire: as the first */
			head = atomic_load_explicit(&chan->head, memory_order_acquire);
			continue;
		}
		next = head_next(chan, head, count, &n, &err);
		if (err != WEFT_OK)
			return err;
		/* acq_rel on success: the next receiver's view of the list is ours; acquire on
		 * failure: as the first load. No sender ever waits, so none need see it. */
		if (atomic_compare_exchange_weak_explicit(
			    &chan->head, &head, next, memory_order_acq_rel, memory_order_acquire))
			break;
		rt_backoff_race(&races);
	}
	if (offset + n == BLOCK_SLOTS)
		head_advance(chan, block, next);
	*claim = (struct blocks_claim){ block, offset, n };
	return WEFT_OK;
}

/* All slots before this one are read, and so is the last. */
static void block_give_back(weft_chan *chan, struct chan_block *block, size_t offset)
{
	for (; offset + 1 < BLOCK_SLOTS; offset++) {
		_Atomic uint32_t *read =
			&state_of(chan, block->slots + offset * chan->stride)->read;

		/* acquire; pairs with the receiver's add: it is done with the block. */
		if (atomic_load_explicit(read, memory_order_acquire) & SLOT_READ)
			continue;
		/* acq_rel; pairs with the receiver's add: of the two that comes second
		 * goes on, and sees what the other and those before it did */
		if (!(atomic_fetch_add_explicit(read, SLOT_GO_ON, memory_order_acq_rel) &
			    SLOT_READ))
			return;
	}
	spare_put(chan, block);
}

/* A claimed slot is read. */
static inline void slot_done(weft_chan *chan, struct chan_block *block, size_t offset, char *slot)
{
	if (offset + 1 == BLOCK_SLOTS)
		block_give_back(chan, block, 0);
	/* acq_rel; pairs with the one in block_give_back: release: this receiver is done with
	 * the block; acquire, if it is to go on: those before it are */
	else if (atomic_fetch_add_explicit(
			 &state_of(chan, slot)->read, SLOT_READ, memory_order_acq_rel) &
		SLOT_GO_ON)
		block_give_back(chan, block, offset + 1);
}

weft_err blocks_take(weft_chan *chan, void *message)
{
	struct blocks_claim claim;
	weft_err err = claim_take(chan, 1, &claim);
	char *slot;

	if (weft_unlikely(err != WEFT_OK))
		return err;
	slot = slot_wait(chan, claim.block, claim.offset);
	chan_copy(message, slot, chan->message_size);
	slot_done(chan, claim.block, claim.offset, slot);
	return WEFT_OK;
}

weft_err blocks_take_many(weft_chan *chan, const struct chan_sink *sink, size_t count, size_t *done)
{
	struct blocks_claim claim;
	size_t taken = 0;
	weft_err err = WEFT_OK;

	if (count > WEFT_CHAN_BATCH_MAX)
		count = WEFT_CHAN_BATCH_MAX;
	while (taken < count) {
		err = claim_take(chan, count - taken, &claim);
		if (err != WEFT_OK)
			break;
		for (size_t i = claim.offset; claim.count > 0; claim.count--, i++, taken++) {
			char *slot = slot_wait(chan, claim.block, i);

			chan_sink_put(chan, sink, taken, slot);
			slot_done(chan, claim.block, i, slot);
		}
	}
	if (taken == 0)
		return err;
	*done = taken;
	return WEFT_OK;
}

bool blocks_is_ready(const weft_chan *chan)
{
	/* seq_cst, both; pair with the CAS in claim_put and the close */
	uint64_t head = atomic_load_explicit(&chan->head, memory_order_seq_cst);
	uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_seq_cst);

	if (messages_at(head) != messages_at(tail))
		return true;
	/* seq_cst; pairs with the end of the last permit, which wakes everybody */
	return (tail & FLAG) && atomic_load_explicit(&chan->permits, memory_order_seq_cst) == 0;
}

size_t blocks_len(const weft_chan *chan)
{
	for (;;) {
		/* acquire, all: read in this order; equal tails make the pair a moment's */
		uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_acquire);
		uint64_t head = atomic_load_explicit(&chan->head, memory_order_acquire);

		/* acquire: see above */
		if (atomic_load_explicit(&chan->tail, memory_order_acquire) == tail)
			return (size_t)(messages_at(tail) - messages_at(head));
	}
}

/* --- permits: their number keeps a closed channel from ending; each has a block with it, for
 * when its message is the one that fills a block, so that sending it can't fail ------------ */

/* True: the last one of a closed channel. */
static bool permit_end(weft_chan *chan)
{
	/* seq_cst; pairs with empty_err: after the message is in tail; before the close is
	 * looked at, which comes before its own look at the number */
	uint32_t old = atomic_fetch_sub_explicit(&chan->permits, 1, memory_order_seq_cst);

	return old == 1 && chan_is_closed(chan);
}

weft_err blocks_reserve(weft_chan *chan, void **room)
{
	struct chan_block *block;
	weft_err err = WEFT_OK;

	if (chan_is_closed(chan))
		return WEFT_ECLOSED;
	block = block_create(chan);
	if (!block)
		return WEFT_ENOMEM;
	/* seq_cst; pairs with empty_err: before the look at the close, so that who finds the
	 * channel closed and no permits knows that there will be none */
	if (atomic_fetch_add_explicit(&chan->permits, 1, memory_order_seq_cst) >=
		WEFT_CHAN_PERMITS_MAX)
		err = WEFT_ECAPACITY;
	else if (chan_is_closed(chan))
		err = WEFT_ECLOSED;
	if (err == WEFT_OK)
		*room = block;
	else if (blocks_unreserve(chan, block))
		chan_wake_receivers(chan);
	return err;
}

bool blocks_unreserve(weft_chan *chan, void *room)
{
	if (room)
		spare_put(chan, room);
	return permit_end(chan);
}

bool blocks_put_reserved(weft_chan *chan, void *room, const void *message)
{
	struct chan_block *block = room;
	struct blocks_claim claim = { NULL, 0, 0 };
	weft_err err = claim_put(chan, 1, true, &block, &claim);

	CHECK(err == WEFT_OK); /* a permit is not closed out, and brings its block */
	publish(chan, &claim, 0, message);
	return blocks_unreserve(chan, block);
}
