/* SPDX-License-Identifier: MIT */
#include <weft/http.h>

#include "support/t.h"

#include <stdio.h>
#include <string.h>

/* Of http://u:p@H:80/a#f: what a caller sees. */
static void shows(const weft_http_url *url, const char *expected)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s %s %s %u %s %s %s", url->is_https ? "https" : "http",
		url->host, url->authority, url->port, url->target,
		url->userinfo ? url->userinfo : "-", url->fragment ? url->fragment : "-");
	ck_assert_str_eq(text, expected);
}

static const struct {
	const char *url, *shows;
} good[] = {
	{ "http://a", "http a a 80 / - -" },
	{ "HTTP://A.Example:80/x", "http a.example a.example 80 /x - -" },
	{ "https://a:443?q", "https a a 443 /?q - -" },
	{ "https://a:8443/#f?/", "https a a:8443 8443 / - f?/" },
	{ "http://u:p%20w@a:/b?c=d?e#", "http a a 80 /b?c=d?e u:p%20w " },
	{ "http://[::1]:8080/", "http ::1 [::1]:8080 8080 / - -" },
	{ "http://[2001:DB8::1]", "http 2001:db8::1 [2001:db8::1] 80 / - -" },
	{ "http://127.0.0.1:1/a b\"<>\\^`{|}",
		"http 127.0.0.1 127.0.0.1:1 1 "
		"/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D - -" },
	{ "http://a/\xc3\xa4?\xc3\xb6#\xc3\xbc", "http a a 80 /%C3%A4?%C3%B6 - %C3%BC" },
	{ "http://a/%41%zz", "http a a 80 /%41%zz - -" },
	{ "http://a/b/./c/../d/..", "http a a 80 /b/ - -" },
	{ "http://a/../../b/.", "http a a 80 /b/ - -" },
	{ "http://a//b/..//c?/../d", "http a a 80 ///c?/../d - -" },
	{ "http://a/...", "http a a 80 /... - -" },
	{ "http://a/?b@c:d/e", "http a a 80 /?b@c:d/e - -" },
};

START_TEST(url_parts)
{
	weft_http_url url;

	ck_assert_int_eq(weft_http_url_parse(&url, good[_i].url), WEFT_OK);
	shows(&url, good[_i].shows);
	weft_http_url_fini(&url);
	weft_http_url_fini(&url);
}
END_TEST

static const struct {
	const char *url, *says;
} bad[] = {
	{ "", "neither http:// nor https:// at byte 0" },
	{ "a/b", "neither http:// nor" },
	{ "ftp://a", "neither http:// nor" },
	{ "http:/a", "neither http:// nor" },
	{ "http://", "no host at byte 7" },
	{ "http://:80", "no host at byte 7" },
	{ "http://u@/", "no host at byte 9" },
	{ "http://a b/", "character that no host name has at byte 8" },
	{ "http://a%41/", "character that no host name has at byte 8" },
	{ "http://a\\@b/", "character that no user name or password has at byte 8" },
	{ "http://a\\b/", "character that no host name has at byte 8" },
	{ "http://a@b@c/", "a second '@' at byte 10" },
	{ "http://\xc3\xa4/", "outside ASCII" },
	{ "http://[::1/", "'[' without ']' at byte 7" },
	{ "http://[::1%25lo]/", "not an IPv6 address at byte 8" },
	{ "http://[1.2.3.4]/", "not an IPv6 address" },
	{ "http://[::1]x/", "between ']' and the port at byte 12" },
	{ "http://a:b/", "port is not a number at byte 9" },
	{ "http://a:-1/", "port is not a number at byte 9" },
	{ "http://a:0/", "port 0 at byte 9" },
	{ "http://a:65536/", "port above 65535 at byte 9" },
	{ "http://a:99999999999/", "port above 65535" },
	{ "http://a/\r\nX: y", "control character at byte 9" },
	{ "http://a/\x7f", "control character at byte 9" },
};

START_TEST(url_refuses_with_what_and_where)
{
	weft_http_url url = { .port = 7 };

	ck_assert_int_eq(weft_http_url_parse(&url, bad[_i].url), WEFT_EINVAL);
	ck_assert_msg(strstr(weft_error_detail(), bad[_i].says), "%s", weft_error_detail());
	ck_assert_uint_eq(url.port, 7);
}
END_TEST

START_TEST(url_refuses_without_showing_a_password)
{
	static const char *const all[] = { "http://u:secret@h:99999/", "https://u:sec ret@h/",
		"http://u:secret/x@h/", "ftp://u:secret@h/", "http://u:se@cret@h/", "u:secret@h",
		"HTTPS://u:secret@h h/" };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		weft_http_url url;

		ck_assert_int_eq(weft_http_url_parse(&url, all[i]), WEFT_EINVAL);
		ck_assert_msg(!strstr(weft_error_detail(), "cret") &&
				!strstr(weft_error_detail(), "c ret"),
			"%s", weft_error_detail());
		ck_assert_msg(strstr(weft_error_detail(), "@h"), "%s", weft_error_detail());
	}
}
END_TEST

