/* SPDX-License-Identifier: MIT */
/* The writer: what it writes, what it refuses, and that the parser reads the same. */
#include "support/http1say.h"

#define F(...) (&(const struct http1_framing){ __VA_ARGS__ })
#define KEEP .keep_alive = true
#define NONE .content_length = -1

static char room[4096];

static void is(struct http1_out *out, const char *text)
{
	ck_assert(http1_put_end(out));
	ck_assert_uint_eq(out->len, strlen(text));
	room[out->len] = '\0';
	ck_assert_str_eq(room, text);
}

static void request(struct http1_out *out, const char *method, const char *target,
	const struct http1_framing *framing)
{
	http1_out_init(out, room, sizeof(room) - 1);
	http1_put_request(out, method, strlen(method), target, strlen(target), framing);
}

static void reply(struct http1_out *out, unsigned minor, unsigned status, const char *reason,
	const struct http1_framing *framing)
{
	http1_out_init(out, room, sizeof(room) - 1);
	http1_put_response(out, minor, status, reason, strlen(reason), framing);
}

static void field(struct http1_out *out, const char *name, const char *value)
{
	http1_put_field(out, name, strlen(name), value, strlen(value));
}

START_TEST(http1_requests_are_written)
{
	struct http1_out out;

	request(&out, "GET", "/a?b", F(KEEP, NONE));
	field(&out, "Host", "a");
	field(&out, "X-Empty", "");
	is(&out, "GET /a?b HTTP/1.1\r\nHost: a\r\nX-Empty: \r\n\r\n");
	request(&out, "POST", "/", F(KEEP, .content_length = 0));
	is(&out, "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	request(&out, "POST", "/", F(.kind = HTTP1_LENGTH, .content_length = INT64_MAX));
	is(&out,
		"POST / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n"
		"Connection: close\r\n\r\n");
	request(&out, "PUT", "/", F(.kind = HTTP1_CHUNKED, KEEP, NONE, .expect_continue = true));
	is(&out, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
	request(&out, "CONNECT", "a:443", F(.kind = HTTP1_TUNNEL, NONE));
	is(&out, "CONNECT a:443 HTTP/1.1\r\n\r\n");
	request(&out, "GET", "/", F(KEEP, NONE, .upgrade = true));
	field(&out, "Upgrade", "websocket");
	is(&out, "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
	request(&out, "GET", "/", F(NONE, .upgrade = true));
	is(&out, "GET / HTTP/1.1\r\nConnection: close, upgrade\r\n\r\n");
}
END_TEST

START_TEST(http1_responses_are_written)
{
	struct http1_out out;

	reply(&out, 1, 200, "OK", F(.kind = HTTP1_LENGTH, KEEP, .content_length = 12));
	field(&out, "Content-Type", "text/plain");
	is(&out, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: text/plain\r\n\r\n");
	reply(&out, 1, 404, "", F(KEEP, .content_length = 0));
	is(&out, "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n");
	reply(&out, 1, 200, "OK", F(.kind = HTTP1_CHUNKED, KEEP, NONE));
	is(&out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	reply(&out, 0, 200, "OK", F(.kind = HTTP1_UNTIL_CLOSE, NONE));
	is(&out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	reply(&out, 0, 200, "OK", F(.kind = HTTP1_LENGTH, KEEP, .content_length = 1));
	is(&out, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n");
	reply(&out, 1, 204, "No Content", F(KEEP, .content_length = 0));
	is(&out, "HTTP/1.1 204 No Content\r\n\r\n");
	reply(&out, 1, 304, "Not Modified", F(KEEP, .content_length = 7));
	is(&out, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
	reply(&out, 1, 304, "Not Modified", F(KEEP, NONE));
	is(&out, "HTTP/1.1 304 Not Modified\r\n\r\n");
	reply(&out, 1, 100, "Continue", F(NONE));
	is(&out, "HTTP/1.1 100 Continue\r\n\r\n");
	reply(&out, 1, 101, "Go", F(.kind = HTTP1_TUNNEL, NONE, .upgrade = true));
	field(&out, "Upgrade", "a");
	is(&out, "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n");
	reply(&out, 1, 200, "OK", F(.kind = HTTP1_TUNNEL, NONE));
	is(&out, "HTTP/1.1 200 OK\r\n\r\n");
}
END_TEST

START_TEST(http1_framing_that_cannot_be_said_is_refused)
{
	static const struct {
		unsigned minor, status;
		struct http1_framing framing;
	} list[] = {
		{ 0, 200, { .kind = HTTP1_CHUNKED, NONE } },
		{ 1, 204, { .kind = HTTP1_CHUNKED, NONE } },
		{ 1, 204, { .kind = HTTP1_LENGTH, .content_length = 5 } },
		{ 1, 304, { .kind = HTTP1_LENGTH, .content_length = 5 } },
		{ 1, 304, { .kind = HTTP1_UNTIL_CLOSE, NONE } },
		{ 1, 100, { .kind = HTTP1_LENGTH, .content_length = 5 } },
		{ 1, 101, { .kind = HTTP1_TUNNEL, NONE } },
		{ 1, 200, { .kind = HTTP1_TUNNEL, NONE, .upgrade = true } },
		{ 1, 400, { .kind = HTTP1_TUNNEL, NONE } },
		{ 1, 200, { .kind = HTTP1_LENGTH, NONE } },
		{ 1, 200, { .kind = HTTP1_UNTIL_CLOSE, NONE, KEEP } },
	};
	struct http1_out out;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		reply(&out, list[i].minor, list[i].status, "x", &list[i].framing);
		ck_assert(!http1_put_end(&out));
		ck_assert_int_eq(out.fault, HTTP1_WRITE_FRAMING);
	}
	request(&out, "GET", "/", F(.kind = HTTP1_UNTIL_CLOSE, NONE));
	ck_assert_int_eq(out.fault, HTTP1_WRITE_FRAMING);
	request(&out, "GET", "/", F(.kind = HTTP1_LENGTH, NONE));
	ck_assert_int_eq(out.fault, HTTP1_WRITE_FRAMING);
}
END_TEST

START_TEST(http1_nothing_can_be_injected)
{
	static const struct {
		const char *name, *value;
		enum http1_write_fault fault;
	} list[] = {
		{ "X", "a\r\nY: b", HTTP1_WRITE_VALUE },
		{ "X", "a\nY: b", HTTP1_WRITE_VALUE },
		{ "X", "a\rY: b", HTTP1_WRITE_VALUE },
		{ "X", "\r\n\r\nGET / HTTP/1.1", HTTP1_WRITE_VALUE },
		{ "X", "0123456789abcdef\n", HTTP1_WRITE_VALUE },
		{ "X", "a\x01", HTTP1_WRITE_VALUE },
		{ "X", "a\x7f", HTTP1_WRITE_VALUE },
		{ "X", " a", HTTP1_WRITE_VALUE },
		{ "X", "a\t", HTTP1_WRITE_VALUE },
		{ "X\r\nY", "a", HTTP1_WRITE_NAME },
		{ "X\n", "a", HTTP1_WRITE_NAME },
		{ "X:", "a", HTTP1_WRITE_NAME },
		{ "X ", "a", HTTP1_WRITE_NAME },
		{ " X", "a", HTTP1_WRITE_NAME },
		{ "", "a", HTTP1_WRITE_NAME },
		{ "\xc3\xa4", "a", HTTP1_WRITE_NAME },
		{ "Content-Length", "5", HTTP1_WRITE_RESERVED },
		{ "content-length", "5", HTTP1_WRITE_RESERVED },
		{ "Transfer-Encoding", "chunked", HTTP1_WRITE_RESERVED },
		{ "CONNECTION", "close", HTTP1_WRITE_RESERVED },
	};
	struct http1_out out;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		reply(&out, 1, 200, "OK", F(KEEP, .content_length = 0));
		field(&out, list[i].name, list[i].value);
		field(&out, "Right", "a");
		ck_assert_msg(!http1_put_end(&out), "%s: %s", list[i].name, list[i].value);
		ck_assert_int_eq(out.fault, list[i].fault);
		ck_assert_str_ne(http1_write_fault_text(out.fault), "");
	}
	/* NUL */
	reply(&out, 1, 200, "OK", F(KEEP, .content_length = 0));
	http1_put_field(&out, "X", 1, "a\0b", 3);
	ck_assert_int_eq(out.fault, HTTP1_WRITE_VALUE);
	reply(&out, 1, 200, "OK", F(KEEP, .content_length = 0));
	http1_put_field(&out, "X\0", 2, "a", 1);
	ck_assert_int_eq(out.fault, HTTP1_WRITE_NAME);
}
END_TEST

START_TEST(http1_start_lines_cannot_be_injected)
{
	static const char *const targets[] = { "", "/ HTTP/1.1\r\nX: y", "/a b", "/\n", "/\t",
		"/#a", "/\xc3\xa4", "/\x7f" };
	static const char *const methods[] = { "", "GET ", "GET / HTTP/1.1\r\nX:", "G\n",
		"G:", "A23456789012345678901234567890123" };
	static const char *const reasons[] = { "a\r\nX: y", "\n", "\x01" };
	static const unsigned statuses[] = { 0, 99, 1000, UINT32_MAX };
	struct http1_out out;

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		request(&out, "GET", targets[i], F(KEEP, NONE));
		ck_assert_int_eq(out.fault, HTTP1_WRITE_TARGET);
	}
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		request(&out, methods[i], "/", F(KEEP, NONE));
		ck_assert_int_eq(out.fault, HTTP1_WRITE_METHOD);
	}
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		reply(&out, 1, 200, reasons[i], F(KEEP, .content_length = 0));
		ck_assert_int_eq(out.fault, HTTP1_WRITE_REASON);
	}
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		reply(&out, 1, statuses[i], "x", F(KEEP, .content_length = 0));
		ck_assert_int_eq(out.fault, HTTP1_WRITE_STATUS);
	}
}
END_TEST

/* With every size: nothing is written behind it, and the room that is needed is told. */
START_TEST(http1_writing_keeps_to_its_room)
{
	static const char text[] = "PUT /abc HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n"
				   "Expect: 100-continue\r\nHost: a.example\r\n\r\n";

	for (size_t size = 0; size <= strlen(text); size++) {
		char *block = malloc(size ? size : 1);
		struct http1_out out;

		T_OUGHT(block);
		http1_out_init(&out, block, size);
		http1_put_request(&out, "PUT", 3, "/abc", 4,
			F(.kind = HTTP1_LENGTH, .content_length = 5, .expect_continue = true));
		field(&out, "Host", "a.example");
		T_OUGHT(http1_put_end(&out) == (size == strlen(text)));
		T_OUGHT(out.len == strlen(text));
		T_OUGHT(out.fault == (size == strlen(text) ? HTTP1_WRITE_OK : HTTP1_WRITE_SPACE));
		T_OUGHT(out.fault || !memcmp(block, text, size));
		/* what is wrong is told also then */
		field(&out, "Host", "a\n");
		T_OUGHT(out.fault == HTTP1_WRITE_VALUE);
		free(block);
	}
}
END_TEST

START_TEST(http1_chunks_and_trailers_are_written)
{
	static const struct {
		uint64_t size;
		const char *head;
	} list[] = {
		{ 1, "1\r\n" },
		{ 15, "f\r\n" },
		{ 16, "10\r\n" },
		{ 65535, "ffff\r\n" },
		{ 0x123456789abcdef0, "123456789abcdef0\r\n" },
		{ UINT64_MAX, "ffffffffffffffff\r\n" },
	};
	struct http1_out out;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		char text[HTTP1_CHUNK_HEAD_MAX + 1];
		char *begin;

		text[HTTP1_CHUNK_HEAD_MAX] = '\0';
		begin = http1_chunk_head_before(text + HTTP1_CHUNK_HEAD_MAX, list[i].size);
		ck_assert(begin >= text);
		ck_assert_str_eq(begin, list[i].head);
	}
	http1_out_init(&out, room, sizeof(room) - 1);
	http1_put_last_chunk(&out);
	is(&out, HTTP1_LAST_CHUNK);
	http1_out_init(&out, room, sizeof(room) - 1);
	http1_put_last_chunk(&out);
	field(&out, "X", "1");
	is(&out, "0\r\nX: 1\r\n\r\n");
	http1_out_init(&out, room, sizeof(room) - 1);
	http1_put_last_chunk(&out);
	field(&out, "Host", "1");
	ck_assert_int_eq(out.fault, HTTP1_WRITE_RESERVED);
}
END_TEST

static void written_is(struct http1_out *out, enum http1_kind kind, const char *says)
{
	struct say_how how = { .kind = kind, .answers = HTTP1_METHOD_GET, .step = 1 };
	static struct say got;
	struct http1_parser p;

	ck_assert(http1_put_end(out));
	say_parse(&got, &p, &how, room, out->len);
	ck_assert_str_eq(got.text, says);
}

START_TEST(http1_what_is_written_is_parsed_again)
{
	struct http1_out out;

	request(&out, "POST", "/a?b", F(.kind = HTTP1_LENGTH, KEEP, .content_length = 5));
	field(&out, "Host", "a:80");
	field(&out, "X", "a \t b");
	written_is(&out, HTTP1_REQUEST,
		"POST /a?b 1.1 to=a:80 length=5 keep [Content-Length=5|Host=a:80|X=a \t b]");
	request(&out, "GET", "/", F(NONE, .upgrade = true));
	field(&out, "Host", "a");
	field(&out, "Upgrade", "b");
	written_is(&out, HTTP1_REQUEST,
		"GET / 1.1 to=a none upgrade [Connection=close, upgrade|Host=a|Upgrade=b]");
	reply(&out, 1, 200, "Fine", F(.kind = HTTP1_CHUNKED, KEEP, NONE));
	written_is(&out, HTTP1_RESPONSE, "1.1 200 'Fine' chunked keep [Transfer-Encoding=chunked]");
	reply(&out, 1, 200, "", F(.kind = HTTP1_UNTIL_CLOSE, NONE));
	written_is(&out, HTTP1_RESPONSE, "1.1 200 '' close [Connection=close]");
}
END_TEST

static void write_tests(TCase *tc)
{
	t_add(tc, http1_requests_are_written);
	t_add(tc, http1_responses_are_written);
	t_add(tc, http1_framing_that_cannot_be_said_is_refused);
	t_add(tc, http1_nothing_can_be_injected);
	t_add(tc, http1_start_lines_cannot_be_injected);
	t_add(tc, http1_writing_keeps_to_its_room);
	t_add(tc, http1_chunks_and_trailers_are_written);
	t_add(tc, http1_what_is_written_is_parsed_again);
}
T_SUITE("http1_write", write_tests)
