/* SPDX-License-Identifier: MIT */
/* From a server to its clients: in the server's fiber. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/link.h"
#include "bridge/message.h"

#include <stdio.h>
#include <string.h>

static const weft_json none;

/* ---- answers ---- */

/* A number of the link's, as the server gives it back. Some servers make a text of it. */
static bool number_of(weft_json value, uint64_t *number)
{
	int64_t n;

	if (weft_json_type_of(value) == WEFT_JSON_STRING && value.len > 2)
		value = (weft_json){ value.text + 1, value.len - 2 };
	if (weft_json_integer(value, &n) || n < 0)
		return false;
	*number = (uint64_t)n;
	return *number < LINK_WAITING; /* beyond are keys of what no server has seen */
}

/* The client's id of a subscription in the place of the link's, written as the server wrote it. quoted has
 * room for it. */
static weft_json subscription_of(
	const struct flight *flight, weft_json given, char quoted[LINK_ID_MAX + 2])
{
	uint64_t number;

	if (!number_of(given, &number) || number != flight->number)
		return given;
	if (weft_json_type_of(given) != WEFT_JSON_STRING ||
		weft_json_type_of(flight->id) == WEFT_JSON_STRING)
		return flight->id;
	quoted[0] = '"';
	memcpy(quoted + 1, flight->id.text, flight->id.len);
	quoted[flight->id.len + 1] = '"';
	return (weft_json){ quoted, flight->id.len + 2 };
}

/* The client's side of the ids. */
static weft_err renumber(const struct flight *flight, weft_message *message, weft_json *id)
{
	char quoted[LINK_ID_MAX + 2];
	weft_json subscription = message->rpc.meta_subscription_id;
	weft_json_edit edits[2] = { { *id, flight->id }, { none, none } };

	if (subscription.text) {
		edits[1].old = subscription;
		edits[1].value = subscription_of(flight, subscription, quoted);
	} else if (link_same_text(*id, flight->id)) {
		return WEFT_OK;
	}
	return weft_message_edit(message, flight->session->relay->options.pool, edits, 2);
}

static void count_answer(struct relay *relay, const weft_message *answer)
{
	int64_t code = 0;

	(void)counter_add(&counts_cell(relay->counts)->answers, 1);
	if (weft_likely(answer->rpc.kind != WEFT_JSONRPC_ERROR))
		return;
	if (weft_json_integer(answer->rpc.error_code, &code))
		code = 0;
	counts_error(relay->counts, answer->err ? COUNTS_BY_BRIDGE : COUNTS_BY_SERVER, code);
}

/* To the client; the flight is over. */
static void land(struct link *link, struct flight *flight, weft_message *message)
{
	char text[LINK_TEXT_MAX];
	weft_err err = renumber(flight, message, &message->rpc.id);

	count_answer(link->relay, message);
	flight_settle(flight, flight->kind != FLIGHT_LISTEN);
	if (!err)
		err = session_send_own(flight->session, message);
	if (err == WEFT_EMSGSIZE || err == WEFT_ENOMEM || err == WEFT_ECAPACITY) {
		(void)snprintf(text, sizeof(text), "the answer of server \"%s\" can't be given: %s",
			link->relay->name, weft_error_detail());
		flight_refuse(flight, LINK_SERVER_LOST, none, text);
	}
	flight_drop(link, flight);
}

/* What began the session, to be said again to another server. */
static void keep_initialize(struct link *link, struct flight *flight, const weft_message *welcome)
{
	weft_json version;
	char *old;

	if (weft_json_get(&version, welcome->rpc.result, "protocolVersion") ||
		version.len >= LINK_VERSION_MAX)
		version = (weft_json){ "\"\"", 2 };
	rt_lock_acquire(&link->lock);
	old = link->params;
	link->params = flight->params;
	link->params_len = flight->params_len;
	memcpy(link->version, version.text, version.len);
	link->version[version.len] = '\0';
	rt_lock_release(&link->lock);
	flight->params = NULL;
	mem_free(old);
	if (!link->only && !link->welcome.text.data)
		weft_message_ref(&link->welcome, welcome);
}

/* A server that has no initialize has no sessions: that is to be said in other words than that
 * it does not know the method. */
static void refuse_sessions(struct link *link, struct flight *flight)
{
	static const char data[] = "{\"supported\":[\"" LINK_MODERN "\"]}";
	char text[LINK_TEXT_MAX];

	(void)snprintf(text, sizeof(text),
		"server \"%s\" knows no initialize: it serves only revisions without sessions, "
		"from " LINK_MODERN " on",
		link->relay->name);
	flight_refuse(
		flight, LINK_VERSION_UNSUPPORTED, (weft_json){ data, sizeof(data) - 1 }, text);
	flight_drop(link, flight);
}

