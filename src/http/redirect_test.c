/* SPDX-License-Identifier: MIT */
/* What follows a response that redirects, by tables. */
#include "http/redirect.h"
#include "support/t.h"

#include <stdio.h>
#include <string.h>

struct step_case {
	const char *method, *from;
	unsigned status;
	const char *location; /* NULL: none */
	const char *to;	      /* NULL: the response is the answer */
	bool is_get, is_new_origin;
};

static const struct step_case steps[] = {
	/* who becomes GET */
	{ "GET", "http://a/", 301, "/b", "http://a/b", false, false },
	{ "GET", "http://a/", 302, "/b", "http://a/b", false, false },
	{ "GET", "http://a/", 303, "/b", "http://a/b", false, false },
	{ "GET", "http://a/", 307, "/b", "http://a/b", false, false },
	{ "GET", "http://a/", 308, "/b", "http://a/b", false, false },
	{ "HEAD", "http://a/", 301, "/b", "http://a/b", false, false },
	{ "HEAD", "http://a/", 303, "/b", "http://a/b", false, false },
	{ "POST", "http://a/", 301, "/b", "http://a/b", true, false },
	{ "POST", "http://a/", 302, "/b", "http://a/b", true, false },
	{ "POST", "http://a/", 303, "/b", "http://a/b", true, false },
	{ "POST", "http://a/", 307, "/b", "http://a/b", false, false },
	{ "POST", "http://a/", 308, "/b", "http://a/b", false, false },
	{ "PUT", "http://a/", 301, "/b", "http://a/b", false, false },
	{ "PUT", "http://a/", 302, "/b", "http://a/b", false, false },
	{ "PUT", "http://a/", 303, "/b", "http://a/b", true, false },
	{ "DELETE", "http://a/", 303, "/b", "http://a/b", true, false },
	{ "DELETE", "http://a/", 302, "/b", "http://a/b", false, false },
	/* a method is told from POST by its case (RFC 9110, section 9.1) */
	{ "post", "http://a/", 302, "/b", "http://a/b", false, false },
	/* what is no redirect */
	{ "GET", "http://a/", 200, "/b", NULL, false, false },
	{ "GET", "http://a/", 201, "/b", NULL, false, false },
	{ "GET", "http://a/", 300, "/b", NULL, false, false },
	{ "GET", "http://a/", 304, "/b", NULL, false, false },
	{ "GET", "http://a/", 305, "/b", NULL, false, false },
	{ "GET", "http://a/", 306, "/b", NULL, false, false },
	{ "GET", "http://a/", 309, "/b", NULL, false, false },
	{ "GET", "http://a/", 302, NULL, NULL, false, false },
	/* where to (RFC 3986, section 5.2) */
	{ "GET", "http://a/x/y?q", 302, "z", "http://a/x/z", false, false },
	{ "GET", "http://a/x/y?q", 302, "?p", "http://a/x/y?p", false, false },
	{ "GET", "http://a/x/y", 302, "../z", "http://a/z", false, false },
	{ "GET", "http://a/x/y", 302, "//b/z", "http://b/z", false, true },
	{ "GET", "https://a/x", 302, "//b:1/z", "https://b:1/z", false, true },
	{ "GET", "http://a/x", 302, "http://A:80/y", "http://a/y", false, false },
	{ "GET", "http://a/x#f", 302, "/y", "http://a/y", false, false },
	{ "GET", "http://a/", 302, "/a b\xc3\xa9", "http://a/a%20b%C3%A9", false, false },
	{ "GET", "http://a/", 302, "http://u:p@a/b", "http://a/b", false, false },
	/* another origin */
	{ "GET", "http://a/", 302, "https://a/", "https://a/", false, true },
	{ "GET", "http://a/", 302, "http://a:81/", "http://a:81/", false, true },
	{ "GET", "http://a/", 302, "http://b.a/", "http://b.a/", false, true },
	{ "POST", "https://a/", 303, "https://b/", "https://b/", true, true },
};

static struct redirect_request sent_make(const char *method, weft_http_url *url, const char *text)
{
	ck_assert_int_eq(weft_http_url_parse(url, text), WEFT_OK);
	return (struct redirect_request){ .method = method, .url = url };
}

