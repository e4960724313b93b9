/* SPDX-License-Identifier: MIT */
/* What the kinds of channels share: life, waiting, closing. See chan.h for the costs. */
#include "sync/chan.h"

#include "base/err.h"
#include "base/mem.h"
#include "sync/ring.h"

#define SERVE_MAX 64 /* waiters that one call does the work of */

/* The smallest power of two that is no smaller. */
static uint64_t power_of_two(uint64_t n)
{
	uint64_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

void chan_layout(weft_chan *chan)
{
	/* a message is aligned as malloc would, if it is large enough to need it */
	size_t align = chan->message_size >= 16 ? 16 : 8;

	chan->stamp_offset = round_up(chan->message_size, sizeof(uint64_t));
	chan->stride = round_up(chan->stamp_offset + sizeof(uint64_t), align);
}

static weft_err ring_init(weft_chan *chan)
{
	chan->closed_bit = power_of_two(chan->capacity);
	chan->lap = 2 * chan->closed_bit * (WEFT_CHAN_PERMITS_MAX + 1);
	chan->tail_flags = chan->lap - chan->closed_bit;
	/* cleared memory is lap 0 everywhere, and untouched until it is used */
	chan->slots = mem_calloc(chan->capacity, chan->stride);
	return chan->slots ? WEFT_OK : WEFT_ENOMEM;
}

static void ring_fini(weft_chan *chan)
{
	/* relaxed, both: the last reference is gone, nobody else is here */
	uint64_t head = atomic_load_explicit(&chan->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&chan->tail, memory_order_relaxed);

	tail &= ~chan->tail_flags;
	while (chan->options.destroy && head != tail) {
		uint64_t index = head & (chan->closed_bit - 1);

		chan->options.destroy(chan->slots + index * chan->stride, chan->options.user);
		head = ring_next(chan, head, index);
	}
	mem_free(chan->slots);
}

static weft_err kind_init(weft_chan *chan)
{
	switch (chan->kind) {
	case CHAN_RING:
		return ring_init(chan);
	case CHAN_BLOCKS:
		return blocks_init(chan);
	case CHAN_RENDEZVOUS:
		chan->closed_bit = 1;
		chan->tail_flags = 1;
		break;
	}
	return WEFT_OK;
}

weft_err weft_chan_create(
	weft_chan **out, size_t message_size, size_t capacity, const weft_chan_options *options)
{
	weft_chan *chan;

	if (message_size > WEFT_CHAN_MESSAGE_SIZE_MAX)
		return err_setf(WEFT_EINVAL, "create channel: message_size %zu: at most %d",
			message_size, WEFT_CHAN_MESSAGE_SIZE_MAX);
	if (capacity > WEFT_CHAN_CAPACITY_MAX && capacity != WEFT_CHAN_UNBOUNDED)
		return err_setf(WEFT_EINVAL, "create channel: capacity %zu: at most %zu", capacity,
			WEFT_CHAN_CAPACITY_MAX);
	chan = mem_aligned(CACHE_APART, sizeof(*chan));
	if (!chan)
		return err_set(WEFT_ENOMEM);
	memset(chan, 0, sizeof(*chan));
	chan->kind = capacity == 0		  ? CHAN_RENDEZVOUS
		: capacity == WEFT_CHAN_UNBOUNDED ? CHAN_BLOCKS
						  : CHAN_RING;
	chan->message_size = message_size;
	chan->capacity = capacity;
	if (options)
		chan->options = *options;
	wait_queue_init(&chan->receivers);
	wait_queue_init(&chan->senders);
	wait_queue_init(&chan->closers);
	refcount_init(&chan->refs, 1);
	chan_layout(chan);
	if (kind_init(chan) != WEFT_OK) {
		mem_free(chan);
		return err_set(WEFT_ENOMEM);
	}
	*out = chan;
	return WEFT_OK;
}

weft_chan *weft_chan_ref(weft_chan *chan)
{
	refcount_hold(&chan->refs);
	return chan;
}

void weft_chan_unref(weft_chan *chan)
{
	if (!chan || !refcount_drop(&chan->refs))
		return;
	if (chan->kind == CHAN_RING)
		ring_fini(chan);
	else if (chan->kind == CHAN_BLOCKS)
		blocks_fini(chan);
	chan_fd_fini(chan);
	mem_free(chan);
}

/* An attempt that wakes nobody. */
static weft_err op_do(weft_chan *chan, const struct chan_op *op)
{
	if (chan->kind == CHAN_RING)
		return op->send ? ring_put(chan, op->source) : ring_take(chan, op->target);
	return op->send ? blocks_put(chan, op->source) : blocks_take(chan, op->target);
}

void chan_serve(weft_chan *chan, bool send)
{
	for (int i = 0; i < SERVE_MAX; i++, send = !send) {
		struct wait_queue *queue = chan_queue(chan, send);
		struct wait_node *node;
		weft_err err;

		if (!send)
			chan_fd_fire(chan);
		node = wait_any(queue) ? wait_claim_busy(queue) : NULL;
		if (!node)
			return;
		if (node->wake_only) {
			wait_settle(node, WEFT_EAGAIN);
			return;
		}
		err = op_do(chan,
			&(struct chan_op){
				.send = send, .source = node->source, .target = node->target });
		/* Anything else than done is for the waiter to find by itself. */
		wait_settle(node, err == WEFT_OK ? WEFT_OK : WEFT_EAGAIN);
		if (err != WEFT_OK)
			return;
	}
	/* enough for others in one call of this one's: the next has to come and look */
	wait_wake_one(chan_queue(chan, send));
}

void chan_serve_many(weft_chan *chan, bool send, size_t count)
{
	for (size_t i = 0; i < count && wait_any(chan_queue(chan, send)); i++)
		chan_serve(chan, send);
}

static inline weft_err try_send(weft_chan *chan, const void *message)
{
	if (weft_likely(chan->kind == CHAN_RING))
		return ring_try_send(chan, message);
	if (chan->kind == CHAN_BLOCKS) {
		weft_err err = blocks_put(chan, message);

		if (err == WEFT_OK && wait_any(&chan->receivers))
			chan_serve(chan, false);
		return err;
	}
	return rendezvous_try(chan, &(struct chan_op){ .send = true, .source = message });
}

static inline weft_err try_recv(weft_chan *chan, void *message)
{
	if (weft_likely(chan->kind == CHAN_RING))
		return ring_try_recv(chan, message);
	if (chan->kind == CHAN_BLOCKS)
		return blocks_take(chan, message);
	return rendezvous_try(chan, &(struct chan_op){ .send = false, .target = message });
}

weft_err chan_try(weft_chan *chan, const struct chan_op *op)
{
	if (op->attempt)
		return op->attempt(chan, op);
	return op->send ? try_send(chan, op->source) : try_recv(chan, op->target);
}

bool chan_is_ready(const weft_chan *chan, bool send)
{
	if (chan->kind == CHAN_RING)
		return ring_is_ready(chan, send);
	return send || blocks_is_ready(chan);
}

void chan_pass_on(weft_chan *chan, bool send)
{
	if (chan_is_ready(chan, send))
		wait_wake_one(chan_queue(chan, send));
}

/*
 * One turn of a waiter that has entered the list: looks again, parks; then takes what was done
 * in its place, or tries. It does nothing by itself while it can be claimed. WEFT_EAGAIN:
 * another turn.
 */
static weft_err wait_turn(
	weft_chan *chan, const struct chan_op *op, struct wait_node *node, weft_deadline until)
{
	struct wait_queue *queue = chan_queue(chan, op->send);
	struct wait_ctx *ctx = node->ctx;
	weft_err err, park = WEFT_OK;
	uint32_t state;

	if (!chan_is_ready(chan, op->send))
		park = wait_sleep(ctx, until, op->send ? "chan send" : "chan recv");
	if (wait_claim_self(ctx, &state)) {
		wait_remove(queue, node);
		return park == WEFT_OK ? chan_try(chan, op) : park;
	}
	if (node->result == WEFT_OK)
		return WEFT_OK;
	/* Claimed, thus out of the list: the change is this call's to use, even when it was
	 * cancelled as well. */
	err = chan_try(chan, op);
	return err == WEFT_EAGAIN && park != WEFT_OK ? park : err;
}

/* A thread that tries on for a while without being in the list is cheaper to its partners: they
 * need not take the lock to find it. */
static weft_err try_on(
	weft_chan *chan, const struct chan_op *op, struct rt_backoff *backoff, weft_deadline until)
{
	weft_err err = WEFT_EAGAIN;

	*backoff = (struct rt_backoff){ 0 };
	while (err == WEFT_EAGAIN && rt_backoff(backoff, until)) {
		if (chan_is_ready(chan, op->send))
			err = chan_try(chan, op);
	}
	if (err != WEFT_EAGAIN)
		rt_backoff_end(backoff);
	return err;
}

static weft_err queue_wait(weft_chan *chan, const struct chan_op *op, weft_deadline until)
{
	struct rt_backoff backoff;
	struct wait_node node;
	struct wait_ctx ctx;
	bool front = false;
	weft_err err;

	if (wait_ctx_init(&ctx) != WEFT_OK)
		return WEFT_ENOMEM;
	wait_node_init(&node, &ctx, WAIT_FIRST);
	node.source = op->source;
	node.target = op->target;
	node.wake_only = op->wake_only;
	do {
		err = try_on(chan, op, &backoff, until);
		if (err != WEFT_EAGAIN)
			break;
		/* relaxed: nobody knows the node between its turns */
		atomic_store_explicit(&ctx.state, WAIT_OPEN, memory_order_relaxed);
		node.result = WEFT_EAGAIN;
		wait_push(chan_queue(chan, op->send), &node, front);
		err = wait_turn(chan, op, &node, until);
		rt_backoff_end(&backoff);
		front = true;
	} while (err == WEFT_EAGAIN);
	return err == WEFT_OK ? WEFT_OK : err_set(err);
}

/* Out of line: what a call does that could not complete at once. */
__attribute__((noinline)) weft_err chan_wait(
	weft_chan *chan, const struct chan_op *op, weft_err err, weft_deadline until)
{
	if (err != WEFT_EAGAIN)
		return err_set(err);
	if (until <= WEFT_NOW) {
		if (!op->send)
			chan_fd_clear(chan);
		return err_set(WEFT_ETIMEDOUT);
	}
	if (chan->kind == CHAN_RENDEZVOUS)
		return rendezvous_wait(chan, op, until);
	return queue_wait(chan, op, until);
}

static inline weft_err done_at_once(weft_deadline until)
{
	if (until > WEFT_NOW)
		rt_take_turns(RT_COST_MESSAGE);
	return WEFT_OK;
}

weft_err weft_chan_send(weft_chan *chan, const void *message, weft_deadline until)
{
	weft_err err = try_send(chan, message);

	if (weft_likely(err == WEFT_OK))
		return done_at_once(until);
	return chan_wait(chan, &(struct chan_op){ .send = true, .source = message }, err, until);
}

weft_err weft_chan_recv(weft_chan *chan, void *message, weft_deadline until)
{
	weft_err err = try_recv(chan, message);

	if (weft_likely(err == WEFT_OK))
		return done_at_once(until);
	return chan_wait(chan, &(struct chan_op){ .send = false, .target = message }, err, until);
}

weft_err weft_chan_try_send(weft_chan *chan, const void *message)
{
	weft_err err = try_send(chan, message);

	return weft_likely(err == WEFT_OK) ? WEFT_OK : err_set(err);
}

weft_err weft_chan_try_recv(weft_chan *chan, void *message)
{
	weft_err err = try_recv(chan, message);

	if (weft_likely(err == WEFT_OK))
		return WEFT_OK;
	if (err == WEFT_EAGAIN)
		chan_fd_clear(chan);
	return err_set(err);
}

static void queues_close(weft_chan *chan)
{
	/* seq_cst; pairs with the loads of tail by those who have entered a list: before
	 * their nodes are looked for */
	atomic_fetch_or_explicit(&chan->tail, chan->closed_bit, memory_order_seq_cst);
	wait_wake_all(&chan->receivers, &chan->receivers.lock, WEFT_ECLOSED);
	wait_wake_all(&chan->senders, &chan->senders.lock, WEFT_ECLOSED);
	chan_fd_fire(chan);
}

void weft_chan_close(weft_chan *chan)
{
	if (chan->kind == CHAN_RENDEZVOUS)
		rendezvous_close(chan);
	else
		queues_close(chan);
	wait_wake_all(&chan->closers, &chan->closers.lock, WEFT_OK);
}

bool weft_chan_is_closed(const weft_chan *chan)
{
	return chan_is_closed(chan);
}

size_t weft_chan_len(const weft_chan *chan)
{
	if (chan->kind == CHAN_RING)
		return ring_len(chan);
	return chan->kind == CHAN_BLOCKS ? blocks_len(chan) : 0;
}

bool weft_chan_is_empty(const weft_chan *chan)
{
	return weft_chan_len(chan) == 0;
}

bool weft_chan_is_full(const weft_chan *chan)
{
	if (chan->kind == CHAN_RING)
		return ring_is_full(chan);
	return chan->kind == CHAN_RENDEZVOUS;
}

size_t weft_chan_capacity(const weft_chan *chan)
{
	return chan->capacity;
}
