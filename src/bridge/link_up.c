/* SPDX-License-Identifier: MIT */
/* From a client to its server: in the client's fibers, several at once where it comes over HTTP. */
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/link.h"
#include "bridge/message.h"

#include <stdio.h>
#include <string.h>

static const weft_json none;

/* ---- flights begin ---- */

static bool is_token(weft_json value)
{
	weft_json_type type = weft_json_type_of(value);

	return type == WEFT_JSON_NUMBER || type == WEFT_JSON_STRING;
}

/* A flight for a request, not yet in the map. NULL: the client has its answer. */
static struct flight *board(struct relay_session *session, const weft_message *message)
{
	const weft_jsonrpc *rpc = &message->rpc;
	weft_json id = rpc->id,
		  token = is_token(rpc->meta_progress_token) ? rpc->meta_progress_token : none;
	struct flight *flight;

	if (id.len > LINK_ID_MAX || token.len > LINK_ID_MAX) {
		counts_answered(session->relay->counts, 0);
		session_refuse(session, id.len > LINK_ID_MAX ? none : id,
			WEFT_JSONRPC_INVALID_REQUEST, none,
			"an id and a progress token have at most %zu bytes", LINK_ID_MAX);
		return NULL;
	}
	if (!session_enter(session)) {
		counts_answered(session->relay->counts, 0);
		session_refuse(session, id, LINK_SERVER_LOST, none,
			"%zu requests of this session are in flight already",
			session->relay->options.requests_max);
		return NULL;
	}
	flight = mem_alloc(sizeof(*flight) + id.len + token.len);
	if (!flight) {
		counts_answered(session->relay->counts, 0);
		session_refuse(session, id, WEFT_JSONRPC_INTERNAL_ERROR, none, "out of memory");
		session_leave(session);
		return NULL;
	}
	memset((void *)flight, 0, sizeof(*flight));
	refcount_init(&flight->users, 1);
	flight->session = session;
	flight->came_at = weft_now();
	flight->number = counter_add(&session->link->id_next, 1);
	memcpy(flight->text, id.text, id.len);
	flight->id = (weft_json){ flight->text, id.len };
	if (token.len) {
		memcpy(flight->text + id.len, token.text, token.len);
		flight->token = (weft_json){ flight->text + id.len, token.len };
	}
	return flight;
}

/* The server's side of the ids. */
static weft_err renumber(const struct flight *flight, weft_message *message)
{
	char digits[WEFT_JSON_INTEGER_SIZE];
	weft_json number = weft_json_of_integer((int64_t)flight->number, digits);
	weft_json_edit edits[2] = { { message->rpc.id, number }, { none, number } };

	if (flight->token.len)
		edits[1].old = message->rpc.meta_progress_token;
	if (link_same_text(edits[0].old, number) &&
		(!flight->token.len || link_same_text(edits[1].old, number)))
		return WEFT_OK;
	return weft_message_edit(message, flight->session->relay->options.pool, edits, 2);
}

/* It has not left, or can't be answered: the caller has it alone. */
static void crash(struct link *link, struct flight *flight)
{
	char text[2 * LINK_TEXT_MAX];

	(void)snprintf(
		text, sizeof(text), "server \"%s\": %s", link->relay->name, weft_error_detail());
	flight_refuse(flight, LINK_SERVER_LOST, none, text);
	flight_drop(link, flight);
	if (word_get(&link->is_dead)) {
		word_put(&link->told, 1);
		bell_ring(&link->bell);
	}
}

static void count_request(struct relay *relay)
{
	(void)counter_add(&counts_cell(relay->counts)->sent, 1);
}

/*
 * Waits for something, with the flight where its client's cancellation finds it; and its session, whose
 * end waits for this fiber, is not looked at through it meanwhile. False: it has its answer.
 */
