/* SPDX-License-Identifier: MIT */
/*
 * Select: one of several operations, exactly one.
 *
 * A round: try every case; else enter every list, all nodes with one context; look again
 * at what can become ready without a claim; park; leave every list; try again. A round
 * ends in one of four ways:
 *
 *   claimed by a rendezvous partner, a token, a close of a rendezvous:	that case is done
 *   claimed by a channel with room: that case is done, or it is a wake, that is: try again;
 *	when the wake is not used (another case was done) it is passed on
 *   claimed by an object of select.h: a wake, too
 *   claimed by itself (a case was ready after entering, time-out, cancellation):	nobody
 *	else can claim it now; on time-out and cancellation nothing was done
 *
 * Nothing is done while nodes are queued, except by a claim: so never two cases.
 *
 * Rendezvous: the search for a partner and the entering must be one step, or two selects
 * might miss each other. All rendezvous channels of a select are locked for it, in the
 * order of their addresses. The searcher is in no list then, so that it can't meet
 * itself, and nobody can claim it while it claims another.
 */
#include "sync/select.h"
#include "base/err.h"
#include "rt/token.h"
#include "sync/chan.h"

#include <weft/sim.h>

#define CHUNK 16 /* nodes in one frame: most selects need one, and frames are bounded */
#define CHUNKS_MAX (WEFT_SELECT_CASES_MAX / CHUNK)

struct select_node {
	struct wait_node wait;
	struct rt_token_node token;
};

struct selection {
	struct wait_ctx ctx;
	weft_select_case *cases;
	size_t count;
	weft_select_mode mode;
	size_t *chosen;
	weft_deadline until;
	weft_deadline timer_at; /* the first timer */
	struct select_node *chunks[CHUNKS_MAX];
	size_t locks_count;
	uint8_t order[WEFT_SELECT_CASES_MAX]; /* in which cases are tried */
	uint8_t locks[WEFT_SELECT_CASES_MAX]; /* cases, one for each rendezvous channel, by
					       * address */
};

/* NULL: a channel, a token or nothing. */
static const struct select_ops *ops_of(const weft_select_case *c)
{
	switch (c->kind) {
	case WEFT_SELECT_ONESHOT:
		return &select_oneshot;
	case WEFT_SELECT_TIMER:
		return &select_timer;
	case WEFT_SELECT_CLOSED:
		return &select_closed;
	case WEFT_SELECT_BROADCAST:
		return &select_broadcast;
	case WEFT_SELECT_WATCH:
		return &select_watch;
	case WEFT_SELECT_NONE:
	case WEFT_SELECT_SEND:
	case WEFT_SELECT_RECV:
	case WEFT_SELECT_CANCELLED:
		break;
	}
	return NULL;
}

static bool is_chan(const weft_select_case *c)
{
	return c->kind == WEFT_SELECT_SEND || c->kind == WEFT_SELECT_RECV;
}

static bool is_rendezvous(const weft_select_case *c)
{
	return is_chan(c) && c->chan->kind == CHAN_RENDEZVOUS;
}

static struct chan_op op_of(const weft_select_case *c)
{
	if (c->kind == WEFT_SELECT_SEND)
		return (struct chan_op){ .send = true, .source = c->message };
	return (struct chan_op){ .send = false, .target = c->message };
}

static struct select_node *node_of(struct selection *s, size_t i)
{
	return &s->chunks[i / CHUNK][i % CHUNK];
}

static const char *case_flaw(const weft_select_case *c)
{
	switch (c->kind) {
	case WEFT_SELECT_NONE:
		return NULL;
	case WEFT_SELECT_SEND:
	case WEFT_SELECT_RECV:
		return c->chan ? NULL : "no channel";
	case WEFT_SELECT_CANCELLED:
		return c->token ? NULL : "no token";
	case WEFT_SELECT_ONESHOT:
	case WEFT_SELECT_TIMER:
	case WEFT_SELECT_CLOSED:
	case WEFT_SELECT_BROADCAST:
	case WEFT_SELECT_WATCH:
		return ops_of(c)->flaw(c);
	}
	return "no such kind";
}