static weft_http_fields *fields_of(const char *name, const char *value)
{
	weft_http_fields *fields;

	ck_assert_int_eq(weft_http_fields_create(&fields), WEFT_OK);
	if (value)
		ck_assert_int_eq(weft_http_fields_add(fields, name, value), WEFT_OK);
	return fields;
}

/* One step of a chain; url becomes the new one. */
static weft_err go(struct redirect_chain *chain, struct redirect_request *sent, weft_http_url *url,
	unsigned status, const char *location, struct redirect_step *step)
{
	weft_http_fields *fields = fields_of("Location", location);
	weft_err err = redirect_next(chain, sent, status, fields, step);

	weft_http_fields_free(fields);
	if (!err && !step->is_final) {
		weft_http_url_fini(url);
		*url = step->url;
		if (step->is_get)
			sent->method = "GET";
	}
	return err;
}

START_TEST(each_status_says_what_follows)
{
	const struct step_case *c = &steps[_i];
	struct redirect_chain chain = { .hops_max = 10 };
	struct redirect_step step;
	weft_http_url url;
	struct redirect_request sent = sent_make(c->method, &url, c->from);
	char text[256];

	ck_assert_int_eq(go(&chain, &sent, &url, c->status, c->location, &step), WEFT_OK);
	ck_assert_int_eq(step.is_final, c->to == NULL);
	if (c->to) {
		weft_http_url_format(&url, text, sizeof(text));
		ck_assert_str_eq(text, c->to);
		ck_assert_int_eq(step.is_get, c->is_get);
		ck_assert_int_eq(step.is_new_origin, c->is_new_origin);
	}
	weft_http_url_fini(&url);
	redirect_chain_fini(&chain);
}
END_TEST

struct bad_case {
	const char *method, *from;
	enum redirect_body body;
	unsigned status;
	const char *location;
	weft_err err;
	const char *text; /* in the message */
};

static const struct bad_case bads[] = {
	{ "GET", "https://a/x", REDIRECT_NO_BODY, 302, "http://a/x", WEFT_EACCESS, "without TLS" },
	{ "GET", "http://a/", REDIRECT_NO_BODY, 302, "ftp://a/x", WEFT_EPROTO, "ftp://a/x" },
	{ "GET", "http://a/", REDIRECT_NO_BODY, 302, "file:///etc/passwd", WEFT_EPROTO, "file:" },
	{ "GET", "http://a/", REDIRECT_NO_BODY, 302, "http://", WEFT_EPROTO, "no host" },
	{ "GET", "http://a/", REDIRECT_NO_BODY, 302, "http://b:0/", WEFT_EPROTO, "port 0" },
	{ "GET", "http://a/x", REDIRECT_NO_BODY, 302, "x", WEFT_EPROTO, "a loop" },
	{ "GET", "http://a/x", REDIRECT_NO_BODY, 302, "", WEFT_EPROTO, "a loop" },
	{ "GET", "http://a/x", REDIRECT_NO_BODY, 302, "#there", WEFT_EPROTO, "a loop" },
	{ "POST", "http://a/x", REDIRECT_BODY_AGAIN, 307, "x", WEFT_EPROTO, "a loop" },
	{ "POST", "http://a/", REDIRECT_BODY_ONCE, 307, "/b", WEFT_ENOSYS, "307" },
	{ "POST", "http://a/", REDIRECT_BODY_ONCE, 308, "/b", WEFT_ENOSYS, "again" },
	{ "PUT", "http://a/", REDIRECT_BODY_ONCE, 302, "/b", WEFT_ENOSYS, "again" },
};

START_TEST(what_must_not_be_is_refused)
{
	const struct bad_case *c = &bads[_i];
	struct redirect_chain chain = { .hops_max = 10 };
	struct redirect_step step;
	weft_http_url url;
	struct redirect_request sent = sent_make(c->method, &url, c->from);

	sent.body = c->body;
	ck_assert_int_eq(go(&chain, &sent, &url, c->status, c->location, &step), c->err);
	ck_assert_msg(strstr(weft_error_detail(), c->text) != NULL, "%s", weft_error_detail());
	weft_http_url_fini(&url);
	redirect_chain_fini(&chain);
}
END_TEST

