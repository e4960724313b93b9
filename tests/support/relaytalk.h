/* SPDX-License-Identifier: MIT */
#ifndef RELAYTALK_H
#define RELAYTALK_H

/*
 * Both sides of a relay: servers that are fibers behind transports in memory, and clients that
 * talk to it by hand.
 *
 * A server answers by method:
 *	initialize	its version; "server/discover" if it is modern
 *	echo		the params
 *	who		{"n":N}: which of the servers that were started it is
 *	progress	tells of its progress, twice, and then {}
 *	ask		asks the client ("roots/list", id "q\/1"), and then gives its answer
 *	shout		a notification for everybody, and then {}
 *	twice		{} twice, after answers to what nobody asked
 *	hold		nothing: until it is cancelled, or until
 *	release		everything that is held gets {}, and this, too
 *	quote		{}, with an id that is a text
 *	subscriptions/listen	held, after it was acknowledged
 *	unsubscribe	cancels what is held, and then {}
 *	die		nothing: the connection ends
 */
#include "support/both.h"

#include "base/counter.h"
#include "bridge/relay.h"

/* What clients say; literals. */
#define CALL(id, method) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\"}"
#define CANCEL(id)                                                                                  \
	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":" id \
	"}}"

#define FAKE_HELD_MAX 64
#define TALKER_ROOM 8 /* messages that lie on the way to a client that does not read */

struct fake {
	const char *version; /* of initialize; NULL: it does not know that */
	bool is_modern;
	bool is_silent;	     /* answers no server/discover, if it is old */
	bool is_mute;	     /* answers no initialize either */
	unsigned slow;	     /* so many of the first servers answer no server/discover */
	unsigned forgets;    /* so many of the first servers give "who" back, and end */
	unsigned dies_early; /* so many of the first servers end at once */
	unsigned refuses;    /* so many of the first connections */
	weft_err refusal;
	size_t room; /* messages on the way; 0: as usual */
	weft_scope *scope;
	/* what happened */
	struct counter connects, started, now;
	struct counter initializes, initialized, cancels, answers;
	char client[64]; /* clientInfo of the last initialize */
};

/* With a scope; options.outgoing and name are set. */
void fake_open(struct fake *fake, struct relay_options *options);
/* Every server has ended, or ends now. */
void fake_close(struct fake *fake, struct relay_options *options);
/* The same with a relay in front of it. No session may be left; what it counted. */
struct relay *fake_relay_open(struct fake *fake, struct relay_options *options);
struct relay_stats fake_relay_close(
	struct fake *fake, struct relay_options *options, struct relay *relay);

struct talker {
	struct relay *relay;
	weft_transport *end;
	weft_transport *relays; /* until it is served */
	weft_fiber *fiber;
	weft_err verdict;
	char detail[512];
};

/* A session of it begins. */
void talker_open(struct talker *talker, struct relay *relay);
/* The same on that worker. */
void talker_open_on(struct talker *talker, struct relay *relay, unsigned worker);
/* A session of relay and relays, which are set. */
void talker_serve(struct talker *talker);
void talker_say(struct talker *talker, const char *format, ...) WEFT_PRINTF(2, 3);
/* What comes next, within a minute. */
void talker_hear(struct talker *talker, weft_message *out);
/* It is the answer to id, with that result; the error, with that code, whose message has the text. */
void talker_hears_result(struct talker *talker, const char *id, const char *result);
void talker_hears_error(struct talker *talker, const char *id, int code, const char *text);
void talker_hears_call(struct talker *talker, const char *method, const char *params);
/* Nothing more will come: the session was ended by the relay. */
void talker_hears_end(struct talker *talker);
/* Whatever is left; returns what relay_serve did. */
weft_err talker_close(struct talker *talker);
/* initialize, its answer, and notifications/initialized; id 0. */
void talker_initialize(struct talker *talker);

/* Parks until the counter has come to at least that. */
void wait_count(const struct counter *counter, uint64_t at_least);

#endif