START_TEST(url_is_bounded)
{
	static char text[WEFT_HTTP_URL_MAX + 2] = "http://a/";
	weft_http_url url;

	memset(text + 9, ' ', sizeof(text) - 10);
	ck_assert_int_eq(weft_http_url_parse(&url, text), WEFT_EMSGSIZE);
	text[WEFT_HTTP_URL_MAX] = '\0';
	ck_assert_int_eq(weft_http_url_parse(&url, text), WEFT_OK);
	ck_assert_uint_eq(strlen(url.target), 1 + 3 * (WEFT_HTTP_URL_MAX - 9));
	weft_http_url_fini(&url);
	memset(text + 7, 'a', 254);
	text[7 + 254] = '\0';
	ck_assert_int_eq(weft_http_url_parse(&url, text), WEFT_EINVAL);
	text[7 + 253] = '\0';
	ck_assert_int_eq(weft_http_url_parse(&url, text), WEFT_OK);
	weft_http_url_fini(&url);
}
END_TEST

/* RFC 3986, section 5.4, where the base has that scheme; and what redirects do. */
static const struct {
	const char *base, *reference, *shows;
} references[] = {
	{ "http://a/b/c/d;p?q", "g", "http a a 80 /b/c/g - -" },
	{ "http://a/b/c/d;p?q", "./g/", "http a a 80 /b/c/g/ - -" },
	{ "http://a/b/c/d;p?q", "/g", "http a a 80 /g - -" },
	{ "http://a/b/c/d;p?q", "//g", "http g g 80 / - -" },
	{ "http://a/b/c/d;p?q", "?y", "http a a 80 /b/c/d;p?y - -" },
	{ "http://a/b/c/d;p?q", "g?y#s", "http a a 80 /b/c/g?y - s" },
	{ "http://a/b/c/d;p?q", "#s", "http a a 80 /b/c/d;p?q - s" },
	{ "http://a/b/c/d;p?q", ";x", "http a a 80 /b/c/;x - -" },
	{ "http://a/b/c/d;p?q", "", "http a a 80 /b/c/d;p?q - -" },
	{ "http://a/b/c/d;p?q", "..", "http a a 80 /b/ - -" },
	{ "http://a/b/c/d;p?q", "../../../g", "http a a 80 /g - -" },
	{ "http://a/b/c/d;p?q", "g;x=1/../y", "http a a 80 /b/c/y - -" },
	{ "http://a/b/c/d;p?q", "g?y/../x", "http a a 80 /b/c/g?y/../x - -" },
	{ "https://u:p@a:8443/b#f", "c", "https a a:8443 8443 /c u:p f" },
	{ "https://a/b#f", "http://c/d", "http c c 80 /d - f" },
	{ "https://a/b#f", "http://c/d#g", "http c c 80 /d - g" },
	{ "http://a?q", "b", "http a a 80 /b - -" },
	{ "http://a/x/y", "b:80/c", NULL },
	{ "http://a/x/y", "javascript:alert(1)", NULL },
	{ "http://a/x/y", "./b:80/c", "http a a 80 /x/b:80/c - -" },
};

START_TEST(url_references)
{
	weft_http_url base, url;
	weft_err err;

	ck_assert_int_eq(weft_http_url_parse(&base, references[_i].base), WEFT_OK);
	err = weft_http_url_resolve(&url, &base, references[_i].reference);
	if (references[_i].shows) {
		ck_assert_int_eq(err, WEFT_OK);
		shows(&url, references[_i].shows);
		weft_http_url_fini(&url);
	} else {
		ck_assert_int_eq(err, WEFT_EINVAL);
	}
	weft_http_url_fini(&base);
}
END_TEST

START_TEST(url_origins_and_text)
{
	weft_http_url a, b;
	char text[64];

	ck_assert_int_eq(weft_http_url_parse(&a, "http://u@A:80/x?y#z"), WEFT_OK);
	ck_assert_int_eq(weft_http_url_parse(&b, "http://a/"), WEFT_OK);
	ck_assert(weft_http_url_same_origin(&a, &b));
	ck_assert_uint_eq(weft_http_url_format(&a, text, sizeof(text)), 12);
	ck_assert_str_eq(text, "http://a/x?y");
	ck_assert_uint_eq(weft_http_url_format(&a, text, 5), 12);
	ck_assert_str_eq(text, "http");
	weft_http_url_fini(&b);
	ck_assert_int_eq(weft_http_url_parse(&b, "https://a:80/"), WEFT_OK);
	ck_assert(!weft_http_url_same_origin(&a, &b));
	weft_http_url_fini(&b);
	ck_assert_int_eq(weft_http_url_parse(&b, "http://a:81/"), WEFT_OK);
	ck_assert(!weft_http_url_same_origin(&a, &b));
	weft_http_url_fini(&b);
	weft_http_url_fini(&a);
}
END_TEST

START_TEST(url_survives_every_failing_allocation)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_http_url a, b;
		weft_err err = weft_http_url_parse(&a, "http://a/b#c");

		if (!err) {
			err = weft_http_url_resolve(&b, &a, "d");
			if (!err)
				weft_http_url_fini(&b);
			if (!err)
				err = weft_http_url_resolve(&b, &a, "http://b/");
			if (!err)
				weft_http_url_fini(&b);
			weft_http_url_fini(&a);
		}
		ck_assert(err == (t_malloc_failed() ? WEFT_ENOMEM : WEFT_OK));
	}
}
END_TEST

static void url_tests(TCase *tc)
{
	t_add_loop(tc, url_parts, 0, sizeof(good) / sizeof(good[0]));
	t_add_loop(tc, url_refuses_with_what_and_where, 0, sizeof(bad) / sizeof(bad[0]));
	t_add(tc, url_refuses_without_showing_a_password);
	t_add(tc, url_is_bounded);
	t_add_loop(tc, url_references, 0, sizeof(references) / sizeof(references[0]));
	t_add(tc, url_origins_and_text);
	t_add(tc, url_survives_every_failing_allocation);
}
T_SUITE("http/url", url_tests)