START_TEST(a_body_that_is_sent_once_may_become_a_get)
{
	struct redirect_chain chain = { .hops_max = 10 };
	struct redirect_step step;
	weft_http_url url;
	struct redirect_request sent = sent_make("POST", &url, "http://a/");

	sent.body = REDIRECT_BODY_ONCE;
	ck_assert_int_eq(go(&chain, &sent, &url, 303, "/b", &step), WEFT_OK);
	ck_assert(step.is_get);
	weft_http_url_fini(&url);
	redirect_chain_fini(&chain);
}
END_TEST

START_TEST(a_post_that_leads_to_its_own_url_as_get_is_no_loop)
{
	struct redirect_chain chain = { .hops_max = 10 };
	struct redirect_step step;
	weft_http_url url;
	struct redirect_request sent = sent_make("POST", &url, "http://a/form");

	ck_assert_int_eq(go(&chain, &sent, &url, 303, "/form", &step), WEFT_OK);
	ck_assert_int_eq(go(&chain, &sent, &url, 302, "/form", &step), WEFT_EPROTO);
	weft_http_url_fini(&url);
	redirect_chain_fini(&chain);
}
END_TEST

START_TEST(a_longer_loop_is_found)
{
	struct redirect_chain chain = { .hops_max = 50 };
	struct redirect_step step;
	weft_http_url url;
	struct redirect_request sent = sent_make("GET", &url, "http://a/1");

	ck_assert_int_eq(go(&chain, &sent, &url, 302, "http://b/2", &step), WEFT_OK);
	ck_assert_int_eq(go(&chain, &sent, &url, 302, "http://c/3", &step), WEFT_OK);
	ck_assert_int_eq(go(&chain, &sent, &url, 302, "http://b/2", &step), WEFT_EPROTO);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "redirect to http://b/2: a loop"));
	weft_http_url_fini(&url);
	redirect_chain_fini(&chain);
}
END_TEST

START_TEST(hops_have_a_limit)
{
	static const unsigned limits[] = { 1, 10, REDIRECT_HOPS_MAX };

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct redirect_chain chain = { .hops_max = limits[i] };
		struct redirect_step step;
		weft_http_url url;
		struct redirect_request sent = sent_make("GET", &url, "http://a/0");
		char location[32];

		for (unsigned n = 1; n <= limits[i]; n++) {
			snprintf(location, sizeof(location), "/%u", n);
			ck_assert_int_eq(go(&chain, &sent, &url, 302, location, &step), WEFT_OK);
		}
		ck_assert_int_eq(go(&chain, &sent, &url, 302, "/x", &step), WEFT_ECAPACITY);
		ck_assert_ptr_nonnull(strstr(weft_error_detail(), "http://a/x"));
		/* an answer is one, also then */
		ck_assert_int_eq(go(&chain, &sent, &url, 200, NULL, &step), WEFT_OK);
		ck_assert(step.is_final);
		weft_http_url_fini(&url);
		redirect_chain_fini(&chain);
	}
}
END_TEST

START_TEST(without_hops_each_response_is_the_answer)
{
	struct redirect_chain chain = { .hops_max = 0 };
	struct redirect_step step;
	weft_http_url url;
	struct redirect_request sent = sent_make("GET", &url, "https://a/0");

	ck_assert_int_eq(go(&chain, &sent, &url, 302, "http://b/", &step), WEFT_OK);
	ck_assert(step.is_final);
	weft_http_url_fini(&url);
	redirect_chain_fini(&chain);
}
END_TEST

START_TEST(tls_may_be_given_up_when_that_is_allowed)
{
	struct redirect_chain chain = { .hops_max = 10, .may_downgrade = true };
	struct redirect_step step;
	weft_http_url url;
	struct redirect_request sent = sent_make("GET", &url, "https://a/");

	ck_assert_int_eq(go(&chain, &sent, &url, 302, "http://a/", &step), WEFT_OK);
	ck_assert(step.is_new_origin);
	weft_http_url_fini(&url);
	redirect_chain_fini(&chain);
}
END_TEST

START_TEST(locations_that_differ_are_refused)
{
	struct redirect_chain chain = { .hops_max = 10 };
	struct redirect_step step;
	weft_http_url url;
	struct redirect_request sent = sent_make("GET", &url, "http://a/");
	weft_http_fields *fields = fields_of("Location", "/b");

	ck_assert_int_eq(weft_http_fields_add(fields, "location", "/b"), WEFT_OK);
	ck_assert_int_eq(redirect_next(&chain, &sent, 302, fields, &step), WEFT_OK);
	weft_http_url_fini(&step.url);
	ck_assert_int_eq(weft_http_fields_add(fields, "Location", "/c"), WEFT_OK);
	ck_assert_int_eq(redirect_next(&chain, &sent, 302, fields, &step), WEFT_EPROTO);
	weft_http_fields_free(fields);
	weft_http_url_fini(&url);
	redirect_chain_fini(&chain);
}
END_TEST

