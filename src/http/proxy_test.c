/* SPDX-License-Identifier: MIT */
/* Which proxy the environment names, and what a proxy's URL says: by tables. */
#include "base/base64.h"
#include "http/proxy.h"
#include "support/t.h"

#include <string.h>

START_TEST(base64_is_that_of_rfc_4648)
{
	/* section 10 */
	static const char *const cases[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfd\xfb", "//79+w==" } };
	char out[16];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		base64_encode(out, cases[i][0], strlen(cases[i][0]));
		ck_assert_str_eq(out, cases[i][1]);
		ck_assert_uint_eq(strlen(out), BASE64_LEN(strlen(cases[i][0])));
	}
}
END_TEST

/* ---- the environment ---- */

/* "name=value" by name. */
static const char *get(void *user, const char *name)
{
	const char *const *vars = user;
	size_t len = strlen(name);

	for (; *vars; vars++)
		if (strncmp(*vars, name, len) == 0 && (*vars)[len] == '=')
			return *vars + len + 1;
	return NULL;
}

struct choice {
	const char *vars[5];
	const char *url;
	const char *proxy; /* NULL: none */
};

static const struct choice choices[] = {
	{ { NULL }, "http://a/", NULL },
	{ { "http_proxy=p:1" }, "http://a/", "p:1" },
	{ { "http_proxy=p:1" }, "https://a/", NULL },
	{ { "https_proxy=p:1" }, "https://a/", "p:1" },
	{ { "https_proxy=p:1" }, "http://a/", NULL },
	{ { "HTTPS_PROXY=p:1" }, "https://a/", "p:1" },
	/* a client of a CGI program could set it */
	{ { "HTTP_PROXY=p:1" }, "http://a/", NULL },
	{ { "https_proxy=p:1", "HTTPS_PROXY=q:1" }, "https://a/", "p:1" },
	{ { "all_proxy=p:1" }, "http://a/", "p:1" },
	{ { "ALL_PROXY=p:1" }, "https://a/", "p:1" },
	{ { "all_proxy=p:1", "ALL_PROXY=q:1" }, "https://a/", "p:1" },
	{ { "all_proxy=p:1", "http_proxy=q:1" }, "http://a/", "q:1" },
	{ { "all_proxy=p:1", "http_proxy=" }, "http://a/", "p:1" },
	{ { "http_proxy=" }, "http://a/", NULL },
	{ { "http_proxy=p:1", "no_proxy=a" }, "http://a/", NULL },
	{ { "http_proxy=p:1", "NO_PROXY=a" }, "http://a/", NULL },
	{ { "http_proxy=p:1", "no_proxy=b", "NO_PROXY=a" }, "http://a/", "p:1" },
	{ { "http_proxy=p:1", "no_proxy=", "NO_PROXY=a" }, "http://a/", NULL },
	{ { "https_proxy=p:1", "no_proxy=x,a" }, "https://a/", NULL },
};

START_TEST(the_environment_names_a_proxy)
{
	const struct choice *c = &choices[_i];
	struct proxies *proxies;
	weft_http_url url;

	ck_assert_int_eq(weft_http_url_parse(&url, c->url), WEFT_OK);
	ck_assert_int_eq(proxies_create(&proxies, get, (void *)(uintptr_t)c->vars), WEFT_OK);
	ck_assert_pstr_eq(proxies_choose(proxies, &url), c->proxy);
	proxies_free(proxies);
	weft_http_url_fini(&url);
}
END_TEST

static char long_var[PROXY_TEXT_MAX + 64];

START_TEST(a_value_has_a_limit)
{
	const char *vars[] = { long_var, NULL };
	struct proxies *proxies = NULL;

	memset(long_var, 'x', sizeof(long_var) - 1);
	memcpy(long_var, "no_proxy=", 9);
	ck_assert_int_eq(proxies_create(&proxies, get, vars), WEFT_EMSGSIZE);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "no_proxy"));
	long_var[9 + PROXY_TEXT_MAX] = '\0';
	ck_assert_int_eq(proxies_create(&proxies, get, vars), WEFT_OK);
	proxies_free(proxies);
}
END_TEST

struct exclusion {
	const char *list, *url;
	bool is_excluded;
};

