/* SPDX-License-Identifier: MIT */
#ifndef MCPD_H
#define MCPD_H

/*
 * A weft_mcp_server under test, a server of JSON-RPC behind it, and clients of it that write and read
 * bytes. In fibers; failures are those of want().
 *
 * What the server behind it knows, by method:
 *	initialize		the version asked for, or an error if params.refuse is there
 *	echo			params
 *	slow			null, after params.ms milliseconds
 *	held			null, once let_go is params.n
 *	progress		params.count of notifications/progress, then null
 *	log			a notifications/message, then null
 *	changed			a notifications/tools/list_changed, then null
 *	ask			a request of its own, "roots/list" with the id "s-1"; null once that is
 *				answered
 *	big			a string of params.size bytes
 *	silent			no answer
 *	fail			an error, code 7
 *	bye			closes the session
 *	tools/call, server/discover	null
 *	tools/list		a tool "sql", whose arguments region and n are in fields, too
 *	subscriptions/listen	acknowledged; no answer
 *	poke			a notifications/tools/list_changed for that subscription, with
 *				params.pad blanks in it, then null
 *	hang_up			a notifications/cancelled for it, then null
 * and the notification ask_me: it asks "roots/list", which belongs to no request.
 */
#include "base/counter.h"
#include "support/httpd.h"

#include <weft/mcp_server.h>

struct mcpd {
	struct httpd h;
	weft_mcp_server *mcp;
	weft_scope *scope; /* of sessions */
	weft_scope *accepting;
	bool by_sink;		  /* else by _receive */
	bool is_hasty;		  /* sends without waiting; and the same again, if that failed */
	bool accepts_not;	  /* nobody accepts */
	struct counter sessions;  /* accepted */
	struct counter ended;	  /* and freed */
	struct counter notes;	  /* notifications that came */
	struct counter cancelled; /* notifications/cancelled among them */
	struct counter answers;	  /* responses that came */
	struct counter refusals;  /* errors that came */
	struct counter requests;
	struct counter let_go; /* the test's; see above */
	char subscription[32]; /* the id of the last subscriptions/listen */
	char last[512];	       /* the last message's text; once it is closed */
};

/* Zero is a good value of each; json_wait_ns is then a minute. */
struct mcpd_options {
	weft_mcp_server_options mcp;
	weft_http_server_options http;
	bool by_sink, accepts_not, is_hasty;
	bool has_http; /* http is set */
};

void mcpd_open(struct mcpd *d, const struct mcpd_options *options);
/* Everything is back. */
void mcpd_close(struct mcpd *d);
weft_conn *mcpd_connect(struct mcpd *d);
weft_mcp_server_stats mcpd_stats(const struct mcpd *d);

#define MCP_SESSION_SIZE 128
/* Of a request. */
struct mcp_say {
	const char *method;  /* NULL: POST */
	const char *path;    /* NULL: /mcp */
	const char *session; /* NULL: none */
	const char *version; /* NULL: none */
	const char *fields;  /* more, each with its line end; NULL: none */
	const char *accept;  /* NULL: both; "": none */
	const char *type;    /* NULL: application/json; "": none */
	const char *body;    /* NULL: none */
};
void mcp_say(weft_conn *conn, const struct mcp_say *say);
/* And the answer by its Content-Length. */
void mcp_ask(weft_conn *conn, const struct mcp_say *say, struct answer *answer);
/* The status, and what the body has in it. */
void mcp_status_is(weft_conn *conn, const struct mcp_say *say, unsigned status, const char *says);
/* A POST in a session; the status, and the body, NULL: whatever. */
void mcp_ask_is(
	weft_conn *conn, const char *session, const char *text, unsigned status, const char *body);
/* Initialized; session has MCP_SESSION_SIZE bytes. */
void mcp_initialize(weft_conn *conn, const char *version, char *session);
/* The head of an event stream. */
void hear_stream(weft_conn *conn);
/* A GET's stream, and its head; version: NULL: none; event_id, NULL: from now on. */
void mcp_listen(weft_conn *conn, const char *version, const char *session, const char *event_id);
/* A chunk of it: an event. */
void hear_event(weft_conn *conn, char *out, size_t size);
/* Its data; id, if not NULL, gets what there is of that. */
void hear_data(weft_conn *conn, char *data, size_t size, char *id, size_t id_size);
void hear_data_is(weft_conn *conn, const char *data, char *id, size_t id_size);
/* The last chunk. */
void hear_stream_end(weft_conn *conn);

#define MCP_ID_SIZE 256
#define RPC(id, method, params)                                         \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\"," \
	"\"params\":" params "}"
#define RPC_NOTE(method, params) \
	"{\"jsonrpc\":\"2.0\",\"method\":\"" method "\",\"params\":" params "}"
#define RPC_RESULT(id, result) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":" result "}"

#define CALL RPC("1", "echo", "[]")
#define CHANGED RPC_NOTE("notifications/tools/list_changed", "{}")
#define ROOTS "{\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"roots/list\"}" /* of "ask" */

#endif
