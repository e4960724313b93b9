/* SPDX-License-Identifier: MIT */
/* Bodies: by length, in chunks, until the end; in every pieces, with trailers, with limits. */
#include "support/http1say.h"

struct body_case {
	const char *text;
	const char *says; /* 'content' [trailers] +bytes of the next message; 'content' !FAULT */
};

#define TRAILERS_MAX 3

/* Pieces that end at first, second and the end; or of step bytes. What was left is offered again,
 * in a block of its own. */
static void say_body(struct say *out, const struct http1_framing *framing, const char *text,
	size_t len, size_t step, size_t first, size_t second)
{
	struct http1_field trailers[TRAILERS_MAX];
	enum http1_body_event event = HTTP1_BODY_MORE;
	struct http1_body body;
	struct http1_piece piece;
	size_t have = 0, used = 0;

	out->len = 0;
	say(out, "'");
	http1_body_init(&body, framing);
	http1_body_want_trailers(&body, trailers, TRAILERS_MAX);
	while (event == HTTP1_BODY_MORE && have < len) {
		char *block;
		const char *data;
		size_t rest;

		if (step)
			have = have + step < len ? have + step : len;
		else
			have = have < first ? first : have < second ? second : len;
		rest = have - used;
		data = block = say_block(text + used, rest);
		while ((event = http1_body_next(&body, &data, &rest, &piece)) == HTTP1_BODY_DATA)
			say(out, "%.*s", (int)piece.len, piece.data);
		used = have - rest;
		if (event == HTTP1_BODY_END) {
			say(out, "' ");
			say_fields(out, piece.data, trailers, body.trailer_count);
			say(out, " +%zu", len - used);
			T_OUGHT(http1_body_next(&body, &data, &rest, &piece) == HTTP1_BODY_END);
			T_OUGHT(http1_body_eof(&body));
		}
		free(block);
	}
	T_OUGHT((event == HTTP1_BODY_FAULT) == (body.fault != HTTP1_FAULT_NONE));
	if (event == HTTP1_BODY_FAULT) {
		const char *data = "0\r\n\r\n";
		size_t rest = 5;

		/* for good */
		T_OUGHT(http1_body_next(&body, &data, &rest, &piece) == HTTP1_BODY_FAULT);
		T_OUGHT(rest == 5 && !http1_body_eof(&body));
		T_OUGHT(http1_body_want(&body) == 0 && http1_body_direct(&body) == 0);
		say(out, "' !%s", say_fault(body.fault));
	}
	if (event == HTTP1_BODY_MORE)
		say(out, http1_body_eof(&body) ? "' end" : "' ...");
	T_OUGHT(event != HTTP1_BODY_MORE || body.fault != HTTP1_FAULT_NONE ||
		framing->kind == HTTP1_UNTIL_CLOSE || framing->kind == HTTP1_TUNNEL);
}

static void same(const struct http1_framing *framing, const struct body_case *c, size_t step,
	size_t first, size_t second)
{
	static struct say got;

	say_body(&got, framing, c->text, strlen(c->text), step, first, second);
	if (strcmp(got.text, c->says) != 0)
		ck_abort_msg("of: %s\nsays: %s\nnot:  %s\n(step %zu, cuts %zu %zu)", c->text,
			got.text, c->says, step, first, second);
}

static void cases(const struct http1_framing *framing, const struct body_case *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(list[i].text);

		for (size_t step = 1; step < 4; step++)
			same(framing, &list[i], step, 0, 0);
		for (size_t a = 0; a <= len; a++) {
			for (size_t b = a; b <= len && b < a + 4; b++)
				same(framing, &list[i], 0, a, b);
		}
	}
}

#define CASES(framing, list) cases((framing), (list), sizeof(list) / sizeof((list)[0]))

static const struct http1_framing chunked = { .kind = HTTP1_CHUNKED };

