/* SPDX-License-Identifier: MIT */
/* Which route a request finds. */
#include "http/router.h"
#include "support/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static weft_err handler(weft_http_exchange *x, void *arg)
{
	(void)x;
	(void)arg;
	return WEFT_OK;
}

static weft_http_router *router;

static void setup(void)
{
	ck_assert_int_eq(weft_http_router_create(&router), WEFT_OK);
}

static void teardown(void)
{
	weft_http_router_unref(router);
}

static void add(const char *method, const char *pattern)
{
	ck_assert_int_eq(weft_http_router_add(router, method, pattern, handler, NULL), WEFT_OK);
}

/* "METHOD PATTERN name=value ..." of what is found, "" for nothing. */
static const char *found(const char *method, const char *path)
{
	static char text[512];
	struct http_match match;
	size_t n;

	if (!http_router_find(router, method, strlen(method), path, strlen(path), &match))
		return "";
	n = (size_t)snprintf(
		text, sizeof(text), "%s %s", match.route->method, match.route->pattern);
	for (uint32_t i = 0; i < match.route->params_len; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %.*s=%.*s",
			(int)match.route->params[i].len,
			match.route->pattern + match.route->params[i].at, (int)match.params[i].len,
			match.params[i].at);
	return text;
}

static const char *allowed(const char *path)
{
	static char text[128];
	size_t len = http_router_allow(router, path, strlen(path), text, sizeof(text) - 1);

	text[len] = '\0';
	return text;
}