static bool await(struct link *link, struct flight *flight, bool (*is_so)(struct link *link),
	uint32_t wants, weft_deadline until)
{
	uint64_t number = flight->number | LINK_WAITING;
	weft_err err = weft_map_insert(link->flights, weft_map_int(number), weft_map_word(flight));

	if (err) {
		crash(link, flight);
		return false;
	}
	err = link_await(link, flight->session, is_so, wants, until);
	if (!link_take(link, number, &flight)) {
		if (!err && is_so == link_enter)
			link_leave(link);
		return false;
	}
	if (err)
		crash(link, flight);
	return !err;
}

/* From here on the flight is its own: its answer may be there before this returns. */
static void launch(struct link *link, struct flight *flight, weft_message *message)
{
	struct relay *relay = link->relay;
	uint64_t number = flight->number;
	bool is_flying = false;
	weft_err err = renumber(flight, message);

	if (err) {
		crash(link, flight);
		return;
	}
	if (weft_unlikely(!link_enter(link)) &&
		!await(link, flight, link_enter, LINK_WANT_SERVER,
			weft_after_ns(relay->options.connect_timeout_ns)))
		return;
	if (relay->options.read_timeout_ns)
		flight->since = weft_now();
	err = weft_map_insert(link->flights, weft_map_int(number), weft_map_word(flight));
	if (!err) {
		is_flying = true;
		/* a read-modify-write: either the link's fiber, which looks at the flights after it
		 * has put is_timed to 0, finds this one, or it is rung */
		if (relay->options.read_timeout_ns && !word_set_bits(&link->is_timed, 0))
			bell_ring(&link->bell);
		count_request(relay);
		err = link_send_own(link, message);
	}
	link_leave(link);
	/* a transport that is over will say so, and why: the sweep then tells that, which is more
	 * than a broken pipe */
	if (is_flying && (err == WEFT_ERESET || err == WEFT_ECLOSED))
		return;
	if (err && (!is_flying || link_take(link, number, &flight)))
		crash(link, flight);
}

/* ---- eras, and initialize ---- */

static bool is_era_known(struct link *link)
{
	return word_get(&link->era) != LINK_ERA_UNKNOWN;
}

static bool is_fresh(struct link *link)
{
	return !word_get(&link->is_tainted);
}

static bool is_init_settled(struct link *link)
{
	return word_get(&link->init) != LINK_INIT_PENDING;
}

/* A request without a session for a server that knows none without: eras are not translated. */
static void refuse_modern(struct link *link, struct flight *flight, const weft_message *message)
{
	weft_json asked = message->rpc.meta_protocol_version;
	char data[2 * LINK_TEXT_MAX], text[LINK_TEXT_MAX];

	if (weft_json_type_of(asked) != WEFT_JSON_STRING || asked.len > 64)
		asked = (weft_json){ "\"" LINK_MODERN "\"", sizeof("\"" LINK_MODERN "\"") - 1 };
	(void)snprintf(data, sizeof(data), "{\"supported\":%s,\"requested\":%.*s}", link->speaks,
		(int)asked.len, asked.text);
	(void)snprintf(text, sizeof(text),
		"server \"%s\" serves only sessions that begin with initialize, of revisions %s",
		link->relay->name, link->speaks);
	flight_refuse(flight, LINK_VERSION_UNSUPPORTED, (weft_json){ data, strlen(data) }, text);
	flight_drop(link, flight);
}

/* False: it has its answer. */
static bool admit_modern(struct link *link, struct flight *flight, const weft_message *message)
{
	int64_t timeout_ns = link->relay->options.connect_timeout_ns;

	/* to start it, to probe it, and to initialize it */
	if (word_peek(&link->era) == LINK_ERA_UNKNOWN &&
		!await(link, flight, is_era_known, LINK_WANT_SERVER | LINK_WANT_ERA,
			weft_after_ns(3 * timeout_ns)))
		return false;
	if (word_peek(&link->era) == LINK_ERA_OLD) {
		refuse_modern(link, flight, message);
		return false;
	}
	if (weft_json_string_is(message->rpc.method, "subscriptions/listen"))
		flight->kind = FLIGHT_LISTEN;
	return true;
}

