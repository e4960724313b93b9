/* SPDX-License-Identifier: MIT */
/* Limits of heads, each at its last byte and one behind; single bytes; pipelines; reuse. */
#include "support/http1say.h"

#define HOST "Host: a\r\n"

/* A head of just that many bytes. */
static size_t make_head(char *text, size_t size, size_t target)
{
	size_t len = (size_t)sprintf(text, "GET /");

	memset(text + len, 'a', target);
	len += target;
	len += (size_t)sprintf(text + len, " HTTP/1.1\r\n" HOST);
	while (size - len > 200) {
		len += (size_t)sprintf(text + len, "X: ");
		memset(text + len, 'v', 100);
		len += 100;
		len += (size_t)sprintf(text + len, "\r\n");
	}
	len += (size_t)sprintf(text + len, "Y: ");
	memset(text + len, 'w', size - len - 4);
	memcpy(text + size - 4, "\r\n\r\n", 5);
	return size;
}

/* All at once, by single bytes, and with the last byte alone; from the end of a block. */
static void expect(const struct http1_limits *limits, uint16_t fields_max, const char *text,
	size_t len, enum http1_fault fault)
{
	static struct http1_field fields[1000];
	char *block = say_block(text, len);
	struct http1_parser p;

	for (int base = 0; base < 2; base++) {
		for (int how = 0; how < 3; how++) {
			enum http1_step step = HTTP1_MORE;
			size_t have = how == 0 ? len : how == 1 ? 1 : len - 1;

			http1_parser_init(&p, HTTP1_REQUEST, fields, fields_max, limits);
			p.wide = p.wide && !base;
			for (; step == HTTP1_MORE && have <= len; have++)
				step = http1_parse(&p, block, have);
			T_OUGHT(step == (fault ? HTTP1_BAD : HTTP1_DONE));
			T_OUGHT(p.fault == fault);
			T_OUGHT(fault || p.head.size == len);
		}
	}
	free(block);
}

START_TEST(http1_heads_are_bounded)
{
	static const struct http1_limits limits = { 200, 1000 };
	static char text[HTTP1_HEAD_MAX + 2];

	expect(&limits, 100, text, make_head(text, 1000, 1), HTTP1_FAULT_NONE);
	expect(&limits, 100, text, make_head(text, 1001, 1), HTTP1_FAULT_HEAD_LONG);
	expect(NULL, 1000, text, make_head(text, HTTP1_HEAD_MAX, 1), HTTP1_FAULT_NONE);
	expect(NULL, 1000, text, make_head(text, HTTP1_HEAD_MAX + 1, 1), HTTP1_FAULT_HEAD_LONG);
	ck_assert_uint_eq(http1_fault_status(HTTP1_FAULT_HEAD_LONG), 431);
}
END_TEST

START_TEST(http1_start_lines_are_bounded)
{
	static const struct http1_limits limits = { 200, 1000 }, short_head = { 1000, 200 };
	static char text[HTTP1_START_MAX + 300];

	/* "GET /" and " HTTP/1.1" CRLF are 16 bytes */
	expect(&limits, 9, text, make_head(text, 300, 184), HTTP1_FAULT_NONE);
	expect(&limits, 9, text, make_head(text, 300, 185), HTTP1_FAULT_START_LONG);
	expect(&short_head, 9, text, make_head(text, 300, 185), HTTP1_FAULT_START_LONG);
	expect(NULL, 9, text, make_head(text, HTTP1_START_MAX + 100, HTTP1_START_MAX - 16),
		HTTP1_FAULT_NONE);
	expect(NULL, 9, text, make_head(text, HTTP1_START_MAX + 100, HTTP1_START_MAX - 15),
		HTTP1_FAULT_START_LONG);
	/* empty lines before it do not count */
	memmove(text + 4, text, make_head(text, 300, 184) + 1);
	memcpy(text, "\r\n\r\n", 4);
	expect(&limits, 9, text, 304, HTTP1_FAULT_NONE);
	/* a line that has no end */
	memset(text, 'A', 300);
	expect(&limits, 9, text, 300, HTTP1_FAULT_METHOD_LONG);
	memcpy(text, "GET /", 5);
	expect(&limits, 9, text, 300, HTTP1_FAULT_START_LONG);
	ck_assert_uint_eq(http1_fault_status(HTTP1_FAULT_START_LONG), 414);
}
END_TEST

