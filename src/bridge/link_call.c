/* SPDX-License-Identifier: MIT */
/* What a link asks its server itself, and what it does about one that is silent: in its fiber. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/link.h"

#include <stdio.h>
#include <string.h>

#define SPEAKS_MAX ((size_t)256) /* bytes of a list of revisions */
#define SHOWN_MAX ((size_t)64)	 /* bytes of what a server says, in errors */
#define PROBE_TIMEOUT_NS INT64_C(5000000000)

static const weft_json none;

static weft_json json_of(const char *text)
{
	return (weft_json){ text, strlen(text) };
}

/* ---- calls ---- */

static weft_err call_send(
	struct link *link, const struct flight *flight, const char *method, weft_json params)
{
	char digits[WEFT_JSON_INTEGER_SIZE];
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_REQUEST,
		.id = weft_json_of_integer((int64_t)flight->number, digits),
		.method = method,
		.params = params,
	};
	weft_message message = { 0 };
	weft_err err = weft_message_write(&message, link->relay->options.pool, &draft);

	return err ? err : link_send_own(link, &message);
}

static weft_err call_wait(struct link *link, struct link_call *call, weft_deadline until)
{
	while (!word_get(&call->done)) {
		weft_deadline next = until;

		if (word_get(&link->is_lost))
			return err_setf(WEFT_ERESET, "%s", link->lost_text);
		if (link_is_over(link, &next))
			return err_set(WEFT_ECANCELED);
		if (weft_now() >= until)
			return err_setf(WEFT_ETIMEDOUT, "no answer in time");
		link_wait(link, next);
	}
	return WEFT_OK;
}

weft_err link_call(struct link *link, const char *method, weft_json params, weft_message *reply,
	weft_deadline until)
{
	struct link_call call;
	struct flight *flight = mem_calloc(1, sizeof(*flight));
	uint64_t number = counter_add(&link->id_next, 1);
	weft_err err;

	if (!flight)
		return err_set(WEFT_ENOMEM);
	memset((void *)&call, 0, sizeof(call));
	refcount_init(&flight->users, 1);
	flight->kind = FLIGHT_OWN;
	flight->call = &call;
	flight->number = number;
	err = weft_map_insert(link->flights, weft_map_int(number), weft_map_word(flight));
	if (err) {
		flight_drop(link, flight);
		return err;
	}
	err = call_send(link, flight, method, params);
	if (!err)
		err = call_wait(link, &call, until);
	if (err && link_take(link, number, &flight)) {
		flight_drop(link, flight);
		return err_wrap(err, "%s", method);
	}
	while (!word_get(&call.done)) /* the answer is being handed over */
		(void)!weft_park(WEFT_FOREVER);
	weft_message_move(reply, &call.reply);
	if (reply->rpc.kind != WEFT_JSONRPC_NONE)
		return WEFT_OK;
	return err_setf(WEFT_EPROTO, "%s: the answer is no message", method);
}

/* ---- initialize ---- */

static weft_json member(weft_json object, const char *name)
{
	weft_json value;

	return weft_json_get(&value, object, name) ? none : value;
}

/* What the server chose at its first initialize; a copy. False: there was none. */
static bool version_welcomed(struct link *link, char to[LINK_VERSION_MAX])
{
	rt_lock_acquire(&link->lock);
	memcpy(to, link->version, LINK_VERSION_MAX);
	rt_lock_release(&link->lock);
	return to[0] != '\0';
}

/* A session goes on with what it has agreed upon. */
static weft_err welcome_check(struct link *link, const weft_message *reply)
{
	weft_json said = reply->rpc.error_message, version;
	char before[LINK_VERSION_MAX];

	if (reply->rpc.kind != WEFT_JSONRPC_RESPONSE)
		return err_setf(WEFT_EPROTO, "initialize: the server answers with an error: %.*s",
			(int)(said.len < SHOWN_MAX ? said.len : SHOWN_MAX), said.text);
	version = member(reply->rpc.result, "protocolVersion");
	if (version_welcomed(link, before) &&
		(version.len != strlen(before) || memcmp(version.text, before, version.len) != 0))
		relay_tell(link->relay, link->only, WEFT_LOG_WARN, WEFT_OK,
			"server \"%s\" speaks %.*s now, and spoke %s before", link->relay->name,
			(int)(version.len < SHOWN_MAX ? version.len : SHOWN_MAX),
			version.text ? version.text : "", before);
	return WEFT_OK;
}