START_TEST(http1_chunks_are_put_together)
{
	static const struct body_case list[] = {
		{ "0\r\n\r\n", "'' [] +0" },
		{ "5\r\nhello\r\n0\r\n\r\n", "'hello' [] +0" },
		{ "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET", "'hello world' [] +3" },
		{ "a\r\n0123456789\r\n0\r\n\r\n", "'0123456789' [] +0" },
		{ "A\r\n0123456789\r\n0\r\n\r\n", "'0123456789' [] +0" },
		{ "1e\r\nall your base are belong to us\r\n0\r\n\r\n",
			"'all your base are belong to us' [] +0" },
		{ "5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "'hello world' [] +0" },
		{ "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "'hello' [] +0" },
		{ "2\r\n\r\n\r\n0\r\n\r\n", "'\r\n' [] +0" },
		{ "5\r\n0\r\n\r\n\r\n0\r\n\r\n0", "'0\r\n\r\n' [] +1" },
		{ "5\r\nhel", "'hel' ..." },
		{ "5\r\nhello", "'hello' ..." },
		{ "5\r\nhello\r", "'hello' ..." },
		{ "5\r\nhello\r\n", "'hello' ..." },
		{ "5\r\nhello\r\n0\r\n", "'hello' ..." },
		{ "5\r\nhello\r\n0\r\n\r", "'hello' ..." },
		{ "5", "'' ..." },
		{ "5\r", "'' ..." },
	};

	CASES(&chunked, list);
}
END_TEST

START_TEST(http1_odd_chunk_sizes_are_refused)
{
	static const struct body_case list[] = {
		{ "\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "\nhello\r\n", "'' !CHUNK_SIZE" },
		{ ";a=b\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ " 5\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "5 \r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "5\t\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "5 ;a\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "2 erfrferferf\r\naa\r\n0 rrrr\r\n\r\n", "'' !CHUNK_SIZE" },
		{ "+5\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "-5\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "0x5\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "5h\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "5_0\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "5,\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "\"5\"\r\nhello\r\n", "'' !CHUNK_SIZE" },
		{ "g\r\n", "'' !CHUNK_SIZE" },
		{ "\xb5\r\n", "'' !CHUNK_SIZE" },
		{ "5\nhello\r\n", "'' !LINE_END" },
		{ "5\rhello\r\n", "'' !LINE_END" },
		{ "5\r\rhello\r\n", "'' !LINE_END" },
		{ "5\r\nhello\r\n\r\n", "'hello' !CHUNK_SIZE" },
		{ "5\r\nhello\r\n0\r\r\n", "'hello' !LINE_END" },
		{ "00000000000000005\r\nhello\r\n", "'' !CHUNK_LARGE" },
		{ "FFFFFFFFFFFFFFFFF\r\n", "'' !CHUNK_LARGE" },
		{ "FFFFFFFFFFFFFFFF\r\nx", "'' !CHUNK_LARGE" },
		{ "8000000000000000\r\nx", "'' !CHUNK_LARGE" },
		{ "7FFFFFFFFFFFFFFF\r\nx", "'x' ..." },
		{ "1\r\na\r\n7ffffffffffffffF\r\nx", "'a' !CHUNK_LARGE" },
		{ "1\r\na\r\n7ffffffffffffffe\r\nx", "'ax' ..." },
	};

	CASES(&chunked, list);
}
END_TEST

START_TEST(http1_chunk_data_ends_in_crlf)
{
	static const struct body_case list[] = {
		{ "5\r\nhello5\r\n", "'hello' !CHUNK_END" },
		{ "5\r\nhello\n5\r\n", "'hello' !CHUNK_END" },
		{ "5\r\nhello\r5\r\n", "'hello' !CHUNK_END" },
		{ "5\r\nhello\r\r\n", "'hello' !CHUNK_END" },
		{ "5\r\nhello \r\n", "'hello' !CHUNK_END" },
		{ "5\r\nhello\n\r\n", "'hello' !CHUNK_END" },
		{ "5\r\nhello0\r\n\r\n", "'hello' !CHUNK_END" },
		{ "4\r\nhello\r\n0\r\n\r\n", "'hell' !CHUNK_END" },
	};

	CASES(&chunked, list);
}
END_TEST

START_TEST(http1_chunk_extensions_are_passed_over)
{
	static const struct body_case list[] = {
		{ "5;a\r\nhello\r\n0;b\r\n\r\n", "'hello' [] +0" },
		{ "5;a=b\r\nhello\r\n0\r\n\r\n", "'hello' [] +0" },
		{ "5;a;b;c=d\r\nhello\r\n0\r\n\r\n", "'hello' [] +0" },
		{ "5;a=\"b; c\t\"\r\nhello\r\n0\r\n\r\n", "'hello' [] +0" },
		{ "5;a=\"\";b=\"c\";d\r\nhello\r\n0\r\n\r\n", "'hello' [] +0" },
		{ "5;a=\"\xc3\xa4\"\r\nhello\r\n0\r\n\r\n", "'hello' [] +0" },
		{ "5;a=b;c\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=b;5\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;;a\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;=a\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a==b\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a =b\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a= b\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5; a\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a \r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=b \r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a\x01\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a\x80\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=\"b\x01\"\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=\"b\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=\"b\"c\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=\"b\\\"\"\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=\"b\\c\"\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a=b\"c\"\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a\"b\"\r\nhello\r\n", "'' !CHUNK_EXT" },
		{ "5;a\nhello\r\n", "'' !LINE_END" },
		{ "5;a=\nhello\r\n", "'' !LINE_END" },
		{ "5;a=b\nhello\r\n", "'' !LINE_END" },
		{ "5;a=\"b\nhello\r\n", "'' !LINE_END" },
		{ "5;a=\"b\"\nhello\r\n", "'' !LINE_END" },
		{ "5;a=\"b\"\rhello\r\n", "'' !LINE_END" },
		{ "5;\nhello\r\n", "'' !LINE_END" },
	};

	CASES(&chunked, list);
}
END_TEST

START_TEST(http1_chunk_extensions_are_bounded)
{
	static char text[HTTP1_CHUNK_EXT_SUM_MAX * 2];
	struct http1_body body;
	struct http1_piece piece;
	char line[400];

	for (int over = 0; over < 2; over++) {
		const char *data = line;
		size_t len = (size_t)snprintf(
			line, sizeof(line), "1;%0*d\r\na", HTTP1_CHUNK_EXT_MAX - 1 + over, 0);

		http1_body_init(&body, &chunked);
		/* CR counts, ';' does not */
		ck_assert_int_eq(http1_body_next(&body, &data, &len, &piece),
			over ? HTTP1_BODY_FAULT : HTTP1_BODY_DATA);
		ck_assert_int_eq(body.fault, over ? HTTP1_FAULT_CHUNK_EXT_LONG : HTTP1_FAULT_NONE);
	}
	for (int over = 0; over < 2; over++) {
		const char *data = text;
		size_t len = 0, chunks = HTTP1_CHUNK_EXT_SUM_MAX / 8 + (size_t)over, got = 0;

		for (size_t i = 0; i < chunks; i++)
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "1;1234567\r\na\r\n");
		http1_body_init(&body, &chunked);
		while (http1_body_next(&body, &data, &len, &piece) == HTTP1_BODY_DATA)
			got += piece.len;
		ck_assert_uint_eq(got, chunks - (size_t)over);
		ck_assert_int_eq(body.fault, over ? HTTP1_FAULT_CHUNK_EXT_LONG : HTTP1_FAULT_NONE);
	}
}
END_TEST

START_TEST(http1_trailers_are_checked)
{
	static const struct body_case list[] = {
		{ "0\r\nVary: *\r\n\r\n", "'' [Vary=*] +0" },
		{ "1\r\na\r\n0\r\nX: 1\r\nX: 2 \t\r\nY:\r\n\r\nGET", "'a' [X=1|X=2|Y=] +3" },
		{ "0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", "'' !FIELDS" },
		{ "0\r\nContent-Length: 5\r\n\r\n", "'' !TRAILER" },
		{ "0\r\nX: 1\r\ntransfer-encoding: chunked\r\n\r\n", "'' !TRAILER" },
		{ "0\r\nHost: a\r\n\r\n", "'' !TRAILER" },
		{ "0\r\nConnection: close\r\n\r\n", "'' !TRAILER" },
		{ "0\r\nAuthorization: a\r\n\r\n", "'' !TRAILER" },
		{ "0\r\nContent-Type: text/plain\r\n\r\n", "'' !TRAILER" },
		{ "0\r\nSet-Cookie: a\r\n\r\n", "'' !TRAILER" },
		{ "0\r\nUpgrade: a\r\n\r\n", "'' !TRAILER" },
		{ "0\r\nX : 1\r\n\r\n", "'' !NAME_SPACE" },
		{ "0\r\n X: 1\r\n\r\n", "'' !FOLD" },
		{ "0\r\nX: 1\r\n Y: 2\r\n\r\n", "'' !FOLD" },
		{ "0\r\nX: 1\n\r\n", "'' !LINE_END" },
		{ "0\r\nX: 1\rY: 2\r\n\r\n", "'' !LINE_END" },
		{ "0\r\nX: \x01\r\n\r\n", "'' !VALUE" },
		{ "0\r\nX\r\n\r\n", "'' !NAME" },
		{ "0\r\n\n", "'' !LINE_END" },
		{ "0\r\n\r\r\n", "'' !LINE_END" },
		{ "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "'' !NAME_SPACE" },
		{ "0\r\nX: 1\r\n", "'' ..." },
		{ "0\r\nX: 1\r\n\r", "'' ..." },
	};

	CASES(&chunked, list);
}
END_TEST

START_TEST(http1_trailers_that_nobody_wants_are_checked_too)
{
	static const char *const texts[] = { "0\r\nX: 1\r\nY: 2\r\n\r\n", "0\r\nX : 1\r\n\r\n",
		"0\r\nHost: 1\r\n\r\n" };
	static const enum http1_fault faults[] = { HTTP1_FAULT_NONE, HTTP1_FAULT_NAME_SPACE,
		HTTP1_FAULT_TRAILER };

	for (size_t i = 0; i < 3; i++) {
		struct http1_body body;
		struct http1_piece piece;
		const char *data = texts[i];
		size_t len = strlen(data);

		http1_body_init(&body, &chunked);
		ck_assert_int_eq(http1_body_next(&body, &data, &len, &piece),
			faults[i] ? HTTP1_BODY_FAULT : HTTP1_BODY_END);
		ck_assert_int_eq(body.fault, faults[i]);
		ck_assert_uint_eq(body.trailer_count, 0);
		ck_assert(faults[i] || len == 0);
	}
}
END_TEST

/* Also when they come by single bytes, and when no line ever ends. */
START_TEST(http1_trailers_are_bounded)
{
	static char text[HTTP1_TRAILERS_MAX + 100];

	for (int over = 0; over < 4; over++) {
		bool single = over >= 2;
		struct http1_field fields[2];
		struct http1_body body;
		struct http1_piece piece;
		const char *data = text;
		enum http1_body_event event;
		size_t len = 0, size = 3 + HTTP1_TRAILERS_MAX + (size_t)(over & 1);

		memset(text, 'v', sizeof(text));
		memcpy(text, "0\r\nX: ", 6);
		memcpy(text + size - 4, "\r\n\r\n", 4);
		http1_body_init(&body, &chunked);
		http1_body_want_trailers(&body, fields, 2);
		do {
			len = single ? len + 1 : size;
			event = http1_body_next(&body, &data, &len, &piece);
		} while (event == HTTP1_BODY_MORE && data + len < text + size);
		ck_assert_int_eq(event, over & 1 ? HTTP1_BODY_FAULT : HTTP1_BODY_END);
		ck_assert_int_eq(
			body.fault, over & 1 ? HTTP1_FAULT_TRAILERS_LONG : HTTP1_FAULT_NONE);
	}
}
END_TEST

START_TEST(http1_bodies_by_length_end_there)
{
	static const struct http1_framing five = { .kind = HTTP1_LENGTH, .content_length = 5 };
	static const struct http1_framing none = { .kind = HTTP1_NO_BODY };
	static const struct body_case list[] = {
		{ "hello", "'hello' [] +0" },
		{ "helloGET /", "'hello' [] +5" },
		{ "0\r\n\r\n\r\n", "'0\r\n\r\n' [] +2" },
		{ "hell", "'hell' ..." },
	};
	static const struct body_case nothing[] = { { "GET /", "'' [] +5" } };

	CASES(&five, list);
	CASES(&none, nothing);
}
END_TEST

START_TEST(http1_bodies_until_the_end_end_there)
{
	static const struct http1_framing close = { .kind = HTTP1_UNTIL_CLOSE };
	static const struct http1_framing tunnel = { .kind = HTTP1_TUNNEL };
	static const struct body_case list[] = { { "0\r\n\r\nGET /", "'0\r\n\r\nGET /' end" } };

	CASES(&close, list);
	CASES(&tunnel, list);
}
END_TEST

START_TEST(http1_an_early_end_is_a_fault)
{
	struct http1_framing framing = { .kind = HTTP1_LENGTH, .content_length = 5 };
	struct http1_body body;

	http1_body_init(&body, &framing);
	ck_assert(!http1_body_eof(&body));
	ck_assert_int_eq(body.fault, HTTP1_FAULT_CUT);
	http1_body_init(&body, &chunked);
	ck_assert(!http1_body_eof(&body));
	framing.kind = HTTP1_NO_BODY;
	http1_body_init(&body, &framing);
	ck_assert(http1_body_eof(&body));
	ck_assert_int_eq(body.fault, HTTP1_FAULT_NONE);
}
END_TEST

/* By single bytes: what is wanted is never more than what comes, and nothing only at the end. */
START_TEST(http1_what_is_wanted_belongs_to_the_message)
{
	static const char text[] = "5;a=\"b\"\r\nhello\r\n0c\r\n, you world!\r\n0\r\nX: 1\r\n\r\n";
	struct http1_body body;
	struct http1_piece piece;
	size_t total = strlen(text), used = 0;

	http1_body_init(&body, &chunked);
	ck_assert_uint_eq(http1_body_want(&body), 5);
	for (size_t have = 1; have <= total; have++) {
		const char *data = text + used;
		size_t len = have - used;
		enum http1_body_event event;

		while ((event = http1_body_next(&body, &data, &len, &piece)) == HTTP1_BODY_DATA)
			;
		used = have - len;
		ck_assert_uint_le(http1_body_want(&body), total - have);
		ck_assert_int_eq(http1_body_want(&body) == 0, have == total);
		ck_assert_int_eq(event, have == total ? HTTP1_BODY_END : HTTP1_BODY_MORE);
	}
}
END_TEST

START_TEST(http1_content_can_be_read_past_the_decoder)
{
	static const char begin[] = "1000\r\nab", end[] = "\r\n0\r\n\r\n";
	struct http1_framing framing = { .kind = HTTP1_LENGTH, .content_length = 100 };
	struct http1_body body;
	struct http1_piece piece;
	const char *data = begin;
	size_t len = strlen(begin);

	http1_body_init(&body, &chunked);
	ck_assert_uint_eq(http1_body_direct(&body), 0);
	ck_assert_int_eq(http1_body_next(&body, &data, &len, &piece), HTTP1_BODY_DATA);
	ck_assert_int_eq(http1_body_next(&body, &data, &len, &piece), HTTP1_BODY_MORE);
	ck_assert_uint_eq(http1_body_direct(&body), 4094);
	ck_assert_uint_eq(http1_body_want(&body), 4094 + 7);
	http1_body_took(&body, 4000);
	http1_body_took(&body, 0);
	http1_body_took(&body, 94);
	ck_assert_uint_eq(http1_body_direct(&body), 0);
	ck_assert_uint_eq(body.total, 4096);
	data = end;
	len = strlen(end);
	ck_assert_int_eq(http1_body_next(&body, &data, &len, &piece), HTTP1_BODY_END);
	ck_assert_uint_eq(len, 0);

	http1_body_init(&body, &framing);
	ck_assert_uint_eq(http1_body_direct(&body), 100);
	ck_assert_uint_eq(http1_body_want(&body), 100);
	http1_body_took(&body, 100);
	ck_assert_int_eq(http1_body_next(&body, &data, &len, &piece), HTTP1_BODY_END);

	framing.kind = HTTP1_UNTIL_CLOSE;
	http1_body_init(&body, &framing);
	ck_assert_uint_eq(http1_body_direct(&body), UINT64_MAX);
	http1_body_took(&body, 1000);
	ck_assert_uint_eq(http1_body_direct(&body), UINT64_MAX);
	ck_assert_uint_eq(http1_body_want(&body), 1);
	ck_assert(http1_body_eof(&body));
	ck_assert_uint_eq(body.total, 1000);
}
END_TEST

/* All chunks together are no more than INT64_MAX, by either way that sizes are read. */
START_TEST(http1_the_sum_of_chunks_is_bounded)
{
	static const char *const last[] = { "\r\nff\r\nx", "\r\n00000000000000ff\r\nx",
		"\r\n0f\r\nx" };

	for (size_t i = 0; i < 3; i++) {
		struct http1_body body;
		struct http1_piece piece;
		const char *data = "7ffffffffffffff0\r\n";
		size_t len = strlen(data);

		http1_body_init(&body, &chunked);
		ck_assert_int_eq(http1_body_next(&body, &data, &len, &piece), HTTP1_BODY_MORE);
		http1_body_took(&body, UINT64_C(0x7ffffffffffffff0));
		data = last[i];
		len = strlen(data);
		ck_assert_int_eq(http1_body_next(&body, &data, &len, &piece),
			i < 2 ? HTTP1_BODY_FAULT : HTTP1_BODY_DATA);
		ck_assert_int_eq(body.fault, i < 2 ? HTTP1_FAULT_CHUNK_LARGE : HTTP1_FAULT_NONE);
	}
}
END_TEST

static void body_tests(TCase *tc)
{
	t_add(tc, http1_chunks_are_put_together);
	t_add(tc, http1_odd_chunk_sizes_are_refused);
	t_add(tc, http1_chunk_data_ends_in_crlf);
	t_add(tc, http1_chunk_extensions_are_passed_over);
	t_add(tc, http1_chunk_extensions_are_bounded);
	t_add(tc, http1_trailers_are_checked);
	t_add(tc, http1_trailers_that_nobody_wants_are_checked_too);
	t_add(tc, http1_trailers_are_bounded);
	t_add(tc, http1_bodies_by_length_end_there);
	t_add(tc, http1_bodies_until_the_end_end_there);
	t_add(tc, http1_an_early_end_is_a_fault);
	t_add(tc, http1_what_is_wanted_belongs_to_the_message);
	t_add(tc, http1_content_can_be_read_past_the_decoder);
	t_add(tc, http1_the_sum_of_chunks_is_bounded);
}
T_SUITE("http1_body", body_tests)