static weft_err cases_check(const weft_select_case *cases, size_t count)
{
	if (count > WEFT_SELECT_CASES_MAX)
		return err_setf(
			WEFT_EINVAL, "select: %zu cases: at most %d", count, WEFT_SELECT_CASES_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *flaw = case_flaw(&cases[i]);

		if (flaw)
			return err_setf(WEFT_EINVAL, "select: case %zu: %s", i, flaw);
	}
	return WEFT_OK;
}

/* Not for secrets: only so that no case is preferred. Simulated runs repeat. */
static uint64_t random_next(void)
{
	static _Thread_local uint64_t state;
	uint64_t x = state;

	if (rt_is_sim())
		return weft_sim_random() | 1;
	if (x == 0)
		x = (uint64_t)(uintptr_t)&state * 0x9e3779b97f4a7c15 | 1;
	/* xorshift64 */
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	state = x;
	return x;
}

/* Every order is as likely as any other, so that cases which are ready have equal
 * chances, however many others are not. */
static void order_init(struct selection *s)
{
	uint64_t x;

	for (size_t i = 0; i < s->count; i++)
		s->order[i] = (uint8_t)i;
	if (s->mode == WEFT_SELECT_BIASED || s->count < 2)
		return;
	x = random_next();
	for (size_t i = s->count - 1; i > 0; i--) {
		size_t j;
		uint8_t swap = s->order[i];

		x = x * 6364136223846793005 + 1442695040888963407;
		j = (size_t)((x >> 32) * (i + 1) >> 32);
		s->order[i] = s->order[j];
		s->order[j] = swap;
	}
}

static void timers_init(struct selection *s)
{
	s->timer_at = WEFT_FOREVER;
	for (size_t i = 0; i < s->count; i++) {
		if (s->cases[i].kind == WEFT_SELECT_TIMER && s->cases[i].at < s->timer_at)
			s->timer_at = s->cases[i].at;
	}
}

static void locks_init(struct selection *s)
{
	s->locks_count = 0;
	for (size_t i = 0; i < s->count; i++) {
		uintptr_t address = (uintptr_t)s->cases[i].chan;
		size_t at = s->locks_count;

		if (!is_rendezvous(&s->cases[i]))
			continue;
		while (at > 0 && (uintptr_t)s->cases[s->locks[at - 1]].chan > address)
			at--;
		if (at > 0 && (uintptr_t)s->cases[s->locks[at - 1]].chan == address)
			continue;
		memmove(&s->locks[at + 1], &s->locks[at], s->locks_count - at);
		s->locks[at] = (uint8_t)i;
		s->locks_count++;
	}
}

/* One case, without waiting. WEFT_EAGAIN: not ready. */
static weft_err case_try(const weft_select_case *c)
{
	struct chan_op op;

	switch (c->kind) {
	case WEFT_SELECT_NONE:
		break;
	case WEFT_SELECT_SEND:
	case WEFT_SELECT_RECV:
		op = op_of(c);
		return chan_try(c->chan, &op);
	case WEFT_SELECT_CANCELLED:
		return weft_cancel_is_cancelled(c->token) ? WEFT_OK : WEFT_EAGAIN;
	case WEFT_SELECT_ONESHOT:
	case WEFT_SELECT_TIMER:
	case WEFT_SELECT_CLOSED:
	case WEFT_SELECT_BROADCAST:
	case WEFT_SELECT_WATCH:
		return ops_of(c)->attempt(c);
	}
	return WEFT_EAGAIN;
}

/* The case is done by this, whatever it means to it. */
static bool is_result(weft_err err)
{
	return err == WEFT_OK || err == WEFT_ECLOSED || err == WEFT_ELAGGED;
}

static weft_err case_done(struct selection *s, size_t i, weft_err result)
{
	s->cases[i].result = result;
	*s->chosen = i;
	return WEFT_OK;
}