weft_err link_initialize_again(struct link *link, weft_deadline until)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_NOTIFICATION,
		.method = "notifications/initialized",
	};
	/* nobody else changes it: there is no server that could answer an initialize */
	weft_json params = { link->params_len ? link->params : NULL, link->params_len };
	weft_message reply = { 0 }, initialized = { 0 };
	weft_err err = link_call(link, "initialize", params, &reply, until);

	if (err)
		return err;
	err = welcome_check(link, &reply);
	weft_message_fini(&reply);
	if (err || !word_get(&link->initialized))
		return err;
	err = weft_message_write(&initialized, link->relay->options.pool, &draft);
	return err ? err : link_send_own(link, &initialized);
}

/* ---- eras ---- */

static bool is_modern_in(weft_json versions)
{
	weft_json_iter iter = weft_json_iter_of(versions);
	size_t size = strlen(LINK_MODERN), len;
	const char *text;
	weft_json value;

	while (!weft_json_next(&iter, NULL, &value)) {
		if (!weft_json_string_view(value, &text, &len) && len == size &&
			memcmp(text, LINK_MODERN, size) >= 0)
			return true;
	}
	return false;
}

static bool speaks_set(struct link *link, weft_json list)
{
	mem_free(link->speaks);
	link->speaks = list.len <= SPEAKS_MAX ? mem_strndup(list.text, list.len) : NULL;
	return link->speaks != NULL;
}

/* What the answer to server/discover tells. */
static enum link_era era_of(struct link *link, const weft_message *reply)
{
	weft_json versions;
	int64_t code = 0;

	if (reply->rpc.kind == WEFT_JSONRPC_RESPONSE)
		return is_modern_in(member(reply->rpc.result, "supportedVersions"))
			? LINK_ERA_MODERN
			: LINK_ERA_UNKNOWN;
	if (weft_json_integer(reply->rpc.error_code, &code))
		return LINK_ERA_UNKNOWN;
	if (code == LINK_HEADER_MISMATCH || code == LINK_CAPABILITY_MISSING)
		return LINK_ERA_MODERN;
	if (code != LINK_VERSION_UNSUPPORTED)
		return LINK_ERA_UNKNOWN;
	versions = member(reply->rpc.error_data, "supported");
	if (is_modern_in(versions))
		return LINK_ERA_MODERN; /* it will say itself what it wants */
	return weft_json_type_of(versions) == WEFT_JSON_ARRAY && speaks_set(link, versions)
		? LINK_ERA_OLD
		: LINK_ERA_UNKNOWN;
}

/* An old server tells what it speaks when it is initialized: for that, by the link itself. A
 * client's session must not begin with a server that was. WEFT_EPROTO: it refuses; as link_call. */
static weft_err learn_by_initialize(struct link *link)
{
	static const char params[] =
		"{\"protocolVersion\":\"" LINK_OLD "\",\"capabilities\":{},"
		"\"clientInfo\":{\"name\":\"weft\",\"version\":\"" WEFT_VERSION "\"}}";
	weft_message reply = { 0 };
	weft_json version;
	char list[SPEAKS_MAX];
	weft_err err;

	(void)word_swap(&link->is_tainted, 1);
	err = link_call(link, "initialize", json_of(params), &reply,
		weft_after_ns(link->relay->options.connect_timeout_ns));
	if (err)
		return err;
	version = member(reply.rpc.result, "protocolVersion");
	if (version.len > 0 && version.len < LINK_VERSION_MAX) {
		(void)snprintf(list, sizeof(list), "[%.*s]", (int)version.len, version.text);
		err = speaks_set(link, json_of(list)) ? WEFT_OK : err_set(WEFT_ENOMEM);
	} else {
		err = err_set(WEFT_EPROTO);
	}
	weft_message_fini(&reply);
	return err;
}

/* From the client's session. False: it has none. */
static bool learn_by_welcome(struct link *link)
{
	char version[LINK_VERSION_MAX], list[LINK_VERSION_MAX + 2];

	if (!version_welcomed(link, version))
		return false;
	(void)snprintf(list, sizeof(list), "[%s]", version);
	return speaks_set(link, json_of(list));
}

static enum link_era discover(struct link *link)
{
	static const char params[] =
		"{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" LINK_MODERN "\","
		"\"io.modelcontextprotocol/clientCapabilities\":{},"
		"\"io.modelcontextprotocol/clientInfo\":{\"name\":\"weft\",\"version\":\"" WEFT_VERSION
		"\"}}}";
	int64_t timeout_ns = link->relay->options.connect_timeout_ns;
	enum link_era era;
	weft_message reply = { 0 };