START_TEST(the_most_special_pattern_wins)
{
	static const char *const patterns[] = { "/", "/a", "/a/", "/a/b", "/a/{x}", "/a/{x}/c",
		"/{x}/b/c", "/{rest...}", "/files/{path...}", "/files/list", "/u/{id}/posts/{post}",
		"/caf%C3%A9" };
	static const struct {
		const char *path, *found;
	} cases[] = {
		{ "/", "GET /" },
		{ "/a", "GET /a" },
		{ "/a/", "GET /a/" },
		{ "/a/b", "GET /a/b" },
		{ "/a/c", "GET /a/{x} x=c" },
		{ "/a/c/c", "GET /a/{x}/c x=c" },
		/* back from /a/b, which leads no further, then from /a */
		{ "/a/b/c", "GET /a/{x}/c x=b" },
		{ "/a/b/d", "GET /{rest...} rest=a/b/d" },
		{ "/q/b/c", "GET /{x}/b/c x=q" },
		{ "/q", "GET /{rest...} rest=q" },
		{ "/a//", "GET /{rest...} rest=a//" },
		{ "/files/", "GET /files/{path...} path=" },
		{ "/files", "GET /{rest...} rest=files" },
		{ "/files/list", "GET /files/list" },
		{ "/files/list/x", "GET /files/{path...} path=list/x" },
		{ "/u/7/posts/9", "GET /u/{id}/posts/{post} id=7 post=9" },
		{ "/u//posts/9", "GET /{rest...} rest=u//posts/9" },
		/* compared decoded; a '/' that is encoded parts nothing */
		{ "/%61/b", "GET /a/b" },
		{ "/%61%2Fb", "GET /{rest...} rest=%61%2Fb" },
		{ "/a/%2f", "GET /a/{x} x=%2f" },
		{ "/caf%c3%a9", "GET /caf%C3%A9" },
		{ "/caf\xc3\xa9", "GET /caf%C3%A9" },
		{ "*", "" },
		{ "", "" },
	};

	for (size_t i = sizeof(patterns) / sizeof(patterns[0]); i-- > 0;)
		add("GET", patterns[i]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(found("GET", cases[i].path), cases[i].found);
	ck_assert_uint_eq(weft_http_router_count(router), 12);
}
END_TEST

START_TEST(methods_are_part_of_the_match)
{
	add("GET", "/a/{x}");
	add("POST", "/a/b");
	add("*", "/any");
	add("PUT", "/any");
	add("HEAD", "/h");
	add("GET", "/h");
	ck_assert_str_eq(found("POST", "/a/b"), "POST /a/b");
	ck_assert_str_eq(found("GET", "/a/b"), "GET /a/{x} x=b");
	ck_assert_str_eq(found("HEAD", "/a/b"), "GET /a/{x} x=b");
	ck_assert_str_eq(found("HEAD", "/h"), "HEAD /h");
	ck_assert_str_eq(found("PUT", "/any"), "PUT /any");
	ck_assert_str_eq(found("BREW", "/any"), "* /any");
	ck_assert_str_eq(found("get", "/h"), "");
	ck_assert_str_eq(found("DELETE", "/a/b"), "");
	ck_assert_str_eq(allowed("/a/b"), "POST, OPTIONS, GET, HEAD");
	ck_assert_str_eq(allowed("/a/c"), "GET, HEAD, OPTIONS");
	ck_assert_str_eq(allowed("/b"), "");
}
END_TEST

START_TEST(what_is_no_pattern_is_refused)
{
	static const char *const bad[] = { "", "a", "/{", "/}", "/a{x}", "/{x}a", "/{}", "/{...}",
		"/{a-b}", "/{x...}/a", "/{x}/{x}", "/.", "/a/..", "/%2e", "/%zz", "/%4", "/%00",
		"/{{x}}", "/{x..}" };
	char longest[WEFT_HTTP_PATTERN_MAX + 2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(
			weft_http_router_add(router, "GET", bad[i], handler, NULL), WEFT_EINVAL);
		ck_assert_ptr_nonnull(strstr(weft_error_detail(), "route"));
	}
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(weft_http_router_add(router, "GET", longest, handler, NULL), WEFT_EINVAL);
	longest[sizeof(longest) - 2] = '\0';
	ck_assert_int_eq(weft_http_router_add(router, "GET", longest, handler, NULL), WEFT_OK);
	ck_assert_int_eq(weft_http_router_add(router, "G T", "/x", handler, NULL), WEFT_EINVAL);
	ck_assert_int_eq(weft_http_router_add(router, "", "/x", handler, NULL), WEFT_EINVAL);
	ck_assert_int_eq(weft_http_router_add(router, NULL, "/x", handler, NULL), WEFT_EINVAL);
	ck_assert_int_eq(weft_http_router_add(router, "GET", NULL, handler, NULL), WEFT_EINVAL);
	ck_assert_int_eq(weft_http_router_add(router, "GET", "/x", NULL, NULL), WEFT_EINVAL);
	ck_assert_uint_eq(weft_http_router_count(router), 1);
}
END_TEST

START_TEST(segments_and_parameters_are_bounded)
{
	char pattern[512] = "";

	for (int i = 0; i < 64; i++)
		strcat(pattern, "/a");
	add("GET", pattern);
	ck_assert_str_ne(found("GET", pattern), "");
	strcat(pattern, "/a");
	ck_assert_int_eq(weft_http_router_add(router, "GET", pattern, handler, NULL), WEFT_EINVAL);
	/* what nobody has a pattern for may be as deep as it likes */
	ck_assert_str_eq(found("GET", pattern), "");
	pattern[0] = '\0';
	for (int i = 0; i < WEFT_HTTP_PARAMS_MAX; i++)
		snprintf(pattern + strlen(pattern), 16, "/{p%d}", i);
	add("GET", pattern);
	strcat(pattern, "/{q}");
	ck_assert_int_eq(weft_http_router_add(router, "GET", pattern, handler, NULL), WEFT_EINVAL);
	ck_assert_str_eq(found("GET", "/0/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f"),
		"GET /{p0}/{p1}/{p2}/{p3}/{p4}/{p5}/{p6}/{p7}/{p8}/{p9}/{p10}/{p11}/{p12}/{p13}"
		"/{p14}/{p15} p0=0 p1=1 p2=2 p3=3 p4=4 p5=5 p6=6 p7=7 p8=8 p9=9 p10=a p11=b p12=c "
		"p13=d p14=e p15=f");
}
END_TEST

START_TEST(a_route_twice_is_a_duplicate)
{
	add("GET", "/a/{x}/b");
	ck_assert_int_eq(
		weft_http_router_add(router, "GET", "/a/{x}/b", handler, NULL), WEFT_EDUPLICATE);
	/* parameters' names make no difference */
	ck_assert_int_eq(
		weft_http_router_add(router, "GET", "/a/{y}/b", handler, NULL), WEFT_EDUPLICATE);
	ck_assert_int_eq(
		weft_http_router_add(router, "GET", "/%61/{y}/b", handler, NULL), WEFT_EDUPLICATE);
	add("POST", "/a/{y}/b");
	add("GET", "/a/{y...}");
	ck_assert_str_eq(found("POST", "/a/1/b"), "POST /a/{y}/b y=1");
	ck_assert_uint_eq(weft_http_router_count(router), 3);
}
END_TEST

START_TEST(a_router_in_use_does_not_change)
{
	weft_http_router *next;

	add("GET", "/a");
	http_router_fix(router);
	ck_assert_int_eq(weft_http_router_add(router, "GET", "/b", handler, NULL), WEFT_EINVAL);
	ck_assert_int_eq(http_router_with(&next, router, "GET", "/a/b/c", handler, NULL), WEFT_OK);
	ck_assert_str_eq(found("GET", "/a/b/c"), "");
	weft_http_router_unref(router);
	router = next;
	ck_assert_str_eq(found("GET", "/a/b/c"), "GET /a/b/c");
	ck_assert_str_eq(found("GET", "/a"), "GET /a");
}
END_TEST

START_TEST(a_thousand_routes_are_found)
{
	char pattern[64];

	for (int i = 0; i < 1000; i++) {
		snprintf(pattern, sizeof(pattern), "/%d/{x}/%d", i * 7919 % 1000, i);
		add("GET", pattern);
	}
	for (int i = 0; i < 1000; i++) {
		char path[64], want[128];

		snprintf(path, sizeof(path), "/%d/q/%d", i * 7919 % 1000, i);
		snprintf(want, sizeof(want), "GET /%d/{x}/%d x=q", i * 7919 % 1000, i);
		ck_assert_str_eq(found("GET", path), want);
	}
	ck_assert_str_eq(found("GET", "/1000/q/1"), "");
}
END_TEST

START_TEST(memory_that_runs_out_leaves_the_table_as_it_was)
{
	add("GET", "/a/b/{x}");
	T_EACH_FAILING_MALLOC(n) {
		weft_http_router *next = NULL;
		weft_err err = http_router_with(&next, router, "GET", "/a/b/c/d", handler, NULL);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		weft_http_router_unref(next);
		ck_assert_str_eq(found("GET", "/a/b/7"), "GET /a/b/{x} x=7");
		ck_assert_str_eq(found("GET", "/a/b/c/d"), "");
	}
	T_EACH_FAILING_MALLOC(n) {
		weft_http_router *made = NULL;
		weft_err err = weft_http_router_create(&made);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		weft_http_router_unref(made);
	}
}
END_TEST

START_TEST(paths_that_are_not_sound_are_known)
{
	static const char *const sound[] = { "/", "/a/b", "/.a", "/a.", "/...", "/a/.b/c",
		"/%2e%2ea", "/%20", "//", "/a%2fb", "*" };
	static const char *const bad[] = { "/.", "/..", "/a/.", "/a/../b", "/%2e", "/%2E%2e/a",
		"/.%2e", "/a/%2e./", "/%", "/%4", "/%4g", "/%00", "/a/./b" };

	for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++)
		ck_assert_msg(http_path_is_sound(sound[i], strlen(sound[i])), "%s", sound[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!http_path_is_sound(bad[i], strlen(bad[i])), "%s", bad[i]);
}
END_TEST

static void router_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	t_add(tc, the_most_special_pattern_wins);
	t_add(tc, methods_are_part_of_the_match);
	t_add(tc, what_is_no_pattern_is_refused);
	t_add(tc, segments_and_parameters_are_bounded);
	t_add(tc, a_route_twice_is_a_duplicate);
	t_add(tc, a_router_in_use_does_not_change);
	t_add(tc, a_thousand_routes_are_found);
	t_add(tc, memory_that_runs_out_leaves_the_table_as_it_was);
	t_add(tc, paths_that_are_not_sound_are_known);
}
T_SUITE("http_router", router_tests)
