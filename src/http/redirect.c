/* SPDX-License-Identifier: MIT */
/* See redirect.h. */
#include "http/redirect.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 256 /* bytes of a URL in a message */

/* About the body (RFC 9110, section 15.4, item 4 of its list). */
static const char *const content_fields[] = { "Content-Encoding", "Content-Language",
	"Content-Length", "Content-Location", "Content-Type", "Content-Range", "Digest",
	"Content-Digest", "Repr-Digest", "Expect", "Last-Modified", "Trailer",
	"Transfer-Encoding" };
/* What one origin must not learn of another. */
static const char *const origin_fields[] = { "Authorization", "Cookie", "Cookie2",
	"Proxy-Authorization", "Host" };

static bool is_redirect(unsigned status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool becomes_get(unsigned status, const char *method)
{
	if (status == 303)
		return strcmp(method, "HEAD") != 0 && strcmp(method, "GET") != 0;
	return (status == 301 || status == 302) && strcmp(method, "POST") == 0;
}

/* "METHOD URL"; NULL: out of memory. */
static char *request_text(const char *method, const weft_http_url *url)
{
	size_t method_len = strlen(method);
	char none[1];
	size_t url_len = weft_http_url_format(url, none, sizeof(none));
	char *text = mem_alloc(method_len + 1 + url_len + 1);

	if (text) {
		(void)snprintf(text, method_len + 2, "%s ", method);
		(void)weft_http_url_format(url, text + method_len + 1, url_len + 1);
	}
	return text;
}

static weft_err remember(struct redirect_chain *chain, const char *method, const weft_http_url *url)
{
	char *text = request_text(method, url);

	if (!text)
		return err_set(WEFT_ENOMEM);
	chain->seen[chain->seen_count++] = text;
	return WEFT_OK;
}

/* Whether the request that the step leads to was sent before. */
static weft_err is_loop(
	const struct redirect_chain *chain, const char *method, const weft_http_url *url, bool *out)
{
	char *text = request_text(method, url);

	if (!text)
		return err_set(WEFT_ENOMEM);
	*out = false;
	for (unsigned i = 0; i < chain->seen_count && !*out; i++)
		*out = strcmp(chain->seen[i], text) == 0;
	mem_free(text);
	return WEFT_OK;
}

/* What must not be. */
static weft_err check(const struct redirect_chain *chain, const struct redirect_request *sent,
	unsigned status, const struct redirect_step *step)
{
	char to[SHOWN_MAX];
	bool loops = false;
	weft_err err;

	(void)weft_http_url_format(&step->url, to, sizeof(to));
	if (sent->url->is_https && !step->url.is_https && !chain->may_downgrade)
		return err_setf(WEFT_EACCESS, "redirect to %s: refused, for it is without TLS", to);
	if (!step->is_get && sent->body == REDIRECT_BODY_ONCE)
		return err_setf(WEFT_ENOSYS,
			"redirect to %s with status %u: the body can't be sent again", to, status);
	err = is_loop(chain, step->is_get ? "GET" : sent->method, &step->url, &loops);
	if (err)
		return err;
	if (loops)
		return err_setf(WEFT_EPROTO, "redirect to %s: a loop", to);
	if (chain->hops >= chain->hops_max)
		return err_setf(WEFT_ECAPACITY, "redirect to %s: more than %u redirects", to,
			chain->hops_max);
	return WEFT_OK;
}

/* The Location field; NULL: none. */
static weft_err location_get(const char **out, const weft_http_fields *response)
{
	const char *other;

	*out = weft_http_fields_get(response, "Location");
	for (size_t n = 1; *out; n++) {
		other = weft_http_fields_get_nth(response, "Location", n);
		if (!other)
			break;
		if (strcmp(other, *out) != 0)
			return err_setf(WEFT_EPROTO, "redirect to several places at once");
	}
	return WEFT_OK;
}

weft_err redirect_next(struct redirect_chain *chain, const struct redirect_request *sent,
	unsigned status, const weft_http_fields *response, struct redirect_step *step)
{
	struct redirect_step next = { .is_final = true };
	const char *location = NULL;
	weft_err err;

	if (chain->hops_max == 0 || !is_redirect(status)) {
		*step = next;
		return WEFT_OK;
	}
	err = location_get(&location, response);
	if (err || !location) {
		*step = next;
		return err;
	}
	err = weft_http_url_resolve(&next.url, sent->url, location);
	if (err)
		return err_wrap(err == WEFT_ENOMEM ? err : WEFT_EPROTO, "redirect");
	next.is_final = false;
	next.is_get = becomes_get(status, sent->method);
	next.is_new_origin = !weft_http_url_same_origin(sent->url, &next.url);
	err = remember(chain, sent->method, sent->url);
	if (!err)
		err = check(chain, sent, status, &next);
	if (err) {
		weft_http_url_fini(&next.url);
		return err;
	}
	chain->hops++;
	*step = next;
	return WEFT_OK;
}

void redirect_fields(weft_http_fields *fields, const struct redirect_step *step)
{
	if (step->is_get) {
		for (size_t i = 0; i < sizeof(content_fields) / sizeof(content_fields[0]); i++)
			(void)weft_http_fields_remove(fields, content_fields[i]);
	}
	if (step->is_new_origin) {
		for (size_t i = 0; i < sizeof(origin_fields) / sizeof(origin_fields[0]); i++)
			(void)weft_http_fields_remove(fields, origin_fields[i]);
	}
}

void redirect_chain_fini(struct redirect_chain *chain)
{
	for (unsigned i = 0; i < chain->seen_count; i++)
		mem_free(chain->seen[i]);
	chain->seen_count = 0;
}
