/* SPDX-License-Identifier: MIT */
/* See proxy.h: which proxy, and what its URL says. */
#include "http/proxy.h"

#include "base/base64.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define PATTERN_MAX 300 /* bytes of an entry of no_proxy that can match anything */
#define USERINFO_MAX 4096
#define SEPARATORS ", \t\r\n"

/* ---- which proxy ---- */

struct proxies {
	/* each may be NULL; all point into this allocation */
	const char *http, *https, *none;
	char text[];
};

static const char *first_of(const char *(*get)(void *user, const char *name), void *user,
	const char *const *names, const char **found)
{
	for (; *names; names++) {
		const char *value = get(user, *names);

		if (value && *value) {
			*found = *names;
			return value;
		}
	}
	return NULL;
}

weft_err proxies_create(
	struct proxies **out, const char *(*get)(void *user, const char *name), void *user)
{
	static const char *const names[3][5] = { { "http_proxy", "all_proxy", "ALL_PROXY" },
		{ "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" },
		{ "no_proxy", "NO_PROXY" } };
	const char *values[3], *copies[3] = { NULL, NULL, NULL }, *found = "";
	size_t size = 0, len;
	struct proxies *proxies;
	char *at;

	for (size_t i = 0; i < 3; i++) {
		values[i] = first_of(get, user, names[i], &found);
		len = values[i] ? strlen(values[i]) : 0;
		if (len > PROXY_TEXT_MAX)
			return err_setf(
				WEFT_EMSGSIZE, "%s has more than %zu bytes", found, PROXY_TEXT_MAX);
		size += len + 1;
	}
	proxies = mem_calloc(1, sizeof(*proxies) + size);
	if (!proxies)
		return err_set(WEFT_ENOMEM);
	at = proxies->text;
	for (size_t i = 0; i < 3; i++) {
		if (!values[i])
			continue;
		len = strlen(values[i]) + 1;
		copies[i] = memcpy(at, values[i], len);
		at += len;
	}
	proxies->http = copies[0];
	proxies->https = copies[1];
	proxies->none = copies[2];
	*out = proxies;
	return WEFT_OK;
}

void proxies_free(struct proxies *proxies)
{
	mem_free(proxies);
}

const char *proxies_choose(const struct proxies *proxies, const weft_http_url *url)
{
	const char *text = url->is_https ? proxies->https : proxies->http;

	return text && !proxy_is_excluded(proxies->none, url) ? text : NULL;
}

/* ---- no_proxy ---- */

/* An address of either family. */
struct address {
	int family;
	size_t bits;
	uint8_t bytes[16];
};

static bool address_parse(struct address *out, const char *text)
{
	out->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	out->bits = out->family == AF_INET6 ? 128 : 32;
	return inet_pton(out->family, text, out->bytes) == 1;
}

static bool is_within(const struct address *a, const struct address *net, size_t bits)
{
	size_t whole = bits / 8, rest = bits % 8;

	if (a->family != net->family || memcmp(a->bytes, net->bytes, whole) != 0)
		return false;
	return rest == 0 || (a->bytes[whole] ^ net->bytes[whole]) >> (8 - rest) == 0;
}

/* "32" of "10.0.0.0/32"; false: no number up to max. */
static bool number_parse(const char *text, size_t max, size_t *out)
{
	size_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (size_t)(*text - '0');
		if (value > max)
			return false;
	}
	*out = value;
	return true;
}

static bool matches_address(char *pattern, const struct address *host)
{
	struct address net = { .family = AF_UNSPEC };
	char *slash = strchr(pattern, '/');
	size_t bits;

	if (slash)
		*slash = '\0';
	if (!address_parse(&net, pattern))
		return false;
	bits = net.bits;
	if (slash && !number_parse(slash + 1, net.bits, &bits))
		return false;
	return is_within(host, &net, bits);
}

/* The host itself, or a domain that it is in. */
static bool matches_name(const char *pattern, const char *host, size_t host_len)
{
	size_t len;

	if (pattern[0] == '*' && pattern[1] == '.')
		pattern++;
	if (pattern[0] == '.')
		pattern++;
	len = strlen(pattern);
	if (len > 0 && pattern[len - 1] == '.')
		len--;
	if (len == 0 || len > host_len)
		return false;
	if (strncasecmp(host + host_len - len, pattern, len) != 0)
		return false;
	return len == host_len || host[host_len - len - 1] == '.';
}

/* Takes "[...]" and ":port" off; false: another port, or no pattern. */
static bool port_matches(char **pattern, uint16_t port)
{
	char *text = *pattern, *colon;
	size_t number;

	if (text[0] == '[') {
		char *close = strchr(text, ']');

		if (!close)
			return false;
		*close = '\0';
		*pattern = text + 1;
		if (!close[1])
			return true;
		colon = close + 1;
	} else {
		colon = strchr(text, ':');
		if (!colon || strchr(colon + 1, ':'))
			return true; /* none, or an IPv6 address as it is */
	}
	if (*colon != ':')
		return false;
	*colon = '\0';
	return number_parse(colon + 1, UINT16_MAX, &number) && number == port;
}