START_TEST(http1_fields_are_bounded)
{
	static char text[2000];
	size_t len = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST);

	for (int i = 0; i < 99; i++)
		len += (size_t)sprintf(text + len, "a%d: b\r\n", i);
	memcpy(text + len, "\r\n", 2);
	expect(NULL, 100, text, len + 2, HTTP1_FAULT_NONE);
	expect(NULL, 99, text, len + 2, HTTP1_FAULT_FIELDS);
	expect(NULL, 1, text, len + 2, HTTP1_FAULT_FIELDS);
	expect(NULL, 0, text, len + 2, HTTP1_FAULT_FIELDS);
}
END_TEST

START_TEST(http1_names_are_bounded)
{
	static char text[HTTP1_NAME_MAX + 100];

	for (int over = 0; over < 2; over++) {
		size_t len = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST);
		size_t name = HTTP1_NAME_MAX + (size_t)over;

		memset(text + len, 'n', name);
		memcpy(text + len + name, ": b\r\n\r\n", 7);
		expect(NULL, 9, text, len + name + 7,
			over ? HTTP1_FAULT_NAME_LONG : HTTP1_FAULT_NONE);
	}
}
END_TEST

/* A limit of one byte more or less at each place of a head: every verdict is the same however the
 * bytes come. */
START_TEST(http1_limits_are_the_same_however_bytes_come)
{
	static const char text[] = "\r\nGET /abc HTTP/1.1\r\n" HOST "X: y\r\n\r\n";
	size_t len = strlen(text);

	for (uint32_t start = 1; start <= len; start++) {
		for (uint32_t head = start; head <= len; head++) {
			struct http1_limits limits = { start, head };

			expect(&limits, 9, text, len,
				start < 19 || head < 21 ? HTTP1_FAULT_START_LONG
					: head < len	? HTTP1_FAULT_HEAD_LONG
							: HTTP1_FAULT_NONE);
		}
	}
}
END_TEST

/* By single bytes: whoever goes back to the line's begin for each would take minutes for a line of
 * a MiB. */
START_TEST(http1_single_bytes_are_linear)
{
	static const struct http1_limits limits = { 1 << 20, 1 << 22 };
	size_t size = 1 << 22;
	char *text = malloc(size);
	struct http1_field fields[3];
	struct http1_parser p;
	int64_t start = t_now_ns();

	ck_assert_ptr_nonnull(text);
	memset(text, 'v', size);
	memcpy(text, "GET /", 5);
	memcpy(text + (1 << 20) - 11, " HTTP/1.1\r\n" HOST "X: ", 11 + 9 + 3);
	memcpy(text + size - 4, "\r\n\r\n", 4);
	http1_parser_init(&p, HTTP1_REQUEST, fields, 3, &limits);
	for (size_t have = 1; have < size; have++)
		T_OUGHT(http1_parse(&p, text, have) == HTTP1_MORE);
	T_OUGHT(http1_parse(&p, text, size) == HTTP1_DONE);
	T_OUGHT(t_now_ns() - start < INT64_C(8000000000));
	free(text);
}
END_TEST

/* What can't become right is told before its line ends: at twice its bytes, at the latest. */
START_TEST(http1_faults_are_told_before_the_line_ends)
{
	static const char *const begins[] = { "GET /\x01", "GET / HTTP/1.1\r\nA\x01",
		"GET / HTTP/1.1\r\nA: \x01", "\x16\x03\x01" };
	struct http1_field fields[3];
	char text[100];

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		size_t len = strlen(begins[i]), have = 0;
		struct http1_parser p;

		memset(text, 'a', sizeof(text));
		memcpy(text, begins[i], len);
		http1_parser_init(&p, HTTP1_REQUEST, fields, 3, NULL);
		while (http1_parse(&p, text, ++have) == HTTP1_MORE)
			T_OUGHT(have < 2 * len);
		T_OUGHT(p.fault != HTTP1_FAULT_NONE);
	}
}
END_TEST

/* As a server reads: several requests in one buffer, the last of them cut. */
START_TEST(http1_pipelined_requests_are_taken_one_by_one)
{
	static const char text[] = "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
				   "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n"
				   "PUT /3 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
				   "1\r\nd\r\n0\r\n\r\nGET /4 HTTP/1.1\r\n" HOST;
	struct http1_field fields[5];
	struct http1_parser p;
	const char *data = text;
	size_t len = strlen(text);
	char content[10] = "", targets[10] = "";

	http1_parser_init(&p, HTTP1_REQUEST, fields, 5, NULL);
	for (;;) {
		struct http1_body body;
		struct http1_piece piece;

		http1_parser_reset(&p, HTTP1_METHOD_OTHER);
		if (http1_parse(&p, data, len) != HTTP1_DONE)
			break;
		ck_assert(p.head.framing.keep_alive);
		strncat(targets, data + p.head.target.at, p.head.target.len);
		data += p.head.size;
		len -= p.head.size;
		http1_body_init(&body, &p.head.framing);
		while (http1_body_next(&body, &data, &len, &piece) == HTTP1_BODY_DATA)
			strncat(content, piece.data, piece.len);
		ck_assert_int_eq(body.fault, HTTP1_FAULT_NONE);
	}
	ck_assert_int_eq(p.fault, HTTP1_FAULT_NONE);
	ck_assert_str_eq(targets, "/1/2/3");
	ck_assert_str_eq(content, "abcd");
	ck_assert_uint_eq(len, strlen("GET /4 HTTP/1.1\r\n" HOST));
}
END_TEST