	if (timeout_ns > PROBE_TIMEOUT_NS)
		timeout_ns = PROBE_TIMEOUT_NS;
	if (link_call(link, "server/discover", json_of(params), &reply, weft_after_ns(timeout_ns)))
		return LINK_ERA_UNKNOWN;
	era = era_of(link, &reply);
	weft_message_fini(&reply);
	return era;
}

/* Who waits is told; who comes later asks again. */
static void give_up_era(struct link *link)
{
	link_why_set(link, WEFT_ETIMEDOUT, "it answers neither server/discover nor initialize");
	link_unwant(link, LINK_WANT_ERA);
	(void)word_swap(&link->rounds, word_get(&link->rounds) + 1);
	link_announce(link);
}

/* Of a server that does not know server/discover. */
static enum link_era era_by_initialize(struct link *link)
{
	weft_err err = learn_by_welcome(link) ? WEFT_OK : learn_by_initialize(link);
	enum link_era era = LINK_ERA_UNKNOWN;

	if (!err)
		return LINK_ERA_OLD;
	if (err == WEFT_ETIMEDOUT)
		give_up_era(link);
	if (err != WEFT_EPROTO)
		return LINK_ERA_UNKNOWN;
	era = discover(link);
	if (era == LINK_ERA_UNKNOWN && !word_get(&link->is_lost) && speaks_set(link, json_of("[]")))
		era = LINK_ERA_OLD;
	return era;
}

/*
 * One question, once: a server that is killed by it is none that knows it. A server that does not know
 * it may be in any state then: if no session has begun, it is to be another that is asked what it speaks.
 * One that knows no initialize either was perhaps only slow to begin: it is asked once more.
 */
void link_probe(struct link *link)
{
	enum link_era era = LINK_ERA_UNKNOWN;

	if (!link->is_probed) {
		link->is_probed = true;
		era = discover(link);
		if (era == LINK_ERA_UNKNOWN && learn_by_welcome(link))
			era = LINK_ERA_OLD;
		if (era == LINK_ERA_UNKNOWN) {
			(void)word_swap(&link->is_tainted, 1);
			link_want(link, LINK_WANT_RESTART);
			return;
		}
	} else {
		era = era_by_initialize(link);
	}
	if (era == LINK_ERA_UNKNOWN)
		return; /* lost meanwhile, or without memory: tried again */
	(void)word_swap(&link->era, (uint32_t)era);
	link_announce(link);
}

/* ---- silence ---- */

struct silence {
	int64_t now, heard_at, timeout_ns;
	int64_t next; /* the earliest end of one's patience */
	bool is_owed;
};

static bool is_overdue(const struct flight *flight, void *arg)
{
	struct silence *s = arg;
	int64_t at = (flight->since > s->heard_at ? flight->since : s->heard_at) + s->timeout_ns;

	if (flight->kind == FLIGHT_LISTEN)
		return false;
	if (at <= s->now)
		return true;
	s->is_owed = true;
	if (at < s->next)
		s->next = at;
	return false;
}

/* Its client has an error; the server need not go on. */
static void give_up(struct link *link, struct flight *flight, void *arg)
{
	char digits[WEFT_JSON_INTEGER_SIZE], text[LINK_TEXT_MAX];
	struct silence *s = arg;
	weft_message message = { 0 };

	(void)snprintf(text, sizeof(text), "server \"%s\" was silent for %lld ms",
		link->relay->name, (long long)(s->timeout_ns / 1000000));
	relay_tell(link->relay, flight->session, WEFT_LOG_WARN, WEFT_ETIMEDOUT, "%s", text);
	flight_refuse(flight, LINK_SERVER_LOST, none, text);
	if (!say_cancelled(link->relay, &message,
		    weft_json_of_integer((int64_t)flight->number, digits), "time-out"))
		(void)!link_send_own(link, &message);
	flight_drop(link, flight);
}

void link_silence(struct link *link, weft_deadline *next)
{
	struct silence s = { .timeout_ns = link->relay->options.read_timeout_ns };

	if (s.timeout_ns == 0)
		return;
	for (;;) {
		s.now = weft_now();
		s.heard_at = (int64_t)counter_get(&link->heard_at);
		s.next = WEFT_FOREVER;
		link_sweep(link, NULL, is_overdue, give_up, &s);
		if (s.is_owed || !word_get(&link->is_timed))
			break;
		(void)word_swap(&link->is_timed, 0); /* and look again: see launch */
	}
	if (!s.is_owed)
		return;
	(void)word_swap(&link->is_timed, 1);
	if (s.next < *next)
		*next = s.next;
}
