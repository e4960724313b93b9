/* SPDX-License-Identifier: MIT */
/* Heads: what they say, at every split. */
#include "proto/http1/http1.h"

#include "support/t.h"

#include <string.h>

START_TEST(http1_request_is_taken_apart_where_it_lies)
{
	static const char text[] = "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nX-Empty:\r\n"
				   "Content-Length:  12 \t\r\n\r\nrest";
	struct http1_field fields[4];
	struct http1_parser p;
	struct http1_piece value;

	http1_parser_init(&p, HTTP1_REQUEST, fields, 4, NULL);
	ck_assert_int_eq(http1_parse(&p, text, strlen(text)), HTTP1_DONE);
	ck_assert_uint_eq(p.head.size, strlen(text) - 4);
	ck_assert_int_eq(p.head.method, HTTP1_METHOD_GET);
	ck_assert_uint_eq(p.head.field_count, 3);
	ck_assert_uint_eq(p.head.target.len, 6);
	ck_assert(http1_head_value(&p.head, text, HTTP1_NAME_HOST, &value));
	ck_assert_uint_eq(value.len, 11);
	ck_assert_int_eq(p.head.framing.kind, HTTP1_LENGTH);
	ck_assert_int_eq(p.head.framing.content_length, 12);
	ck_assert(p.head.framing.keep_alive);
}
END_TEST

static void head_tests(TCase *tc)
{
	t_add(tc, http1_request_is_taken_apart_where_it_lies);
}
T_SUITE("http1_head", head_tests)