static void land_initialize(struct link *link, struct flight *flight, weft_message *message)
{
	int64_t code;

	if (message->rpc.kind == WEFT_JSONRPC_RESPONSE) {
		keep_initialize(link, flight, message);
		flight->is_landed_well = true;
		(void)word_swap(&flight->session->is_ready, 1);
		land(link, flight, message);
		if (!link->only)
			link_init_settle(link, LINK_INIT_DONE);
		return;
	}
	if (!weft_json_integer(message->rpc.error_code, &code) &&
		code == WEFT_JSONRPC_METHOD_NOT_FOUND)
		refuse_sessions(link, flight);
	else
		land(link, flight, message);
}

static void land_own(struct link *link, struct flight *flight, weft_message *message)
{
	struct link_call *call = flight->call;

	weft_message_move(&call->reply, message);
	flight_drop(link, flight);
	(void)word_swap(&call->done, 1);
	bell_ring(&link->bell);
}

/* What a transport says in a server's place tells why the server can't be had. */
static void note_answer(struct link *link, const weft_message *message)
{
	weft_json said = message->rpc.error_message;
	char why[LINK_TEXT_MAX];
	size_t len;

	if (weft_unlikely(message->err)) {
		if (!weft_json_string_decode(said, why, sizeof(why) - 1, &len))
			why[len] = '\0';
		else /* too long: its beginning, as it stands */
			(void)snprintf(why, sizeof(why), "%.*s", LINK_TEXT_MAX / 2, said.text);
		link_why_set(link, message->err, why);
		counts_failing(link->relay->counts);
		return;
	}
	counts_reached(link->relay->counts);
	if (!word_peek(&link->has_answered)) {
		word_put(&link->was_reached, 1);
		word_put(&link->has_answered, 1);
	}
}

/* The flight of that id, the caller's alone from now on. False: none. */
static bool take_flight(struct link *link, weft_json id, struct flight **out)
{
	uint64_t number;

	return number_of(id, &number) && link_take(link, number, out);
}

static void down_answer(struct link *link, weft_message *message)
{
	struct flight *flight;

	if (!take_flight(link, message->rpc.id, &flight)) {
		(void)counter_add(&link->relay->counts->late, 1);
		return;
	}
	note_answer(link, message);
	if (flight->kind == FLIGHT_OWN)
		land_own(link, flight, message);
	else if (flight->kind == FLIGHT_INITIALIZE)
		land_initialize(link, flight, message);
	else
		land(link, flight, message);
}

/* ---- the server's questions ---- */

static void refuse_question(struct link *link, weft_json id, const char *text)
{
	weft_message message;

	if (say_error(link->relay, &message, id, LINK_SERVER_LOST, none, text))
		return;
	(void)!link_send_own(link, &message);
}

/* With the link's lock. session NULL: of any. */
static struct question *find_question(
	struct link *link, const struct relay_session *session, weft_json id)
{
	list_for_each(node, &link->questions) {
		struct question *question = container_of(node, struct question, node);

		if ((!session || question->session == session) && message_same_id(question->id, id))
			return question;
	}
	return NULL;
}

static struct question *take_question(
	struct link *link, const struct relay_session *session, weft_json id)
{
	struct question *question;

	rt_lock_acquire(&link->lock);
	question = find_question(link, session, id);
	if (question) {
		list_remove(&question->node);
		link->questions_len--;
	}
	rt_lock_release(&link->lock);
	return question;
}

bool link_question_take(struct link *link, const struct relay_session *session, weft_json id)
{
	struct question *question;

	if (id.len == 0 || id.len > LINK_ID_MAX)
		return false;
	question = take_question(link, session, id);
	mem_free(question);
	return question != NULL;
}

/* One of the session's (NULL: of all). NULL: there is none. */
static struct question *next_question(struct link *link, const struct relay_session *session)
{
	struct question *found = NULL;

	rt_lock_acquire(&link->lock);
	list_for_each(node, &link->questions) {
		struct question *question = container_of(node, struct question, node);

		if (session && question->session != session)
			continue;
		list_remove(node);
		link->questions_len--;
		found = question;
		break;
	}
	rt_lock_release(&link->lock);
	return found;
}

void link_questions_refuse(struct link *link, const struct relay_session *session)
{
	struct question *question;

	while ((question = next_question(link, session))) {
		if (link_enter(link)) {
			refuse_question(link, question->id, "the client that was asked has gone");
			link_leave(link);
		}
		mem_free(question);
	}
}