/* From what the server said to the first. */
static void welcome_again(struct link *link, struct flight *flight)
{
	struct relay_session *session = flight->session;
	weft_message message;
	weft_err err = say_result(link->relay, &message, flight->id, link->welcome.rpc.result);

	if (err) {
		crash(link, flight);
		return;
	}
	flight_settle(flight, true);
	(void)session_send_own(session, &message);
	(void)word_swap(&session->is_ready, 1);
	flight_drop(link, flight);
}

/* False: it has its answer. */
static bool admit_initialize(struct link *link, struct flight *flight, const weft_message *message)
{
	int64_t timeout_ns = link->relay->options.connect_timeout_ns;
	weft_json params = message->rpc.params;

	if (params.len > LINK_INITIALIZE_MAX) {
		(void)err_setf(WEFT_EMSGSIZE, "params of initialize have at most %zu bytes",
			LINK_INITIALIZE_MAX);
		crash(link, flight);
		return false;
	}
	while (!link->only && !word_change(&link->init, LINK_INIT_NONE, LINK_INIT_PENDING)) {
		if (word_get(&link->init) == LINK_INIT_DONE) {
			welcome_again(link, flight);
			return false;
		}
		if (!await(link, flight, is_init_settled, 0, WEFT_FOREVER))
			return false;
	}
	flight->kind = FLIGHT_INITIALIZE;
	flight->params = mem_strndup(params.text ? params.text : "{}", params.len);
	flight->params_len = params.len;
	if (!flight->params) {
		(void)err_set(WEFT_ENOMEM);
		crash(link, flight);
		return false;
	}
	return is_fresh(link) ||
		await(link, flight, is_fresh, LINK_WANT_SERVER | LINK_WANT_RESTART,
			weft_after_ns(2 * timeout_ns));
}

void link_init_settle(struct link *link, enum link_init init)
{
	(void)word_swap(&link->init, (uint32_t)init);
	link_announce(link);
}

static void up_request(struct relay_session *session, weft_message *message)
{
	struct link *link = session->link;
	struct flight *flight;

	counts_request(link->relay->counts);
	flight = board(session, message);
	if (!flight)
		return;
	if (weft_unlikely(message_is_stateless(&message->rpc))) {
		if (!admit_modern(link, flight, message))
			return;
	} else if (weft_json_string_is(message->rpc.method, "initialize")) {
		if (!admit_initialize(link, flight, message))
			return;
	}
	launch(link, flight, message);
}

/* ---- what a server has not taken ---- */

struct given_back {
	struct link *link;
	struct relay_session *session; /* held as one more request of its */
	struct flight *flight;
	weft_message message;
};

/* There is another server than the one that gave it back. */
static bool is_sound(struct link *link)
{
	return (word64_get(&link->gate) & LINK_UP) && !word_get(&link->is_stale);
}

static weft_err launch_again(void *arg)
{
	struct given_back *g = arg;
	struct link *link = g->link;
	struct relay_session *session = g->session;
	struct flight *flight = g->flight;
	uint64_t number = flight->number;

	if (await(link, flight, is_sound, LINK_WANT_SERVER,
		    weft_after_ns(link->relay->options.connect_timeout_ns)))
		launch(link, flight, &g->message);
	/* a read-modify-write: either the session's end, which sweeps after it has put is_over,
	 * finds the flight, or this does */
	if (word_set_bits(&session->is_over, 0) && link_take(link, number, &flight))
		flight_drop(link, flight);
	weft_message_fini(&g->message);
	mem_free(g);
	session_leave(session);
	return WEFT_OK;
}