static weft_http_fields *all_fields(void)
{
	static const char *const lines[] = { "Accept: */*", "authorization: Bearer s",
		"Authorization: Basic s", "COOKIE: a=b", "Proxy-Authorization: Basic s",
		"Content-Type: text/plain", "Content-Encoding: gzip", "Host: other", "Trailer: x",
		"X-Own: 1" };
	weft_http_fields *fields = fields_of("", NULL);

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ck_assert_int_eq(weft_http_fields_add_line(fields, lines[i]), WEFT_OK);
	return fields;
}

START_TEST(credentials_stay_within_their_origin)
{
	struct redirect_step step = { .is_new_origin = true };
	weft_http_fields *fields = all_fields();

	redirect_fields(fields, &step);
	ck_assert_ptr_null(weft_http_fields_get(fields, "Authorization"));
	ck_assert_ptr_null(weft_http_fields_get(fields, "Cookie"));
	ck_assert_ptr_null(weft_http_fields_get(fields, "Proxy-Authorization"));
	ck_assert_ptr_null(weft_http_fields_get(fields, "Host"));
	ck_assert_uint_eq(weft_http_fields_count(fields), 5);
	weft_http_fields_free(fields);

	step.is_new_origin = false;
	fields = all_fields();
	redirect_fields(fields, &step);
	ck_assert_uint_eq(weft_http_fields_count(fields), 10);
	weft_http_fields_free(fields);
}
END_TEST

START_TEST(what_speaks_of_a_body_goes_with_it)
{
	struct redirect_step step = { .is_get = true };
	weft_http_fields *fields = all_fields();

	redirect_fields(fields, &step);
	ck_assert_ptr_null(weft_http_fields_get(fields, "Content-Type"));
	ck_assert_ptr_null(weft_http_fields_get(fields, "Content-Encoding"));
	ck_assert_ptr_null(weft_http_fields_get(fields, "Trailer"));
	ck_assert_ptr_nonnull(weft_http_fields_get(fields, "Authorization"));
	ck_assert_uint_eq(weft_http_fields_count(fields), 7);
	weft_http_fields_free(fields);
}
END_TEST

START_TEST(out_of_memory_is_returned)
{
	T_EACH_FAILING_MALLOC(n) {
		struct redirect_chain chain = { .hops_max = 10 };
		struct redirect_step step = { .is_final = true };
		weft_http_url url = { .memory = NULL };
		struct redirect_request sent = { .method = "GET", .url = &url };
		weft_http_fields *fields = NULL;
		weft_err err = weft_http_url_parse(&url, "http://a/");

		if (!err)
			err = weft_http_fields_create(&fields);
		if (!err)
			err = weft_http_fields_add(fields, "Location", "/b");
		if (!err)
			err = redirect_next(&chain, &sent, 302, fields, &step);
		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		if (!step.is_final)
			weft_http_url_fini(&step.url);
		weft_http_fields_free(fields);
		weft_http_url_fini(&url);
		redirect_chain_fini(&chain);
	}
}
END_TEST

static void redirect_tests(TCase *tc)
{
	t_add_loop(tc, each_status_says_what_follows, 0, sizeof(steps) / sizeof(steps[0]));
	t_add_loop(tc, what_must_not_be_is_refused, 0, sizeof(bads) / sizeof(bads[0]));
	t_add(tc, a_body_that_is_sent_once_may_become_a_get);
	t_add(tc, a_post_that_leads_to_its_own_url_as_get_is_no_loop);
	t_add(tc, a_longer_loop_is_found);
	t_add(tc, hops_have_a_limit);
	t_add(tc, without_hops_each_response_is_the_answer);
	t_add(tc, tls_may_be_given_up_when_that_is_allowed);
	t_add(tc, locations_that_differ_are_refused);
	t_add(tc, credentials_stay_within_their_origin);
	t_add(tc, what_speaks_of_a_body_goes_with_it);
	t_add(tc, out_of_memory_is_returned);
}
T_SUITE("redirect", redirect_tests)