/* Whether it is there to be sent to: with sessions_lock, if it is shared. */
static bool is_attached(const struct link *link, const struct relay_session *session)
{
	if (link->only)
		return true;
	list_for_each(node, &link->sessions) {
		if (node == &session->in_link)
			return true;
	}
	return false;
}

static bool sessions_enter(struct link *link)
{
	return link->only || !weft_mutex_lock(link->sessions_lock, WEFT_FOREVER);
}

static void sessions_leave(struct link *link)
{
	if (!link->only)
		weft_mutex_unlock(link->sessions_lock);
}

void link_questions_forget(struct link *link, bool tell)
{
	struct question *question;
	weft_message message;

	while ((question = next_question(link, NULL))) {
		if (tell && sessions_enter(link)) {
			if (is_attached(link, question->session) &&
				!say_cancelled(link->relay, &message, question->id,
					"the server that asked is lost"))
				(void)session_send_own(question->session, &message);
			sessions_leave(link);
		}
		mem_free(question);
	}
}

/* The session is held, or the only one. */
static void ask(struct link *link, struct relay_session *session, weft_message *message)
{
	weft_json id = message->rpc.id;
	struct question *question = NULL;
	bool has_room = false;
	char text[LINK_ID_MAX];

	if (id.len <= LINK_ID_MAX)
		question = mem_alloc(sizeof(*question) + id.len);
	if (question) {
		memcpy(question->text, id.text, id.len);
		memcpy(text, id.text, id.len);
		question->id = (weft_json){ question->text, id.len };
		question->session = session;
		rt_lock_acquire(&link->lock);
		has_room = link->questions_len < link->relay->options.requests_max &&
			!find_question(link, NULL, id);
		if (has_room) {
			list_push_back(&link->questions, &question->node);
			link->questions_len++;
		}
		rt_lock_release(&link->lock);
	}
	if (!has_room) {
		mem_free(question);
		refuse_question(link, id.len <= LINK_ID_MAX ? id : none,
			"too many requests wait for answers, or one of that id does");
		return;
	}
	id = (weft_json){ text, id.len };
	if (session_send_own(session, message) && link_question_take(link, session, id))
		refuse_question(link, id, "the client can't be asked");
}

static void down_request(struct link *link, weft_message *message)
{
	static const weft_json nothing = { "{}", 2 };
	weft_json id = message->rpc.id;
	weft_message pong;
	struct flight *flight;

	if (link->only) {
		ask(link, link->only, message);
		return;
	}
	flight = link_only_flight(link);
	if (flight) {
		ask(link, flight->session, message);
		flight_drop(link, flight);
	} else if (weft_json_string_is(message->rpc.method, "ping")) {
		/* whether there is somebody: there is the relay */
		if (!say_result(link->relay, &pong, id, nothing))
			(void)!link_send_own(link, &pong);
	} else {
		refuse_question(link, id,
			"whom to ask is not known: not exactly one session has a request in flight");
	}
}

/* ---- notifications ---- */

static bool is_listening(struct link *link, uint64_t number)
{
	struct flight *flight = link_look(link, number);
	bool is_it = flight && flight->kind == FLIGHT_LISTEN;

	if (flight)
		flight_drop(link, flight);
	return is_it;
}

/* A server without sessions cancels nothing but a subscription, which ends so, without an answer. */
static void down_unsubscribed(struct link *link, weft_message *message)
{
	weft_json_edit edit = { .old = message->rpc.request_id };
	struct flight *flight;
	uint64_t number;

	if (!number_of(edit.old, &number) || !is_listening(link, number) ||
		!link_take(link, number, &flight))
		return;
	edit.value = flight->id;
	if (weft_message_edit(message, link->relay->options.pool, &edit, 1))
		flight_refuse(flight, LINK_SERVER_LOST, none, "the server has ended it");
	else
		(void)session_send_own(flight->session, message);
	flight_drop(link, flight);
}

static void down_cancelled(struct link *link, weft_message *message)
{
	weft_json id = message->rpc.request_id;
	struct question *question = NULL;

	if (id.len > 0 && id.len <= LINK_ID_MAX)
		question = take_question(link, NULL, id);
	if (!question) {
		down_unsubscribed(link, message);
		return;
	}
	if (sessions_enter(link)) {
		if (is_attached(link, question->session))
			(void)session_send_own(question->session, message);
		sessions_leave(link);
	}
	mem_free(question);
}