/* False: it is the caller's still. */
static bool send_again(struct link *link, struct flight *flight, weft_message *message)
{
	struct given_back *g;

	if (flight->was_given_back || !session_enter(flight->session))
		return false;
	g = mem_alloc(sizeof(*g));
	if (g) {
		*g = (struct given_back){ .link = link, .session = flight->session };
		g->flight = flight;
		flight->was_given_back = true;
		weft_message_move(&g->message, message);
		g->message.err = WEFT_OK;
		if (!weft_scope_spawn(link->relay->scope, "relay again", launch_again, g))
			return true;
		weft_message_move(message, &g->message);
		mem_free(g);
	}
	session_leave(flight->session);
	return false;
}

void link_given_back(struct link *link, weft_message *message)
{
	char text[LINK_TEXT_MAX];
	struct flight *flight;
	int64_t number;

	(void)word_swap(&link->is_stale, 1);
	if (weft_json_integer(message->rpc.id, &number) ||
		!link_take(link, (uint64_t)number, &flight))
		return; /* was cancelled */
	if (send_again(link, flight, message))
		return;
	(void)snprintf(text, sizeof(text),
		"server \"%s\" does not know the session, again and again", link->relay->name);
	flight_refuse(flight, LINK_SERVER_LOST, none, text);
	flight_drop(link, flight);
}

/* ---- the rest ---- */

/* The client waits for that request no longer. */
static void up_cancelled(struct relay_session *session, weft_message *message)
{
	char digits[WEFT_JSON_INTEGER_SIZE];
	weft_json_edit edit = { .old = message->rpc.request_id };
	struct link *link = session->link;
	struct flight *flight;
	uint64_t number;

	if (!is_token(edit.old) || !link_find(link, session, edit.old, &number) ||
		!link_take(link, number, &flight))
		return; /* was answered */
	(void)counter_add(&link->relay->counts->cancelled, 1);
	edit.value = weft_json_of_integer((int64_t)number, digits);
	/* of one that waits the server knows nothing, and never will */
	if (!(number & LINK_WAITING) &&
		!weft_message_edit(message, link->relay->options.pool, &edit, 1) &&
		link_enter(link)) {
		(void)!link_send_own(link, message);
		link_leave(link);
	}
	/* over HTTP there is somebody who waits, whatever it has cancelled */
	if (session->answers_all)
		flight_refuse(flight, LINK_CANCELLED, none, "cancelled, as the client has asked");
	flight_drop(link, flight);
}

static void up_notification(struct relay_session *session, weft_message *message)
{
	struct link *link = session->link;
	bool is_initialized;
	weft_err err;

	if (weft_json_string_is(message->rpc.method, "notifications/cancelled")) {
		up_cancelled(session, message);
		return;
	}
	is_initialized = weft_json_string_is(message->rpc.method, "notifications/initialized");
	if (is_initialized && word_swap(&link->initialized, 1) && !link->only)
		return; /* of one server there is one beginning */
	err = link_enter_soon(link, session);
	if (!err) {
		err = link_send_own(link, message);
		link_leave(link);
	}
	if (err)
		relay_tell(link->relay, session, WEFT_LOG_DEBUG, err,
			"a notification was dropped: server \"%s\": %s", link->relay->name,
			weft_error_detail());
}

/* The answer to a question of the server's. In the gate, so that it is still the same server. */
static void up_answer(struct relay_session *session, weft_message *message)
{
	struct link *link = session->link;

	if (!link_enter(link))
		return;
	if (link_question_take(link, session, message->rpc.id))
		(void)!link_send_own(link, message);
	else
		(void)counter_add(&link->relay->counts->late, 1);
	link_leave(link);
}

/* The client's answer can't be given to the server that has asked. */
static void up_invalid_answer(struct relay_session *session, weft_json id, const char *what)
{
	struct link *link = session->link;
	weft_message message = { 0 };

	if (!link_enter(link))
		return;
	if (link_question_take(link, session, id) &&
		!say_error(link->relay, &message, id, LINK_SERVER_LOST, none, what))
		(void)!link_send_own(link, &message);
	link_leave(link);
}