bool proxy_is_excluded(const char *list, const weft_http_url *url)
{
	size_t host_len = strlen(url->host);
	char entry[PATTERN_MAX + 1];
	struct address host;
	bool is_address = address_parse(&host, url->host);

	if (host_len > 1 && url->host[host_len - 1] == '.')
		host_len--;
	for (; list && *list; list += strcspn(list, SEPARATORS)) {
		char *pattern = entry;
		size_t len;

		list += strspn(list, SEPARATORS);
		len = strcspn(list, SEPARATORS);
		if (len == 0 || len > PATTERN_MAX)
			continue;
		memcpy(entry, list, len);
		entry[len] = '\0';
		if (strcmp(entry, "*") == 0)
			return true;
		if (!port_matches(&pattern, url->port))
			continue;
		if (is_address ? matches_address(pattern, &host)
			       : matches_name(pattern, url->host, host_len))
			return true;
	}
	return false;
}

/* ---- a proxy ---- */

/* "user:password" of a URL's userinfo, percent-decoded, into plain: room for a byte more than
 * userinfo has with its NUL. Errors: WEFT_EINVAL. */
static weft_err userinfo_decode(char *plain, size_t *len, const char *userinfo)
{
	bool has_password = strchr(userinfo, ':') != NULL;

	*len = 0;
	for (const char *at = userinfo; *at; at++) {
		char c = *at;

		if (c == '%' && at[1] && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
			c = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
			at += 2;
		}
		if ((unsigned char)c < 0x20 || c == 0x7f)
			return err_setf(WEFT_EINVAL, "control character in user or password");
		plain[(*len)++] = c;
	}
	if (!has_password)
		plain[(*len)++] = ':';
	return WEFT_OK;
}

static weft_err authorization_make(char **out, const char *userinfo)
{
	static const char prefix[] = "Basic ";
	size_t size = strlen(userinfo) + 2, len;
	char *plain, *value = NULL;
	weft_err err;

	if (size > USERINFO_MAX)
		return err_setf(WEFT_EINVAL, "user and password are too long");
	plain = mem_alloc(size);
	if (!plain)
		return err_set(WEFT_ENOMEM);
	err = userinfo_decode(plain, &len, userinfo);
	if (!err) {
		value = mem_alloc(sizeof(prefix) + BASE64_LEN(len));
		err = value ? WEFT_OK : err_set(WEFT_ENOMEM);
	}
	if (value) {
		memcpy(value, prefix, sizeof(prefix) - 1);
		base64_encode(value + sizeof(prefix) - 1, plain, len);
		*out = value;
	}
	mem_free(plain);
	return err;
}

/* A password with a '/' that is not encoded is a mistake, too, which must not show it. */
static const char *behind_userinfo(const char *text)
{
	const char *at = strrchr(text, '@');

	return at ? at + 1 : text;
}

/* "scheme://" at its beginning: how long that is; 0: none, since a password may hold that, too. */
static size_t scheme_len(const char *text)
{
	size_t len =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return len < 64 && strncmp(text + len, "://", 3) == 0 ? len + 3 : 0;
}

/* The URL without user and password, for messages. */
static weft_err bad(weft_err err, const char *text, const char *why)
{
	size_t scheme = scheme_len(text);

	return err_setf(err, "proxy %.*s%.200s: %s", (int)scheme, text,
		behind_userinfo(text + scheme), why);
}

static weft_err url_parse(weft_http_url *out, const char *text)
{
	static const char scheme[] = "http://";
	const char *mark = strstr(text, "://");
	size_t len = strlen(text);
	char *whole;
	weft_err err;

	if (len > PROXY_TEXT_MAX)
		return err_setf(WEFT_EINVAL, "proxy: more than %zu bytes", PROXY_TEXT_MAX);
	if (mark && strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0)
		return bad(WEFT_ENOSYS, text, "only proxies at http:// and https:// are supported");
	whole = mem_alloc(sizeof(scheme) + len);
	if (!whole)
		return err_set(WEFT_ENOMEM);
	memcpy(whole, scheme, sizeof(scheme));
	memcpy(mark ? whole : whole + sizeof(scheme) - 1, text, len + 1);
	err = weft_http_url_parse(out, whole);
	/* that message may show the password */
	if (err && err != WEFT_ENOMEM)
		err = bad(WEFT_EINVAL, text, "not a URL of a proxy");
	mem_free(whole);
	return err;
}

weft_err proxy_parse(struct proxy *out, const char *text)
{
	struct proxy proxy = { .authorization = NULL };
	weft_err err = url_parse(&proxy.url, text);

	if (!err && proxy.url.userinfo) {
		err = authorization_make(&proxy.authorization, proxy.url.userinfo);
		if (err && err != WEFT_ENOMEM)
			err = err_wrap(err, "proxy %s", proxy.url.authority);
	}
	if (err) {
		proxy_fini(&proxy);
		return err;
	}
	*out = proxy;
	return WEFT_OK;
}

void proxy_fini(struct proxy *proxy)
{
	weft_http_url_fini(&proxy->url);
	mem_free(proxy->authorization);
	proxy->authorization = NULL;
}
