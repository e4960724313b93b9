/* SPDX-License-Identifier: MIT */
#ifndef HTTP_FOLLOW_H
#define HTTP_FOLLOW_H

/*
 * A request with what is built from several exchanges, or around one: redirects, content
 * codings, the proxies of the environment. weft_http_client_send comes here when a request asks
 * for any of these; each hop is one http_client_exchange.
 */
#include <weft/http_client.h>

struct proxies;

/* Whether http_follow has anything to do for it. proxies: the client's; NULL: without proxy_env. */
static inline bool http_follow_wanted(
	const weft_http_request *request, const struct proxies *proxies)
{
	return request->redirects_max > 0 || request->origin_fields || request->decode ||
		(proxies && !request->proxy && !request->unix_path);
}

/* As weft_http_client_send. ratio_max, body_size_max: the client's options. */
struct http_follow_options {
	const struct proxies *proxies; /* may be NULL */
	unsigned ratio_max;
	uint64_t body_size_max;
};
WEFT_MUST_CHECK weft_err http_follow(weft_http_client *client, const weft_http_request *request,
	const struct http_follow_options *options, weft_http_response **out, weft_deadline until);

#endif