/* WEFT_OK: a case is done; WEFT_EAGAIN: none is ready; WEFT_ENOMEM. */
static weft_err all_try(struct selection *s)
{
	for (size_t k = 0; k < s->count; k++) {
		size_t i = s->order[k];
		weft_err err = case_try(&s->cases[i]);

		if (is_result(err))
			return case_done(s, i, err);
		if (err != WEFT_EAGAIN)
			return err;
	}
	return WEFT_EAGAIN;
}

static void token_fired(struct rt_token_node *token)
{
	struct select_node *node = container_of(token, struct select_node, token);
	weft_parker *parker = node->wait.ctx->parker;

	if (wait_claim(&node->wait))
		weft_unpark(parker);
}

static void rendezvous_lock(struct selection *s)
{
	for (size_t k = 0; k < s->locks_count; k++)
		rt_lock_acquire(&s->cases[s->locks[k]].chan->receivers.lock);
}

static void rendezvous_unlock(struct selection *s)
{
	for (size_t k = s->locks_count; k > 0; k--)
		rt_lock_release(&s->cases[s->locks[k - 1]].chan->receivers.lock);
}

/* Finds a partner (WEFT_OK, or a channel that is closed), or enters the lists of all
 * rendezvous channels (WEFT_EAGAIN), as one step. */
static weft_err rendezvous_enter(struct selection *s)
{
	weft_parker *partner = NULL;
	weft_err err = WEFT_EAGAIN;

	if (s->locks_count == 0)
		return WEFT_EAGAIN;
	rendezvous_lock(s);
	for (size_t k = 0; k < s->count && err == WEFT_EAGAIN; k++) {
		size_t i = s->order[k];
		struct chan_op op;

		if (!is_rendezvous(&s->cases[i]))
			continue;
		op = op_of(&s->cases[i]);
		err = rendezvous_match_locked(s->cases[i].chan, &op, &partner);
		if (err != WEFT_EAGAIN)
			case_done(s, i, err);
	}
	for (size_t i = 0; i < s->count && err == WEFT_EAGAIN; i++) {
		const weft_select_case *c = &s->cases[i];

		if (is_rendezvous(c))
			wait_push_locked(chan_queue(c->chan, c->kind == WEFT_SELECT_SEND),
				&node_of(s, i)->wait, false);
	}
	rendezvous_unlock(s);
	if (partner)
		weft_unpark(partner);
	return err;
}

/* Enters the other lists. True: one of them may be ready by now. */
static bool others_enter(struct selection *s)
{
	bool ready = false;

	for (size_t i = 0; i < s->count; i++) {
		const weft_select_case *c = &s->cases[i];
		struct select_node *node = node_of(s, i);
		const struct select_ops *ops = ops_of(c);
		bool send = c->kind == WEFT_SELECT_SEND;

		if (is_chan(c) && !is_rendezvous(c)) {
			node->wait.result = WEFT_EAGAIN;
			wait_push(chan_queue(c->chan, send), &node->wait, false);
			ready = ready || chan_is_ready(c->chan, send);
		} else if (ops) {
			ready = ops->enter(c, &node->wait) || ready;
		} else if (c->kind == WEFT_SELECT_CANCELLED) {
			ready = !rt_token_add(c->token, &node->token) || ready;
		}
	}
	return ready;
}

/* Leaves every list. Each lock is taken, so that whoever claimed is done with the nodes
 * and with the messages. */
static void all_leave(struct selection *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const weft_select_case *c = &s->cases[i];
		struct select_node *node = node_of(s, i);

		if (is_rendezvous(c)) {
			rt_lock_acquire(&c->chan->receivers.lock);
			wait_remove_locked(
				chan_queue(c->chan, c->kind == WEFT_SELECT_SEND), &node->wait);
			rt_lock_release(&c->chan->receivers.lock);
		} else if (is_chan(c)) {
			wait_remove(chan_queue(c->chan, c->kind == WEFT_SELECT_SEND), &node->wait);
		} else if (ops_of(c)) {
			ops_of(c)->leave(c, &node->wait);
		} else if (c->kind == WEFT_SELECT_CANCELLED) {
			rt_token_remove(c->token, &node->token);
		}
	}
}