static const struct exclusion exclusions[] = {
	{ NULL, "http://a/", false },
	{ "", "http://a/", false },
	{ " , ,", "http://a/", false },
	{ "*", "http://a/", true },
	{ "x, *", "http://10.0.0.1/", true },
	{ "a*", "http://ab/", false },
	{ "*a", "http://ba/", false },
	/* names */
	{ "example.org", "http://example.org/", true },
	{ "Example.ORG", "http://EXAMPLE.org/", true },
	{ "example.org", "http://www.example.org/", true },
	{ "example.org", "http://wwwexample.org/", false },
	{ "example.org", "http://example.org.evil/", false },
	{ "www.example.org", "http://example.org/", false },
	{ ".example.org", "http://www.example.org/", true },
	{ ".example.org", "http://example.org/", true },
	{ "*.example.org", "http://www.example.org/", true },
	{ "example.org.", "http://example.org/", true },
	{ "example.org", "http://example.org./", true },
	{ ".", "http://a/", false },
	{ "*.", "http://a/", false },
	{ "org", "http://example.org/", true },
	{ "a,b c\td", "http://a/", true },
	{ "a,b c\td", "http://b/", true },
	{ "a,b c\td", "http://c/", true },
	{ "a,b c\td", "http://d/", true },
	{ "a,b c\td", "http://e/", false },
	/* ports */
	{ "a:80", "http://a/", true },
	{ "a:80", "https://a/", false },
	{ "a:443", "https://a/", true },
	{ "a:8080", "http://a:8080/", true },
	{ "a:8080", "http://b.a:8080/", true },
	{ "a:", "http://a/", false },
	{ "a:x", "http://a/", false },
	{ "a:65536", "http://a/", false },
	/* addresses */
	{ "10.0.0.1", "http://10.0.0.1/", true },
	{ "10.0.0.1", "http://10.0.0.11/", false },
	{ "0.0.1", "http://10.0.0.1/", false },
	{ "10.0.0.1:80", "http://10.0.0.1/", true },
	{ "10.0.0.1:81", "http://10.0.0.1/", false },
	{ "10.0.0.0/8", "http://10.200.3.4/", true },
	{ "10.0.0.0/8", "http://11.0.0.1/", false },
	{ "10.0.0.0/9", "http://10.127.0.1/", true },
	{ "10.0.0.0/9", "http://10.128.0.1/", false },
	{ "10.0.0.0/32", "http://10.0.0.0/", true },
	{ "10.0.0.0/33", "http://10.0.0.0/", false },
	{ "10.0.0.0/", "http://10.0.0.0/", false },
	{ "10.0.0.0/x", "http://10.0.0.0/", false },
	{ "0.0.0.0/0", "http://1.2.3.4/", true },
	{ "0.0.0.0/0", "http://[::1]/", false },
	{ "10.0.0.0/8", "http://a/", false },
	{ "::1", "http://[::1]/", true },
	{ "[::1]", "http://[::1]/", true },
	{ "[::1]:80", "http://[::1]/", true },
	{ "[::1]:81", "http://[::1]/", false },
	{ "[::1", "http://[::1]/", false },
	{ "[::1]x", "http://[::1]/", false },
	{ "0:0:0:0:0:0:0:1", "http://[::1]/", true },
	{ "fd00::/8", "http://[fd12::3]/", true },
	{ "fd00::/8", "http://[fe80::3]/", false },
};

START_TEST(no_proxy_lists_hosts)
{
	const struct exclusion *c = &exclusions[_i];
	weft_http_url url;

	ck_assert_int_eq(weft_http_url_parse(&url, c->url), WEFT_OK);
	ck_assert_msg(
		proxy_is_excluded(c->list, &url) == c->is_excluded, "%s: %s", c->list, c->url);
	weft_http_url_fini(&url);
}
END_TEST

START_TEST(an_entry_that_is_too_long_is_passed_over)
{
	weft_http_url url;

	memset(long_var, 'x', 1000);
	memcpy(long_var + 1000, ",a", 3);
	ck_assert_int_eq(weft_http_url_parse(&url, "http://a/"), WEFT_OK);
	ck_assert(proxy_is_excluded(long_var, &url));
	weft_http_url_fini(&url);
}
END_TEST

/* ---- a proxy's URL ---- */

struct parsed {
	const char *text, *authority;
	uint16_t port;
	bool is_https;
	const char *authorization;
};