static void up_invalid(struct relay_session *session, const weft_message *message)
{
	const weft_jsonrpc *rpc = &message->rpc;
	bool is_large = message->err == WEFT_EMSGSIZE;
	char what[LINK_TEXT_MAX];

	(void)counter_add(&session->relay->counts->invalid, 1);
	say_invalid(what, sizeof(what), session->client, message);
	if (message->would_be == WEFT_JSONRPC_RESPONSE || message->would_be == WEFT_JSONRPC_ERROR)
		up_invalid_answer(session, rpc->id, what);
	else if (message->would_be == WEFT_JSONRPC_NOTIFICATION)
		relay_tell(session->relay, session, WEFT_LOG_WARN, message->err,
			"a notification was dropped: %s", what);
	else
		session_refuse(session, rpc->id.len > LINK_ID_MAX ? none : rpc->id,
			is_large || !rpc->fault_code ? WEFT_JSONRPC_INVALID_REQUEST
						     : rpc->fault_code,
			none, "%s", what);
}

/* A server that ignores upper and lower case would take such a member for one that is rewritten:
 * and so for another client's. True: it was refused. */
static bool up_odd(struct relay_session *session, const weft_message *message)
{
	const weft_jsonrpc *rpc = &message->rpc;
	int len = (int)(rpc->odd_member.len < 64 ? rpc->odd_member.len : 64);

	if (weft_likely(!rpc->odd_member.text))
		return false;
	(void)counter_add(&session->relay->counts->invalid, 1);
	if (rpc->kind == WEFT_JSONRPC_REQUEST)
		session_refuse(session, rpc->id.len > LINK_ID_MAX ? none : rpc->id,
			WEFT_JSONRPC_INVALID_REQUEST, none,
			"%.*s differs from a member that has a meaning in case only", len,
			rpc->odd_member.text);
	else
		relay_tell(session->relay, session, WEFT_LOG_WARN, WEFT_EINVAL,
			"a notification was dropped: %.*s differs from a member that has a meaning "
			"in case only",
			len, rpc->odd_member.text);
	return true;
}

static void client_message(void *user, weft_message *message)
{
	struct relay_session *session = user;
	const struct relay_options *options = &session->relay->options;

	if (options->on_message) {
		struct relay_message recorded = { session->number, RELAY_TO_SERVER,
			weft_transport_kind(session->client), session->relay->name, message };

		options->on_message(options->user, &recorded);
	}
	counts_message(session->relay->counts, COUNTS_TO_SERVER, message->text.len);
	if (options->idle_timeout_ns)
		counter_set(&session->active_at, (uint64_t)weft_now());
	switch (message->rpc.kind) {
	case WEFT_JSONRPC_REQUEST:
		if (!up_odd(session, message))
			up_request(session, message);
		break;
	case WEFT_JSONRPC_NOTIFICATION:
		if (!up_odd(session, message))
			up_notification(session, message);
		break;
	case WEFT_JSONRPC_RESPONSE:
	case WEFT_JSONRPC_ERROR:
		up_answer(session, message);
		break;
	case WEFT_JSONRPC_NONE:
	case WEFT_JSONRPC_BATCH:
	case WEFT_JSONRPC_INVALID:
	default:
		up_invalid(session, message);
	}
	weft_message_fini(message);
}

static void client_ended(void *user, weft_err err, const char *detail)
{
	struct relay_session *session = user;
	weft_parker *owner = session->owner; /* who may free the session at once */

	session->end_err = err;
	(void)snprintf(session->end_text, sizeof(session->end_text), "%s", detail ? detail : "");
	(void)word_swap(&session->is_ended, 1);
	weft_unpark(owner);
}

const weft_transport_sink link_client_sink = { client_message, client_ended };
