/* SPDX-License-Identifier: MIT */
/*
 * The life of a link's servers, in its fiber:
 *
 *	start -> watch -> lost: answer what was in flight -> (wait) -> start ...
 *	  |        |
 *	  |	   over, or a fresh one is wanted
 *	  in vain, starts_max times in a row, and as long as one that was there before may take to
 *	  come back: who waits is told why; a session of its own ends, a shared link rests until
 *	  somebody wants a server again
 */
#include "base/check.h"
#include "base/err.h"
#include "bridge/link.h"
#include "bridge/transport.h"

#include <stdio.h>
#include <string.h>

#define LASTED_NS INT64_C(10000000000) /* a server that was there so long did not start in vain */
#define PLACE_NS INT64_C(1000000000)   /* that a link waits where as many servers run as may */
#define PLACE_STEP_NS INT64_C(1000000) /* between its first two looks; twice as long each time */

#define AGAIN_NS INT64_C(10000000) /* what was in vain for want of memory */

static const weft_json none;

enum watched { WATCHED_OVER, WATCHED_LOST, WATCHED_RESTART };

/* ---- waiting ---- */

bool link_is_over(struct link *link, weft_deadline *next)
{
	if (link->only)
		return session_is_due(link->only, next);
	return link->is_cancelled || word_get(&link->closing);
}

static bool is_over_now(struct link *link)
{
	weft_deadline next = WEFT_FOREVER;

	return link_is_over(link, &next);
}

void link_wait(struct link *link, weft_deadline until)
{
	if (weft_park(until) != WEFT_ECANCELED)
		return;
	link->is_cancelled = true;
	if (link->only)
		link->only->is_cancelled = true;
}

/* Not before that time, unless it is over. */
static void rest(struct link *link, weft_deadline until)
{
	for (;;) {
		weft_deadline next = until;

		if (link_is_over(link, &next) || weft_now() >= until)
			return;
		link_wait(link, next);
	}
}

void link_unwant(struct link *link, uint32_t wants)
{
	uint32_t now;

	do
		now = word_get(&link->wants);
	while (!word_change(&link->wants, now, now & ~wants));
}

/* ---- servers ---- */

static struct counter *children_of(struct relay *relay)
{
	return relay->options.children ? relay->options.children : &relay->children;
}

/* The server of a session that has just ended has its place until it has gone, and its client may
 * come again before that: hence not refused at once. */
static bool take_place(struct link *link)
{
	struct relay *relay = link->relay;
	weft_deadline until = weft_after_ns(PLACE_NS);
	int64_t step = PLACE_STEP_NS;

	while (!counter_try_add(children_of(relay), 1, relay->options.children_max)) {
		if (weft_now() >= until || is_over_now(link))
			return false;
		rest(link, weft_after_ns(step));
		if (step < PLACE_NS / 8)
			step *= 2;
	}
	return true;
}

static weft_err connect_server(struct link *link, weft_deadline until)
{
	struct relay *relay = link->relay;
	struct counter *children = children_of(relay);
	weft_err err;

	if (!take_place(link))
		return err_setf(
			WEFT_ECAPACITY, "%zu servers run already", relay->options.children_max);
	err = weft_outgoing_connect(relay->options.outgoing, &link->server, until);
	if (err) {
		(void)counter_sub(children, 1);
		return err;
	}
	transport_set_grown_max(link->server, LINK_GROWN_MAX);
	(void)counter_add(&relay->counts->servers, 1);
	(void)counter_add(&relay->counts->servers_now, 1);
	if (link->was_started)
		(void)counter_add(&relay->counts->restarts, 1);
	link->was_started = true;
	return WEFT_OK;
}

static void free_server(struct link *link)
{
	struct relay *relay = link->relay;

	if (!link->server)
		return;
	weft_transport_free(link->server);
	link->server = NULL;
	(void)counter_sub(&relay->counts->servers_now, 1);
	(void)counter_sub(children_of(relay), 1);
}

void link_shut(struct link *link)
{
	if (link->is_up)
		(void)word64_add(&link->gate, -LINK_UP);
	link->is_up = false;
	if (link->server)
		weft_transport_close(link->server);
}

static void lose(struct link *link, struct flight *flight, void *arg)
{
	const char *reason = arg;

	if (reason)
		flight_refuse(flight, LINK_SERVER_LOST, none, reason);
	flight_drop(link, flight);
}

void link_drop(struct link *link, const char *reason)
{
	CHECK(!link->is_up);
	weft_shield_begin();
	while (word64_get(&link->gate) != 0)
		(void)!weft_park(WEFT_FOREVER);
	link_sweep(link, NULL, NULL, lose, (void *)(uintptr_t)reason);
	link_questions_forget(link, reason != NULL);
	free_server(link);
	link_questions_forget(link, reason != NULL); /* what it asked while it was closed */
	weft_shield_end();
}

static weft_err start(struct link *link)
{
	weft_deadline until = weft_after_ns(link->relay->options.connect_timeout_ns);
	weft_err err = connect_server(link, until);

	if (err) {
		link_why_set(link, err, NULL);
		return err;
	}
	link->started_at = weft_now();
	word_put(&link->is_lost, 0);
	word_put(&link->is_stale, 0);
	word_put(&link->has_answered, 0);
	counter_set(&link->heard_at, (uint64_t)link->started_at);
	err = weft_transport_start(link->server, &link_server_sink, link);
	if (!err && link->params) {
		err = link_initialize_again(link, until);
		word_put(&link->has_answered, 0); /* that was not it */
	}
	if (err) {
		link_why_set(link, err, NULL);
		link_shut(link);
		link_drop(link, "");
		return err;
	}
	word_put(&link->is_tainted, 0);
	link->is_up = true;
	(void)word64_add(&link->gate, LINK_UP);
	link_announce(link);
	relay_tell(link->relay, link->only, WEFT_LOG_DEBUG, WEFT_OK, "server \"%s\" is there: %s",
		link->relay->name, weft_transport_name(link->server));
	return WEFT_OK;
}

