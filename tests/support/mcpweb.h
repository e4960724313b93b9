/* SPDX-License-Identifier: MIT */
#ifndef MCPWEB_H
#define MCPWEB_H

/*
 * A server on the web whose handlers a test makes by hand, and a client's session with it.
 *
 * What a test does not answer itself is answered so: initialize by a result, and a session's id if
 * there is to be one; "echo" by its params; what is no request by 202; GET by 405; DELETE by 204.
 */
#include "support/httpd.h"

#include "base/counter.h"

#include <weft/mcp_client.h>

#define WEB_SESSION "session-1"

struct web;
struct web_call {
	weft_http_exchange *x;
	weft_jsonrpc rpc; /* of a POST */
	const char *id;	  /* of its request, as JSON; "null": none */
	char id_text[64];
};
/* WEFT_ENOTFOUND: as is said above. */
typedef weft_err (*web_fn)(struct web *web, struct web_call *call);

struct web {
	struct httpd h;
	web_fn answer;
	bool has_no_session;
	weft_mcp_client_options options;
	const char *scheme; /* NULL: "http" */
	const char *path;   /* NULL: "/mcp" */
	const char *also;   /* another path that is served; NULL: none */
	weft_http_client *http;
	weft_outgoing *outgoing;
	weft_transport *t;
	char url[96];
	char authority[64];
	struct counter posts, gets, deletes, seen; /* seen: the test's own */
};

/* A server at /mcp; what else is to be set in web is set before. */
void web_begin(struct web *web, web_fn answer);
void web_connect(struct web *web);
/* All is given back. */
void web_end(struct web *web);
/* The session ends; all is given back. */
void web_drop(struct web *web);

/* --- the server's side --- */

bool web_is(const struct web_call *call, const char *method);
bool web_is_http(const struct web_call *call, const char *method);
const char *web_field(const struct web_call *call, const char *name);
weft_err web_reply(struct web_call *call, unsigned status, const char *type, const char *body);
/* text may be NULL. */
bool web_text_is(const char *text, const char *wanted);
/* {"jsonrpc":"2.0","id":ID,"result":RESULT} */
weft_err web_result(struct web_call *call, const char *result);
weft_err web_event(struct web_call *call, const char *id, const char *data);
weft_err web_event_result(struct web_call *call, const char *id, const char *result);
/* Until the client goes. */
weft_err web_hold(struct web_call *call);

/* --- the client's --- */

void web_say(struct web *web, const char *format, ...) WEFT_PRINTF(2, 3);
/* A request. */
void web_ask(struct web *web, int id, const char *method, const char *params);
/* initialize, its answer, notifications/initialized. */
void web_initialize(struct web *web);
void web_hears_result(struct web *web, int id, const char *result);
void web_hears_error(struct web *web, int id, int code, const char *text);
void web_hears_call(struct web *web, const char *method);
/* Of kind INVALID. */
void web_hears_garbage(struct web *web);
/* It ends, for this reason. */
void web_hears_end(struct web *web, weft_err err, const char *text);
/* Nothing comes. */
void web_hears_nothing(struct web *web);
void web_wait(const struct counter *counter, uint64_t at_least);

#endif
