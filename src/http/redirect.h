/* SPDX-License-Identifier: MIT */
#ifndef HTTP_REDIRECT_H
#define HTTP_REDIRECT_H

/*
 * What a response that redirects means for the next request (RFC 9110, section 15.4). No I/O.
 *
 *	301, 302        POST becomes GET; other methods stay, with their body
 *	303             HEAD stays, all others become GET
 *	307, 308        method and body stay
 *	others, and a response without Location    is the answer
 *
 * A body that is to be sent again must be one that can be. Refused: more than a number of
 * hops, a request that was already sent in the same chain, schemes other than http and https,
 * and https to http unless that is allowed. Across origins (scheme, host, port) credentials
 * are left behind, and stay so when a later hop leads back.
 */
#include <weft/http.h>

#define REDIRECT_HOPS_MAX 50 /* that may be asked for */
#define REDIRECT_HOPS_DEFAULT 10

/* The redirects of one request. One owner. */
struct redirect_chain {
	unsigned hops_max;   /* 0..REDIRECT_HOPS_MAX */
	bool may_downgrade;  /* https to http */
	unsigned hops;	     /* so far */
	unsigned seen_count; /* of seen */
	/* "METHOD URL" of what was sent; owned */
	char *seen[REDIRECT_HOPS_MAX + 1];
};

enum redirect_body {
	REDIRECT_NO_BODY,
	REDIRECT_BODY_AGAIN, /* can be sent again */
	REDIRECT_BODY_ONCE,  /* can't */
};

struct redirect_request {
	const char *method;
	const weft_http_url *url;
	enum redirect_body body;
};

struct redirect_step {
	bool is_final;	    /* the response is the answer; nothing else is set */
	bool is_get;	    /* the method is GET, and there is no body */
	bool is_new_origin; /* without credentials */
	weft_http_url url;  /* by the caller to weft_http_url_fini */
};

/* After a request's response came: what follows. hops_max 0: every response is the answer.
 * Errors: WEFT_ECAPACITY (hops_max), WEFT_EPROTO (a loop, no http URL, several Locations that
 * differ), WEFT_EACCESS (https to http), WEFT_ENOSYS (the body can't be sent again),
 * WEFT_ENOMEM; each names the URL that it leads to. */
WEFT_MUST_CHECK weft_err redirect_next(struct redirect_chain *chain,
	const struct redirect_request *sent, unsigned status, const weft_http_fields *response,
	struct redirect_step *step);
/* Takes from a request's fields what the step leaves behind. */
void redirect_fields(weft_http_fields *fields, const struct redirect_step *step);
/* A zeroed chain is allowed. */
void redirect_chain_fini(struct redirect_chain *chain);

#endif