/* About a request in flight: to its session. */
static void down_about(struct link *link, weft_message *message, weft_json about)
{
	weft_json_edit edit = { .old = about };
	char quoted[LINK_ID_MAX + 2];
	struct flight *flight = NULL;
	uint64_t number;

	if (number_of(about, &number))
		flight = link_look(link, number);
	if (!flight) {
		(void)counter_add(&link->relay->counts->late, 1);
		return;
	}
	if (about.text == message->rpc.progress_token.text)
		edit.value = flight->token;
	else
		edit.value = subscription_of(flight, about, quoted);
	if (flight->session && edit.value.len &&
		!weft_message_edit(message, link->relay->options.pool, &edit, 1))
		(void)session_send_own(flight->session, message);
	flight_drop(link, flight);
}

/* What a server logs without saying of which request: in the era without sessions there is no level
 * but a request's own, so it is of the one that is in flight, if only one client has any. */
static void down_to_asking(struct link *link, const weft_message *message)
{
	struct flight *flight = link_only_flight(link);
	weft_message copy;

	if (!flight)
		return;
	if (flight->kind == FLIGHT_REQUEST && !word_get(&flight->session->is_ready)) {
		weft_message_ref(&copy, message);
		(void)session_send_own(flight->session, &copy);
	}
	flight_drop(link, flight);
}

static void down_to_all(struct link *link, weft_message *message)
{
	weft_message copy;

	if (link->only) {
		(void)session_send_own(link->only, message);
		return;
	}
	if (word_peek(&link->era) == LINK_ERA_MODERN &&
		weft_json_string_is(message->rpc.method, "notifications/message"))
		down_to_asking(link, message);
	if (!sessions_enter(link))
		return;
	list_for_each(node, &link->sessions) {
		struct relay_session *session = container_of(node, struct relay_session, in_link);

		if (!word_peek(&session->is_ready))
			continue;
		weft_message_ref(&copy, message);
		(void)session_send_own(session, &copy);
	}
	sessions_leave(link);
}

static void down_notification(struct link *link, weft_message *message)
{
	const weft_jsonrpc *rpc = &message->rpc;

	if (rpc->meta_subscription_id.text)
		down_about(link, message, rpc->meta_subscription_id);
	else if (weft_json_string_is(rpc->method, "notifications/progress"))
		down_about(link, message, rpc->progress_token);
	else if (weft_json_string_is(rpc->method, "notifications/cancelled"))
		down_cancelled(link, message);
	else
		down_to_all(link, message);
}

/* ---- what is no message ---- */

/* The answer to a flight, perhaps. */
static void down_invalid_answer(struct link *link, weft_message *message, const char *text)
{
	struct flight *flight;

	if (!take_flight(link, message->rpc.id, &flight))
		return;
	if (flight->kind == FLIGHT_OWN) {
		weft_message_fini(message);
		land_own(link, flight, message);
		return;
	}
	flight_refuse(flight, LINK_SERVER_LOST, none, text);
	flight_drop(link, flight);
}

static void down_invalid(struct link *link, weft_message *message)
{
	char what[LINK_TEXT_MAX], text[2 * LINK_TEXT_MAX];

	(void)counter_add(&link->relay->counts->invalid, 1);
	say_invalid(what, sizeof(what), link->server, message);
	(void)snprintf(
		text, sizeof(text), "what server \"%s\" sent is %s", link->relay->name, what);
	relay_tell(link->relay, link->only, WEFT_LOG_WARN, message->err, "%s", text);
	if (message->would_be == WEFT_JSONRPC_REQUEST)
		refuse_question(link, message->rpc.id, what);
	else if (message->would_be != WEFT_JSONRPC_NOTIFICATION)
		down_invalid_answer(link, message, text);
}

static void server_message(void *user, weft_message *message)
{
	struct link *link = user;

	if (link->relay->options.read_timeout_ns)
		counter_set(&link->heard_at, (uint64_t)weft_now());
	switch (message->rpc.kind) {
	case WEFT_JSONRPC_RESPONSE:
	case WEFT_JSONRPC_ERROR:
		down_answer(link, message);
		break;
	case WEFT_JSONRPC_NOTIFICATION:
		down_notification(link, message);
		break;
	case WEFT_JSONRPC_REQUEST:
		if (weft_unlikely(message->err == WEFT_EAGAIN))
			link_given_back(link, message);
		else
			down_request(link, message);
		break;
	case WEFT_JSONRPC_NONE:
	case WEFT_JSONRPC_BATCH:
	case WEFT_JSONRPC_INVALID:
	default:
		down_invalid(link, message);
	}
	weft_message_fini(message);
}

static void server_ended(void *user, weft_err err, const char *detail)
{
	struct link *link = user;

	link->lost_err = err;
	(void)snprintf(link->lost_text, sizeof(link->lost_text), "%s",
		detail && detail[0] ? detail : weft_strerror(err));
	(void)word_swap(&link->is_lost, 1);
	bell_ring(&link->bell);
}

const weft_transport_sink link_server_sink = { server_message, server_ended };