/* Nothing of a message is left in the parser for the next. */
START_TEST(http1_a_reset_forgets_the_message)
{
	static const char *const first[] = { "POST http://b/ HTTP/1.1\r\n" HOST
					     "Content-Length: 5\r\nConnection: close\r\n"
					     "Expect: 100-continue\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST HOST, "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n",
		"\r\n\r\n\r\n\r\nGET /\x01", "GET / HTTP/1.1\r\nHos" };
	static const char second[] = "\r\nGET /x HTTP/1.1\r\nHost: c\r\n\r\n";
	static struct http1_field fields[100];
	static struct say got;

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct http1_parser p;

		http1_parser_init(&p, HTTP1_REQUEST, fields, 100, NULL);
		(void)http1_parse(&p, first[i], strlen(first[i]));
		http1_parser_reset(&p, HTTP1_METHOD_OTHER);
		T_OUGHT(http1_parse(&p, second, strlen(second)) == HTTP1_DONE);
		got.len = 0;
		say_head(&got, &p, second);
		ck_assert_str_eq(got.text, "GET /x 1.1 to=c none keep [Host=c]");
		ck_assert_uint_eq(p.head.repeated & ~UINT64_C(1), 0);
	}
}
END_TEST

START_TEST(http1_heads_become_strings_in_place)
{
	char text[] = "GET /a HTTP/1.1\r\nHost: a\r\nX:\r\nY:  \t\r\nZ: b \t\r\nZ: c\r\n\r\nbody";
	static const char *const names[] = { "Host", "X", "Y", "Z", "Z" };
	static const char *const values[] = { "a", "", "", "b", "c" };
	struct http1_field fields[5];
	struct http1_parser p;
	struct http1_piece value;

	http1_parser_init(&p, HTTP1_REQUEST, fields, 5, NULL);
	ck_assert_int_eq(http1_parse(&p, text, strlen(text)), HTTP1_DONE);
	ck_assert_ptr_null(http1_head_first(&p.head, HTTP1_NAME_DATE));
	ck_assert(!http1_head_value(&p.head, text, HTTP1_NAME_DATE, &value));
	ck_assert_ptr_eq(http1_head_first(&p.head, HTTP1_NAME_HOST), &fields[0]);
	http1_head_terminate(&p.head, text);
	ck_assert_str_eq(text + p.head.method_text.at, "GET");
	ck_assert_str_eq(text + p.head.target.at, "/a");
	for (size_t i = 0; i < 5; i++) {
		ck_assert_str_eq(text + fields[i].name_at, names[i]);
		ck_assert_str_eq(text + fields[i].value_at, values[i]);
	}
	ck_assert_str_eq(text + p.head.size, "body");
}
END_TEST

START_TEST(http1_responses_become_strings_in_place)
{
	char text[] = "HTTP/1.1 200 Fine\r\nA: b\r\n\r\n";
	struct http1_field fields[5];
	struct http1_parser p;

	http1_parser_init(&p, HTTP1_RESPONSE, fields, 5, NULL);
	ck_assert_int_eq(http1_parse(&p, text, strlen(text)), HTTP1_DONE);
	http1_head_terminate(&p.head, text);
	ck_assert_str_eq(text + p.head.reason.at, "Fine");
	ck_assert_str_eq(text + fields[0].name_at, "A");
	ck_assert_str_eq(text + fields[0].value_at, "b");
}
END_TEST

static void limits_tests(TCase *tc)
{
	t_add(tc, http1_heads_are_bounded);
	t_add(tc, http1_start_lines_are_bounded);
	t_add(tc, http1_fields_are_bounded);
	t_add(tc, http1_names_are_bounded);
	t_add(tc, http1_limits_are_the_same_however_bytes_come);
	t_add(tc, http1_single_bytes_are_linear);
	t_add(tc, http1_faults_are_told_before_the_line_ends);
	t_add(tc, http1_pipelined_requests_are_taken_one_by_one);
	t_add(tc, http1_a_reset_forgets_the_message);
	t_add(tc, http1_heads_become_strings_in_place);
	t_add(tc, http1_responses_become_strings_in_place);
}
T_SUITE("http1_limits", limits_tests)
