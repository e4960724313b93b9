/* SPDX-License-Identifier: MIT */
/* Where a request goes: a URL in plain form means what it means when it is parsed. */
#include "http/client.h"
#include "support/t.h"

#include <stdio.h>
#include <string.h>

static uint64_t state = 88172645463325252u;

static unsigned below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 32) % n;
}

/* Pieces that URLs are made of, right and wrong. */
static const char *const pieces[] = { "a", "b", "1", "80", "443", "8080", "0", ".", "..", "/", "/",
	"//", "/./", "/../", ":", "?", "&x=", "#", "%41", "%", "-", "_", "~", "[::1]", "@", "A",
	"+", ",", ";", "\\", "|", " ", "127.0.0.1", "host", "65535", "65536", "\xc3\xa9", "!" };
#define PIECES (sizeof(pieces) / sizeof(pieces[0]))

static void url_make(char *out, size_t size)
{
	static const char *const begins[] = { "http://", "https://", "HTTP://", "http://h",
		"http://h/", "http://h:81/", "https://h:443/", "http://1.2.3.4" };
	unsigned count = below(7);

	(void)snprintf(out, size, "%s", begins[below(sizeof(begins) / sizeof(begins[0]))]);
	while (count--)
		(void)snprintf(out + strlen(out), size - strlen(out), "%s", pieces[below(PIECES)]);
}

static void same(
	const char *what, const char *url, const char *a, size_t a_len, const char *b, size_t b_len)
{
	ck_assert_msg(a_len == b_len && memcmp(a, b, a_len) == 0, "%s of %s: %.*s, %.*s", what, url,
		(int)a_len, a, (int)b_len, b);
}

static void want_same(const char *url)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	struct client_route plain, other;
	weft_http_url parsed;
	weft_err err = weft_http_url_parse(&parsed, url);

	request.url = url;
	if (err) {
		ck_assert_msg(client_route_init(&plain, &request) == err, "%s", url);
		return;
	}
	if (parsed.userinfo) {
		ck_assert_int_eq(client_route_init(&plain, &request), WEFT_EINVAL);
		weft_http_url_fini(&parsed);
		return;
	}
	ck_assert_msg(client_route_init(&plain, &request) == WEFT_OK, "%s", url);
	request.url_parsed = &parsed;
	ck_assert_int_eq(client_route_init(&other, &request), WEFT_OK);
	ck_assert_msg(plain.is_https == other.is_https && plain.port == other.port, "%s", url);
	same("host", url, plain.host, plain.host_len, other.host, other.host_len);
	same("authority", url, plain.authority, plain.authority_len, other.authority,
		other.authority_len);
	same("target", url, plain.target, plain.target_len, other.target, other.target_len);
	same("key", url, plain.key.data, plain.key.size, other.key.data, other.key.size);
	client_route_fini(&other);
	client_route_fini(&plain);
	weft_http_url_fini(&parsed);
}

START_TEST(a_url_in_plain_form_means_what_it_means_when_parsed)
{
	char url[256];

	for (int i = 0; i < 30000; i++) {
		url_make(url, sizeof(url));
		want_same(url);
	}
}
END_TEST

/* What makes another connection of it makes another key. */
START_TEST(a_key_tells_places_apart)
{
	static const struct {
		const char *url, *unix_path, *proxy;
		bool tls;
	} all[] = {
		{ "http://h/a", NULL, NULL, false },
		{ "https://h/a", NULL, NULL, false },
		{ "http://h:81/a", NULL, NULL, false },
		{ "http://h/a", "/s", NULL, false },
		{ "http://h/a", "/s2", NULL, false },
		{ "http://h/a", NULL, "http://p/", false },
		{ "http://h/a", NULL, "http://p2/", false },
		{ "http://h/a", NULL, NULL, true },
		{ "http://h/a", "/s", NULL, true },
	};
	struct client_route routes[sizeof(all) / sizeof(all[0])];
	size_t count = sizeof(all) / sizeof(all[0]);

	for (size_t i = 0; i < count; i++) {
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;

		request.url = all[i].url;
		request.unix_path = all[i].unix_path;
		request.proxy = all[i].proxy;
		request.tls = all[i].tls ? (weft_tls *)&state : NULL; /* only its address counts */
		ck_assert_int_eq(client_route_init(&routes[i], &request), WEFT_OK);
		for (size_t k = 0; k < i; k++)
			ck_assert(routes[k].key.size != routes[i].key.size ||
				memcmp(routes[k].key.data, routes[i].key.data,
					routes[i].key.size) != 0);
	}
	for (size_t i = 0; i < count; i++)
		client_route_fini(&routes[i]);
}
END_TEST

static void client_route_tests(TCase *tc)
{
	t_add(tc, a_url_in_plain_form_means_what_it_means_when_parsed);
	t_add(tc, a_key_tells_places_apart);
}

T_SUITE("http client's routes", client_route_tests)
