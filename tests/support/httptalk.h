/* SPDX-License-Identifier: MIT */
#ifndef HTTPTALK_H
#define HTTPTALK_H

/*
 * Random requests between weft's HTTP client, or one that pipelines by hand, and weft's HTTP
 * server, in a simulated net. Each is planned before it is sent, and both ends know the plan by
 * the number in its path, so that they can be held against each other:
 *
 *   - every byte of a body, either way, is the one that was sent at that place;
 *   - a body that ends in order is whole; one that was cut is an error;
 *   - a request that may not be repeated reaches a handler once at most, others twice at most;
 *   - what was answered was handled; nothing is handled behind an answer that closes;
 *   - every error has its reason.
 */
#include <weft/http_client.h>
#include <weft/http_server.h>

#define TALK_ASKS_MAX 256

/* What the handler does. */
enum talk_answer {
	TALK_WHOLE,   /* reads all, replies at once */
	TALK_LENGTH,  /* reads all, streams what it has said the length of */
	TALK_CHUNKS,  /* reads all, streams, ends with a trailer */
	TALK_ECHO,    /* streams back what it reads, while it reads */
	TALK_EARLY,   /* replies, and leaves the body */
	TALK_EVENTS,  /* reads all, sends events */
	TALK_UPGRADE, /* echoes over the connection */
	TALK_CUT,     /* fails within a stream */
	TALK_REFUSE,  /* fails before it has replied: 500 */
	TALK_ANSWERS,
};

enum talk_up { TALK_UP_NONE, TALK_UP_BYTES, TALK_UP_LENGTH, TALK_UP_CHUNKS };

struct ask {
	/* the plan */
	unsigned number;
	const char *method;
	enum talk_answer answer;
	enum talk_up up;
	size_t up_len, down_len; /* bytes of the bodies; down: events */
	unsigned most;		 /* times that it may be handled */
	bool expects;		 /* 100 (Continue) */
	bool leaves;		 /* the client does not read to the end */
	bool loose;		 /* may fail, though nothing else goes wrong */
	bool slow_client, slow_handler;
	/* what happened */
	unsigned handled;
};

struct talks {
	bool faults;	     /* errors may come from the world */
	bool memory_fails;   /* and for want of memory */
	bool stops;	     /* and from servers that stop */
	bool overloads;	     /* and from servers that are full: 503 */
	bool strict;	     /* no plan is loose */
	weft_deadline until; /* of calls without a shorter time */
	size_t piece_max;    /* of reads and writes */
	unsigned asks_len;
	struct ask asks[TALK_ASKS_MAX];
	unsigned whole; /* that were answered and compared to their end */
};

/* Plans the next; raw: for talk_pipeline. NULL: there are enough. */
struct ask *talk_plan(struct talks *talks, bool raw);
/* All requests of a server. */
weft_err talk_route(weft_http_server *server, struct talks *talks);
/* Sends and reads it, or gives up. base: "http://host:port". */
void talk_ask(struct talks *talks, weft_http_client *client, const char *base, struct ask *ask);
/* All of them at once over one connection, and their answers in that order. */
void talk_pipeline(struct talks *talks, const char *address, struct ask **asks, unsigned count);

#endif