static enum watched watch(struct link *link)
{
	for (;;) {
		weft_deadline next = WEFT_FOREVER;
		uint32_t wants;

		/* first: it sends, and a wake that comes meanwhile is gone when that returns */
		if (!word_get(&link->is_lost))
			link_silence(link, &next);
		wants = word_get(&link->wants);
		if (link_is_over(link, &next))
			return WATCHED_OVER;
		if (word_get(&link->is_lost))
			return WATCHED_LOST;
		if ((wants & LINK_WANT_RESTART) && word_get(&link->is_tainted))
			return WATCHED_RESTART;
		if ((wants & LINK_WANT_ERA) && word_get(&link->era) == LINK_ERA_UNKNOWN) {
			link_probe(link);
			if (!word_get(&link->era) && !link_is_over(link, &next))
				link_wait(link, weft_after_ns(AGAIN_NS));
			continue;
		}
		link_wait(link, next);
	}
}

/* ---- failures ---- */

/* Trying again would not help. */
static bool is_final(weft_err err)
{
	return err == WEFT_ESPAWN || err == WEFT_EINVAL || err == WEFT_EACCESS ||
		err == WEFT_EAUTH || err == WEFT_ENOSYS || err == WEFT_ECAPACITY ||
		err == WEFT_ENOTFOUND;
}

/* The one session is told why, at its next request, and ends. */
static void die(struct link *link, weft_err err)
{
	weft_deadline until = weft_after_ns(link->relay->options.connect_timeout_ns);

	(void)word_swap(&link->is_dead, 1);
	link_announce(link);
	for (;;) {
		weft_deadline next = until;

		if (link_is_over(link, &next))
			return;
		if (word_get(&link->told) || weft_now() >= until)
			break;
		link_wait(link, next);
	}
	session_fail(link->only, err, link->why);
}

/* One that was there, and is started again by others, is waited for as long as requests wait. */
static bool may_come_back(const struct link *link)
{
	return word_get(&link->was_reached) &&
		weft_now() - link->failing_since < link->relay->options.connect_timeout_ns;
}

/* Why is set. */
static void in_vain(struct link *link, weft_err err)
{
	if (link->failures++ == 0)
		link->failing_since = weft_now();
	/* that there are enough already is no fault of the server's */
	if (err != WEFT_ECAPACITY)
		counts_failing(link->relay->counts);
	if (!is_final(err) &&
		(link->failures < link->relay->options.starts_max || may_come_back(link))) {
		rest(link, weft_after_ns(backoff_next(&link->backoff)));
		return;
	}
	relay_tell(link->relay, link->only,
		link->relay->options.caller_tells ? WEFT_LOG_INFO : WEFT_LOG_WARN, err,
		"server \"%s\" does not start: %s", link->relay->name, link->why);
	if (link->only) {
		die(link, err);
		return;
	}
	link->failures = 0;
	link_unwant(link, LINK_WANT_SERVER);
	(void)word_swap(&link->rounds, word_get(&link->rounds) + 1);
	link_announce(link);
	rest(link, weft_after_ns(backoff_next(&link->backoff)));
}

static void lost(struct link *link)
{
	struct relay *relay = link->relay;
	bool has_lasted =
		word_get(&link->has_answered) || weft_now() - link->started_at >= LASTED_NS;
	char reason[2 * LINK_TEXT_MAX];
	/* in order, or not: it was wanted */
	weft_err err = link->lost_err != WEFT_ECLOSED ? link->lost_err : WEFT_ERESET;

	(void)counter_add(&relay->counts->lost, 1);
	(void)snprintf(reason, sizeof(reason),
		"server \"%s\" was lost while this was in flight: %s", relay->name,
		link->lost_text);
	relay_tell(relay, link->only, WEFT_LOG_WARN, err, "server \"%s\" was lost: %s", relay->name,
		link->lost_text);
	link_why_set(link, err, link->lost_text);
	link_drop(link, reason);
	if (counter_get(&relay->sessions_now))
		link_want(link, LINK_WANT_SERVER);
	if (!has_lasted) {
		in_vain(link, err);
		return;
	}
	link->failures = 0;
	backoff_reset(&link->backoff);
	rest(link, weft_after_ns(backoff_next(&link->backoff)));
}

/* ---- the fiber ---- */

static bool is_wanted(struct link *link)
{
	return link->only || (word_get(&link->wants) & LINK_WANT_SERVER);
}

void link_run(struct link *link)
{
	bell_set(&link->bell, weft_parker_self());
	while (!is_over_now(link)) {
		enum watched watched;
		weft_err err;

		if (!is_wanted(link)) {
			link_wait(link, WEFT_FOREVER);
			continue;
		}
		err = start(link);
		if (err == WEFT_ECANCELED)
			link_wait(link, WEFT_NOW);
		else if (err)
			in_vain(link, err);
		if (err)
			continue;
		watched = watch(link);
		if (watched == WATCHED_OVER)
			break;
		link_shut(link);
		if (watched == WATCHED_LOST) {
			lost(link);
			continue;
		}
		link_unwant(link, LINK_WANT_RESTART);
		link_drop(link, "the server was started again");
	}
}