/* After a claim through case i, which is either done or a wake to try again. */
static weft_err claimed(struct selection *s, size_t i)
{
	weft_select_case *c = &s->cases[i];
	weft_err err;

	if (is_rendezvous(c))
		return case_done(s, i, node_of(s, i)->wait.result);
	if (c->kind == WEFT_SELECT_CANCELLED)
		return case_done(s, i, WEFT_OK);
	if (is_chan(c) && node_of(s, i)->wait.result == WEFT_OK)
		return case_done(s, i, WEFT_OK);
	if (s->mode == WEFT_SELECT_FAIR) {
		err = case_try(c);
		if (is_result(err))
			return case_done(s, i, err);
	}
	err = all_try(s);
	if (err != WEFT_EAGAIN && (err != WEFT_OK || *s->chosen != i)) {
		const struct select_ops *ops = ops_of(c);

		if (is_chan(c))
			chan_pass_on(c->chan, c->kind == WEFT_SELECT_SEND);
		else if (ops && ops->pass_on)
			ops->pass_on(c);
	}
	return err;
}

static weft_err round_run(struct selection *s)
{
	weft_err err, park = WEFT_OK;
	uint32_t state;
	bool ready;

	/* relaxed: nobody knows the nodes between rounds */
	atomic_store_explicit(&s->ctx.state, WAIT_OPEN, memory_order_relaxed);
	err = rendezvous_enter(s);
	if (err != WEFT_EAGAIN)
		return WEFT_OK;
	ready = others_enter(s);
	if (!ready)
		park = wait_park(
			&s->ctx, s->timer_at < s->until ? s->timer_at : s->until, "select");
	/* a timer is a case like others, to be tried */
	if (park == WEFT_ETIMEDOUT && s->timer_at <= s->until && s->timer_at != WEFT_FOREVER)
		park = WEFT_OK;
	if (wait_claim_self(&s->ctx, &state)) {
		all_leave(s);
		return park == WEFT_OK ? all_try(s) : park;
	}
	all_leave(s);
	err = claimed(s, state - WAIT_FIRST);
	return err == WEFT_EAGAIN && park != WEFT_OK ? park : err;
}

/* Makes nodes for the cases from first on, a frame of them at a time, then runs rounds. */
static __attribute__((noinline)) weft_err nodes_make(struct selection *s, size_t first)
{
	struct select_node nodes[CHUNK];
	weft_err err;

	s->chunks[first / CHUNK] = nodes;
	for (size_t i = first; i < s->count && i < first + CHUNK; i++) {
		struct select_node *node = node_of(s, i);

		wait_node_init(&node->wait, &s->ctx, WAIT_FIRST + (uint32_t)i);
		node->wait.source = s->cases[i].message;
		node->wait.target = s->cases[i].message;
		list_init(&node->token.link);
		node->token.fn = token_fired;
	}
	if (s->count > first + CHUNK) {
		err = nodes_make(s, first + CHUNK);
	} else {
		do
			err = round_run(s);
		while (err == WEFT_EAGAIN);
	}
	s->chunks[first / CHUNK] = NULL;
	return err;
}

weft_err weft_select(weft_select_case *cases, size_t count, weft_select_mode mode, size_t *chosen,
	weft_deadline until)
{
	struct selection s = {
		.cases = cases, .count = count, .mode = mode, .chosen = chosen, .until = until
	};
	weft_err err = cases_check(cases, count);

	if (err != WEFT_OK)
		return err;
	order_init(&s);
	err = all_try(&s);
	if (err == WEFT_OK && until > WEFT_NOW)
		rt_take_turns(RT_COST_MESSAGE);
	if (err == WEFT_EAGAIN && until <= WEFT_NOW)
		err = WEFT_ETIMEDOUT;
	if (err != WEFT_EAGAIN)
		return err == WEFT_OK ? WEFT_OK : err_set(err);
	if (wait_ctx_init(&s.ctx) != WEFT_OK)
		return WEFT_ENOMEM;
	timers_init(&s);
	locks_init(&s);
	err = nodes_make(&s, 0);
	return err == WEFT_OK ? WEFT_OK : err_set(err);
}