static const struct parsed parsed[] = {
	{ "http://p:3128", "p:3128", 3128, false, NULL },
	{ "p:3128", "p:3128", 3128, false, NULL },
	{ "p", "p", 80, false, NULL },
	{ "http://p/", "p", 80, false, NULL },
	{ "https://p", "p", 443, true, NULL },
	{ "HTTPS://P:1/ignored?x", "p:1", 1, true, NULL },
	{ "http://[::1]:8080", "[::1]:8080", 8080, false, NULL },
	{ "http://Aladdin:open%20sesame@p:1", "p:1", 1, false,
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
	{ "u:p@h:1", "h:1", 1, false, "Basic dTpw" },
	{ "http://u@h:1", "h:1", 1, false, "Basic dTo=" },
	{ "http://u:@h:1", "h:1", 1, false, "Basic dTo=" },
	{ "http://u:a%3Ab%@h:1", "h:1", 1, false, "Basic dTphOmIl" },
	{ "http://u:%c3%A9@h:1", "h:1", 1, false, "Basic dTrDqQ==" },
};

START_TEST(a_proxys_url_parses)
{
	const struct parsed *c = &parsed[_i];
	struct proxy proxy;

	ck_assert_int_eq(proxy_parse(&proxy, c->text), WEFT_OK);
	ck_assert_str_eq(proxy.url.authority, c->authority);
	ck_assert_int_eq(proxy.url.port, c->port);
	ck_assert_int_eq(proxy.url.is_https, c->is_https);
	ck_assert_pstr_eq(proxy.authorization, c->authorization);
	proxy_fini(&proxy);
}
END_TEST

struct refused {
	const char *text;
	weft_err err;
	const char *named;
};

static const struct refused refusals[] = {
	{ "", WEFT_EINVAL, "proxy" },
	{ "http://", WEFT_EINVAL, "http://" },
	{ "http://secret:secret@", WEFT_EINVAL, "http://" },
	{ "http://secret:sec/ret@h", WEFT_EINVAL, "http://" },
	{ "http://secret:secret@h:70000", WEFT_EINVAL, "h:70000" },
	{ "http://secret@secret@h", WEFT_EINVAL, "http://h" },
	{ "http://u%0d%0aX:secret@h", WEFT_EINVAL, "proxy h" },
	{ "http://u%00:secret@h", WEFT_EINVAL, "proxy h" },
	{ "h:port", WEFT_EINVAL, "h:port" },
	{ "secret:sec://ret@h:1080", WEFT_ENOSYS, "proxy h:1080" },
	{ "socks5://secret:secret@h:1080", WEFT_ENOSYS, "socks5://h:1080" },
	{ "socks4a://h", WEFT_ENOSYS, "socks4a://h" },
	{ "ftp://h", WEFT_ENOSYS, "ftp://h" },
};

START_TEST(what_is_no_proxy_is_refused_without_showing_its_password)
{
	const struct refused *c = &refusals[_i];
	struct proxy proxy = { .authorization = NULL };

	ck_assert_int_eq(proxy_parse(&proxy, c->text), c->err);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), c->named));
	ck_assert_msg(!strstr(weft_error_detail(), "sec"), "%s", weft_error_detail());
	ck_assert_ptr_null(proxy.authorization);
}
END_TEST

START_TEST(out_of_memory_is_returned)
{
	const char *vars[] = { "http_proxy=http://u:p@h:1", "no_proxy=a", NULL };
	weft_http_url url;

	ck_assert_int_eq(weft_http_url_parse(&url, "http://b/"), WEFT_OK);
	T_EACH_FAILING_MALLOC(n) {
		struct proxies *proxies = NULL;
		struct proxy proxy = { .authorization = NULL };
		weft_err err = proxies_create(&proxies, get, vars);

		if (!err)
			err = proxy_parse(&proxy, proxies_choose(proxies, &url));
		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		proxy_fini(&proxy);
		proxies_free(proxies);
	}
	weft_http_url_fini(&url);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static void proxy_tests(TCase *tc)
{
	t_add(tc, base64_is_that_of_rfc_4648);
	t_add_loop(tc, the_environment_names_a_proxy, 0, COUNT(choices));
	t_add(tc, a_value_has_a_limit);
	t_add_loop(tc, no_proxy_lists_hosts, 0, COUNT(exclusions));
	t_add(tc, an_entry_that_is_too_long_is_passed_over);
	t_add_loop(tc, a_proxys_url_parses, 0, COUNT(parsed));
	t_add_loop(
		tc, what_is_no_proxy_is_refused_without_showing_its_password, 0, COUNT(refusals));
	t_add(tc, out_of_memory_is_returned);
}
T_SUITE("proxy", proxy_tests)
