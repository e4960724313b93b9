/* SPDX-License-Identifier: MIT */
/* Plans, bytes, and what errors and answers may be. */
#include "support/httpcheck.h"

#include "support/both.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define EVENTS_MAX 12

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

static uint8_t pattern(const struct ask *ask, bool up, size_t at)
{
	uint64_t x = at + ask->number * UINT64_C(1031) + (up ? 517 : 0);

	return (uint8_t)(x * 31 + x / 251 + x / 65521);
}

void httpcheck_fill(const struct ask *ask, bool up, size_t at, void *data, size_t len)
{
	uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		bytes[i] = pattern(ask, up, at + i);
}

void httpcheck_compare(const struct ask *ask, bool up, size_t at, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		want(bytes[i] == pattern(ask, up, at + i));
}

static size_t at_most(size_t len, size_t max)
{
	return len < max ? len : max;
}

size_t httpcheck_piece(const struct talks *talks)
{
	return 1 + (size_t)below(below(3) ? at_most(talks->piece_max, 300) : talks->piece_max);
}

void httpcheck_dawdle(bool slow)
{
	if (below(4) == 0)
		both_pause();
	if (slow && below(4) == 0)
		both_sleep_ns((int64_t)below(300 * MS));
}

static _Noreturn void unreasonable(const struct ask *ask, const char *who, weft_err err)
{
	char text[640];

	snprintf(text, sizeof(text), "%s of %u (%s, answer %d, up %d): no reason for %s (%s)", who,
		ask->number, ask->method, (int)ask->answer, (int)ask->up, weft_err_name(err),
		weft_error_detail());
	both_failed(__FILE__, __LINE__, text);
}

/* The world gave it a reason. */
static bool world_explains(const struct talks *talks, weft_err err)
{
	if (err == WEFT_ENOMEM)
		return talks->memory_fails;
	return talks->faults &&
		(err == WEFT_ERESET || err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED ||
			err == WEFT_ECAPACITY || err == WEFT_EREFUSED || err == WEFT_EUNREACH);
}

/* ---- plans ---- */

static size_t choose_len(void)
{
	static const size_t most[] = { 1, 100, 100, 3000, 3000, 9000, 60000 };

	return (size_t)below(most[below(sizeof(most) / sizeof(most[0]))]);
}

static void choose_method(struct ask *ask)
{
	static const char *const methods[] = { "GET", "GET", "HEAD", "DELETE", "PUT", "PUT", "POST",
		"POST", "POST", "PATCH", "LOCK" };
	size_t i = (size_t)below(sizeof(methods) / sizeof(methods[0]));

	ask->method = methods[i];
	ask->most = i < 6 ? 2 : 1;
	if (i >= 4)
		ask->up = TALK_UP_BYTES + (enum talk_up)below(3);
}

static void choose_answer(struct ask *ask, bool raw)
{
	ask->answer = (enum talk_answer)below(TALK_ANSWERS);
	if (!strcmp(ask->method, "HEAD"))
		ask->answer = (enum talk_answer)below(TALK_ECHO);
	if (raw && (ask->answer == TALK_UPGRADE || ask->answer == TALK_EVENTS))
		ask->answer = TALK_CHUNKS;
	if (ask->answer == TALK_ECHO && ask->up == TALK_UP_NONE)
		ask->answer = TALK_WHOLE;
	if (ask->answer == TALK_UPGRADE) {
		ask->method = "GET";
		ask->most = 2;
		ask->up = TALK_UP_NONE;
	}
	if (ask->answer == TALK_EVENTS)
		ask->down_len = (size_t)below(EVENTS_MAX);
	else if (ask->answer == TALK_UPGRADE)
		ask->down_len = 1 + (size_t)below(HTTPCHECK_UPGRADE_MAX);
	else
		ask->down_len = choose_len();
}

struct ask *talk_plan(struct talks *talks, bool raw)
{
	struct ask *ask = &talks->asks[talks->asks_len];

	if (talks->asks_len == TALK_ASKS_MAX)
		return NULL;
	*ask = (struct ask){ .number = talks->asks_len++ };
	choose_method(ask);
	choose_answer(ask, raw);
	if (ask->up != TALK_UP_NONE)
		ask->up_len = choose_len();
	if (ask->answer == TALK_ECHO)
		ask->down_len = ask->up_len;
	if (raw || (ask->up > TALK_UP_BYTES && below(2)))
		ask->most = 1;
	/* an echo begins to answer before it asks for the body, so that none comes */
	ask->expects = !raw && ask->up != TALK_UP_NONE && ask->answer != TALK_ECHO && below(4) == 0;
	ask->loose = !talks->strict && below(8) == 0;
	ask->leaves = ask->loose && below(2);
	ask->slow_client = below(8) == 0;
	ask->slow_handler = below(8) == 0;
	return ask;
}

/* ---- judging ---- */

static bool is_explained(const struct talks *talks, const struct ask *ask, weft_err err)
{
	if (err == WEFT_EPROTO || err == WEFT_EINVAL || err == WEFT_EMSGSIZE)
		return false;
	return ask->loose || talks->stops || world_explains(talks, err);
}

weft_err httpcheck_handled_badly(const struct talks *talks, const struct ask *ask, weft_err err)
{
	/* watched, a client that has gone may have ended its stream in order */
	bool gone = err == WEFT_ECLOSED && ask->answer == TALK_EVENTS;

	if (!is_explained(talks, ask, gone ? WEFT_ERESET : err))
		unreasonable(ask, "handler", err);
	return err;
}

void httpcheck_unanswered(const struct talks *talks, const struct ask *ask, weft_err err)
{
	/* a reset may overtake what was sent before it */
	if (ask->answer == TALK_CUT && err == WEFT_ERESET)
		return;
	if (!is_explained(talks, ask, err))
		unreasonable(ask, "no answer", err);
}

void httpcheck_answered(struct talks *talks, const struct ask *ask, weft_err err, size_t len)
{
	if (err != WEFT_ECLOSED) {
		if (ask->answer != TALK_CUT && !is_explained(talks, ask, err))
			unreasonable(ask, "answer", err);
		return;
	}
	want(ask->answer != TALK_CUT);
	want(len == (strcmp(ask->method, "HEAD") ? ask->down_len : 0));
	talks->whole++;
}

bool httpcheck_status(const struct talks *talks, const struct ask *ask, unsigned status)
{
	char text[160];

	if (status == 200 || (status == 101 && ask->answer == TALK_UPGRADE)) {
		want(ask->handled > 0);
		want(ask->answer != TALK_REFUSE);
		return true;
	}
	if (status == 503 && (talks->overloads || talks->stops))
		return false;
	if (status == 500 && (ask->answer == TALK_CUT || ask->answer == TALK_REFUSE))
		return false;
	if ((status == 500 || status == 503) && (talks->memory_fails || talks->stops))
		return false;
	if ((status == 408 || status == 400 || status == 500) && (talks->faults || ask->loose))
		return false;
	snprintf(text, sizeof(text), "no reason for status %u of %u (%s, answer %d, up %d)", status,
		ask->number, ask->method, (int)ask->answer, (int)ask->up);
	both_failed(__FILE__, __LINE__, text);
}
