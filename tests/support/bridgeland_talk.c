/* SPDX-License-Identifier: MIT */
/* See bridgeland.h: clients over a transport, such as weft's own client of MCP. */
#include "support/bridgeland.h"

#include <stdlib.h>
#include <string.h>

#define SEND_PATIENCE (60 * LAND_SECOND)

struct talk {
	struct land_session *s;
	weft_transport *t;
	char *text; /* what is said next */
	bool has_ended, is_slow;
};

/* What was not sent will not be answered. */
static weft_err say(struct talk *talk)
{
	weft_message m;
	weft_err err = weft_message_copy(&m, NULL, talk->text, strlen(talk->text), NULL);

	return err ? err : weft_transport_send_own(talk->t, &m, weft_after_ns(SEND_PATIENCE));
}

static void say_text(struct talk *talk, const char *text)
{
	strcpy(talk->text, text);
	(void)!say(talk);
}

static void take(struct talk *talk, const weft_message *m)
{
	unsigned times;

	(void)land_hear(talk->s, &m->rpc, LAND_ASKS_MAX);
	if (m->rpc.kind != WEFT_JSONRPC_REQUEST)
		return;
	for (times = (unsigned)land_below(3); times > 0; times--) {
		land_reply(talk->s, m->rpc.id, talk->text);
		(void)!say(talk);
	}
}

/* What comes until then. */
static void hear(struct talk *talk, weft_deadline until)
{
	unsigned failures = 0;

	while (!talk->has_ended) {
		weft_message m;
		weft_err err = weft_transport_receive(talk->t, &m, until);

		if (!err) {
			take(talk, &m);
			weft_message_fini(&m);
			if (talk->is_slow)
				both_sleep_ns((int64_t)land_below(LAND_SECOND));
			continue;
		}
		if (err == WEFT_ETIMEDOUT)
			return;
		/* of this call; or again and again, if the session has ended by it */
		if (err == WEFT_ENOMEM && ++failures < 50)
			continue;
		talk->has_ended = true;
	}
}

static void ask(struct talk *talk)
{
	unsigned ask = land_ask(talk->s, talk->text);

	if (say(talk))
		land_fail(talk->s, ask);
}

static void cancel(struct talk *talk, unsigned ask)
{
	hear(talk, WEFT_NOW); /* what is there already comes first */
	if (talk->has_ended || talk->s->fates[ask] != LAND_FLYING)
		return;
	talk->s->fates[ask] = LAND_CANCELLED;
	land_cancel(talk->s, ask, talk->text);
	(void)!say(talk);
}

static void wait_answers(struct talk *talk)
{
	weft_deadline at_last = land_patience();

	while (!talk->has_ended && land_is_flying(talk->s) && weft_now() < at_last)
		hear(talk, weft_after_ns(LAND_SECOND));
	if (!talk->has_ended && land_is_flying(talk->s)) {
		if (!talk->s->may_be_silent)
			weft_dump(2);
		want(talk->s->may_be_silent);
	}
}

static void converse(struct talk *talk, bool is_calm)
{
	unsigned count = is_calm ? 2 : 1 + (unsigned)land_below(LAND_ASKS_MAX - 2);
	struct land_session *s = talk->s;

	if (!s->is_stateless) {
		ask(talk);
		wait_answers(talk);
		if (s->fates[0] != LAND_ANSWERED && land_below(10) > 0)
			return;
		say_text(talk, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	}
	while (count-- > 0 && !talk->has_ended) {
		ask(talk);
		if (is_calm)
			wait_answers(talk);
		if (land_below(3) == 0)
			hear(talk, weft_after_ns((int64_t)land_below(200 * LAND_MS)));
		if (!is_calm && land_below(6) == 0)
			cancel(talk, (unsigned)land_below(s->asks_len));
	}
	if (!is_calm && land_below(4) == 0)
		return; /* in the middle of it */
	wait_answers(talk);
	hear(talk, weft_after_ns((int64_t)land_below(2 * LAND_SECOND))); /* nothing twice */
}

bool land_talk(struct land_session *s, weft_transport *transport_own, bool is_calm)
{
	struct talk talk = {
		.s = s, .t = transport_own, .is_slow = !is_calm && land_below(6) == 0
	};
	bool is_good;

	land_begin(s);
	talk.text = malloc(LAND_TEXT_SIZE);
	want(talk.text != NULL);
	converse(&talk, is_calm);
	s->is_leaving = true;
	if (land_below(2))
		weft_transport_close(talk.t);
	weft_transport_free(talk.t);
	is_good = land_is_answered(s);
	land_end(s);
	free(talk.text);
	return is_good;
}
