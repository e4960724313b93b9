/* SPDX-License-Identifier: MIT */
/* The addresses of http: and https: endpoints; see endpoint.h. */
#include "bridge/endpoint.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/addr.h"

#include <weft/http.h>

#include <stdio.h>
#include <string.h>

/* "tcp://" and what stands between the slashes, with the scheme's port where it has none. */
static char *address_of(const char *authority, size_t len, bool is_https)
{
	const char *bracket = memchr(authority, ']', len);
	const char *from = bracket ? bracket : authority;
	bool has_port = memchr(from, ':', len - (size_t)(from - authority)) != NULL;
	size_t size = strlen("tcp://") + len + strlen(":443") + 1;
	char *address = mem_alloc(size);

	if (address)
		(void)snprintf(address, size, "tcp://%.*s%s", (int)len, authority,
			has_port	   ? ""
				: is_https ? ":443"
					   : ":80");
	return address;
}

/* A path as requests have it; there is no query. text: up to its NUL. */
static weft_err path_copy(struct endpoint *e, const char *text)
{
	static const char prefix[] = "http://localhost";
	weft_http_url url = { .memory = NULL };
	size_t size;
	char *whole;
	weft_err err;

	if (strchr(text, '?'))
		return err_setf(
			WEFT_EINVAL, "a listener's path has no query; options stand behind \"#\"");
	if (!*text)
		text = ENDPOINT_PATH_DEFAULT;
	size = sizeof(prefix) + strlen(text);
	whole = mem_alloc(size);
	if (!whole)
		return err_set(WEFT_ENOMEM);
	(void)snprintf(whole, size, "%s%s", prefix, text);
	err = weft_http_url_parse(&url, whole);
	mem_free(whole);
	if (err)
		return err;
	e->http.path = mem_strdup(url.target);
	weft_http_url_fini(&url);
	return e->http.path ? WEFT_OK : err_set(WEFT_ENOMEM);
}

/* Of a dialer, with "localhost's" address where the host is left out. */
static weft_err url_copy(struct endpoint *e, const char *text, size_t scheme_len)
{
	const char *host = text[scheme_len] == ':' || !text[scheme_len] ? "127.0.0.1" : "";
	size_t size = strlen(text) + strlen(host) + 1;
	weft_http_url url = { .memory = NULL };
	weft_err err;

	e->http.url = mem_alloc(size);
	if (!e->http.url)
		return err_set(WEFT_ENOMEM);
	(void)snprintf(
		e->http.url, size, "%.*s%s%s", (int)scheme_len, text, host, text + scheme_len);
	err = weft_http_url_parse(&url, e->http.url);
	if (!err && url.userinfo)
		err = err_setf(WEFT_EINVAL,
			"a name and password don't belong into a command line: put an Authorization "
			"field into a file, and name it with #header-file=");
	weft_http_url_fini(&url);
	return err;
}

static weft_err address_check(struct endpoint *e)
{
	struct net_addr addr;
	weft_err err = net_addr_parse(
		&addr, e->address, strlen(e->address), e->is_listener ? NET_LISTEN : NET_DIAL);

	if (err || !e->tls.is_on)
		return err;
	e->tls.host = mem_strdup(addr.host);
	return e->tls.host ? WEFT_OK : err_set(WEFT_ENOMEM);
}

weft_err endpoint_http_split(struct endpoint *endpoint, const char *text, const char **options)
{
	size_t scheme_len = strcspn(text, ":") + strlen("://"), authority_len;
	const char *fragment = strchr(text, '#');
	char *rest; /* without options */
	weft_err err = WEFT_OK;

	if (strncmp(text + strcspn(text, ":"), "://", strlen("://")) != 0)
		return err_setf(WEFT_EINVAL, "\"//\" is missing: %s://host:port/path",
			endpoint->tls.is_on ? "https" : "http");
	rest = mem_strndup(text, fragment ? (size_t)(fragment - text) : strlen(text));
	if (!rest)
		return err_set(WEFT_ENOMEM);
	authority_len = strcspn(rest + scheme_len, "/?");
	if (!endpoint->is_listener)
		err = url_copy(endpoint, rest, scheme_len);
	if (!err) {
		endpoint->address =
			address_of(rest + scheme_len, authority_len, endpoint->tls.is_on);
		err = endpoint->address ? address_check(endpoint) : err_set(WEFT_ENOMEM);
	}
	if (!err && endpoint->is_listener)
		err = path_copy(endpoint, rest + scheme_len + authority_len);
	mem_free(rest);
	*options = fragment ? fragment + 1 : NULL;
	return err;
}
