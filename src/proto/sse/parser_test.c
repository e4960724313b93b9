/* SPDX-License-Identifier: MIT */
/*
 * The parser of event streams. Each table of streams is read whole, byte by byte, and cut at every
 * place in two and, where it is short, in three: what comes out must be the same. The cases of the
 * web platform tests' eventsource/format-* are here, written anew.
 */
#include "support/t.h"

#include <weft/sse.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a parser said, as a text ---- */

#define SAID_MAX 65536
#define CUT_TWICE_MAX 120 /* bytes of a stream that is cut twice everywhere */

struct said {
	char text[SAID_MAX];
	size_t len;
};

static void say(struct said *said, const char *bytes, size_t len)
{
	T_OUGHT(said->len + len < SAID_MAX);
	if (len > 0)
		memcpy(said->text + said->len, bytes, len);
	said->len += len;
}

static void say_text(struct said *said, const char *text)
{
	say(said, text, strlen(text));
}

/* "<TYPE#ID|DATA>", "<:COMMENT>", "<retry MS>", "<error WHAT>" */
static void say_event(struct said *said, const weft_sse_event *e)
{
	char number[32];

	T_OUGHT(e->type[e->type_len] == '\0' && e->id[e->id_len] == '\0');
	switch (e->kind) {
	case WEFT_SSE_MESSAGE:
		say_text(said, "<");
		say(said, e->type, e->type_len);
		say_text(said, "#");
		say(said, e->id, e->id_len);
		say_text(said, "|");
		T_OUGHT(e->data);
		say(said, e->data, e->data_len);
		break;
	case WEFT_SSE_COMMENT:
		say_text(said, "<:");
		say(said, e->data, e->data_len);
		break;
	case WEFT_SSE_RETRY:
		T_OUGHT(e->retry_set);
		snprintf(number, sizeof(number), "<retry %llu", (unsigned long long)e->retry_ms);
		say_text(said, number);
		break;
	case WEFT_SSE_NONE:
		ck_abort_msg("nothing was found");
	}
	say_text(said, ">");
}

static void say_error(struct said *said, weft_err err)
{
	const char *what = strstr(weft_error_detail(), ": ");

	T_OUGHT(err == WEFT_EMSGSIZE && what);
	say_text(said, "<error ");
	say_text(said, what + 2);
	say_text(said, ">");
}

/* From a block of exactly that size, so that a byte over is seen. */
static void feed(weft_sse_parser *p, struct said *said, const char *bytes, size_t len)
{
	uint8_t *piece = malloc(len ? len : 1);
	const uint8_t *data = piece;
	weft_sse_event event;
	size_t left = len;

	T_OUGHT(piece);
	if (len > 0)
		memcpy(piece, bytes, len);
	for (;;) {
		weft_err err = weft_sse_parser_next(p, &data, &left, &event);

		T_OUGHT(data + left == piece + len);
		if (err)
			say_error(said, err);
		else if (event.kind == WEFT_SSE_NONE)
			break;
		else
			say_event(said, &event);
	}
	T_OUGHT(left == 0);
	free(piece);
}

static weft_sse_parser *parser(const weft_sse_options *options)
{
	weft_sse_parser *p = NULL;

	ck_assert_int_eq(weft_sse_parser_create(&p, options), WEFT_OK);
	return p;
}

/* In up to three pieces. */
static void feed_cut(struct said *said, const weft_sse_options *o, const char *stream, size_t len,
	size_t first, size_t second)
{
	weft_sse_parser *p = parser(o);

	said->len = 0;
	feed(p, said, stream, first);
	feed(p, said, stream + first, second - first);
	feed(p, said, stream + second, len - second);
	weft_sse_parser_free(p);
}

static void expect(const struct said *said, const char *want, size_t len)
{
	if (said->len == len && !memcmp(said->text, want, len))
		return;
	ck_abort_msg("said %.*s, not %.*s", (int)said->len, said->text, (int)len, want);
}

static void check_with(const weft_sse_options *o, const char *stream, size_t len, const char *want,
	size_t want_len)
{
	static struct said said;
	weft_sse_parser *p;

	for (size_t i = 0; i <= len; i++) {
		size_t to = len <= CUT_TWICE_MAX ? len : i;

		for (size_t j = i; j <= to; j++) {
			feed_cut(&said, o, stream, len, i, j);
			expect(&said, want, want_len);
		}
	}
	p = parser(o);
	said.len = 0;
	for (size_t i = 0; i < len; i++)
		feed(p, &said, stream + i, 1);
	expect(&said, want, want_len);
	weft_sse_parser_free(p);
}

struct stream {
	const char *bytes;
	size_t len;
	const char *want;
	size_t want_len;
};

#define STREAM(bytes, want)                                      \
	{                                                        \
		bytes, sizeof(bytes) - 1, want, sizeof(want) - 1 \
	}

static void check_all(const weft_sse_options *o, const struct stream *streams, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_with(
			o, streams[i].bytes, streams[i].len, streams[i].want, streams[i].want_len);
}

#define CHECK_ALL(options, streams) \
	check_all(options, streams, sizeof(streams) / sizeof(*(streams)))

/* ---- the standard ---- */

#define MARK "\xef\xbb\xbf"
#define LONG_NOISE                                                                        \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678" \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678"

/* In the order of the web platform tests' names. */
static const struct stream formats[] = {
	/* event-data */
	STREAM("data:a\ndata:b\n\n:\nother:a\n\nother:a\nData:b\n\ndata\n\ndata:end\n\n",
		"<message#|a\nb><message#|><message#|end>"),
	/* bom: only the first is dropped */
	STREAM(MARK "data:1\n\n" MARK "data:2\n\ndata:3\n\n", "<message#|1><message#|3>"),
	/* bom-2 */
	STREAM(MARK MARK "data:1\n\ndata:2\n\ndata:3\n\n", "<message#|2><message#|3>"),
	/* comments */
	STREAM("data:1\r:\0\n:\r\ndata:2\n:" LONG_NOISE "\rdata:3\n:data:fail\r:" LONG_NOISE
	       "\ndata:4\n\n",
		"<message#|1\n2\n3\n4>"),
	/* data-before-final-empty-line */
	STREAM("retry:1000\ndata:test1\n\nid:test\ndata:test2", "<message#|test1>"),
	/* field-data */
	STREAM("data:\n\ndata\ndata\n\ndata:test\n\n", "<message#|><message#|\n><message#|test>"),
	/* field-event-empty */
	STREAM("event: \ndata:data\n\n", "<message#|data>"),
	/* field-event */
	STREAM("event:test\ndata:x\n\ndata:x\n\n", "<test#|x><message#|x>"),
	/* field-id */
	STREAM("id: \xe2\x80\xa6\ndata: hello\n\n", "<message#\xe2\x80\xa6|hello>"),
	/* field-id-2 */
	STREAM("retry: 200\nid: \xe2\x80\xa6\ndata: 1\n\ndata: 2\n\nid: \xe2\x80\xa6"
	       "2\ndata: 3\n\n"
	       "data:4\n\n",
		"<message#\xe2\x80\xa6|1><message#\xe2\x80\xa6|2><message#\xe2\x80\xa6"
		"2|3>"
		"<message#\xe2\x80\xa6"
		"2|4>"),
	/* field-id-3: cleared */
	STREAM("id:1\ndata:a\n\nid\ndata:b\n\nid:2\n\nid:\ndata:c\n\n",
		"<message#1|a><message#|b><message#|c>"),
	/* field-id-null */
	STREAM("id:ok\ndata:1\n\nid:a\0b\ndata:2\n\nid:\0\ndata:3\n\n",
		"<message#ok|1><message#ok|2><message#ok|3>"),
	STREAM("id:ok\n\nid:\0a\ndata:1\n\nid:a\0\ndata:2\n\nid: \0\ndata:3\n\n",
		"<message#ok|1><message#ok|2><message#ok|3>"),
	/* field-parsing */
	STREAM("data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\r"
	       "data:\r\n data:32\ndata:4\n\n",
		"<message#|\0\n 2\n1\n3\n\n4>"),
	/* field-retry: not reported unless asked for */
	STREAM("retry:03000\ndata:x\n\n", "<message#|x>"),
	/* field-unknown */
	STREAM("data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
		"<message#|test\n\ntest>"),
	/* leading-space */
	STREAM("data:\ttest\rdata: \ndata:test\n\n", "<message#|\ttest\n\ntest>"),
	/* newlines */
	STREAM("data:test\r\ndata\ndata:test\r\n\r", "<message#|test\n\ntest>"),
	/* null-character */
	STREAM("data:\0\n\n\n\n", "<message#|\0>"),
	/* utf-8 */
	STREAM("data:ok\xe2\x80\xa6\n\n", "<message#|ok\xe2\x80\xa6>"),
};

START_TEST(the_web_platform_tests_formats_are_read_at_every_split)
{
	CHECK_ALL(NULL, formats);
}
END_TEST

static const struct stream lines[] = {
	STREAM("", ""),
	STREAM("\n\n\r\r\r\n\r\n", ""),
	STREAM("data: a\n\ndata: b\r\rdata: c\r\n\r\n", "<message#|a><message#|b><message#|c>"),
	/* a CR and the LF behind it are one end, also over an empty line */
	STREAM("data:a\r\n\ndata:b\n\r\ndata:c\r\r\n", "<message#|a><message#|b><message#|c>"),
	STREAM("data:a\n\rdata:b\n\r", "<message#|a><message#|b>"),
	/* at most one blank is dropped, and no other space */
	STREAM("data:  a \ndata:\t b\n\n", "<message#| a \n\t b>"),
	STREAM("event: \tx\nid:  7\ndata\n\n", "<\tx# 7|>"),
	/* no colon: the whole line is the name */
	STREAM("data\n\nevent\nid\ndata\n\n", "<message#|><message#|>"),
	STREAM("event:x\nevent\ndata:1\n\n", "<message#|1>"),
	/* only the first colon counts */
	STREAM("data:a:b: c\n\ndata::\n\n", "<message#|a:b: c><message#|:>"),
	/* names are case-sensitive and whole */
	STREAM("DATA:1\nDatA:2\nEvent:e\nID:9\ndata:3\n\n", "<message#|3>"),
	STREAM("dat:1\ndataa:2\ndata :3\n data:4\nevents:e\nidd:1\ndata:5\n\n", "<message#|5>"),
	/* a type without data is forgotten */
	STREAM("event:gone\n\ndata:1\n\n", "<message#|1>"),
	/* an id without data is kept */
	STREAM("id:1\n\ndata:x\n\n", "<message#1|x>"),
	STREAM("id:1\ndata:x\n\nid:2\n\ndata:y", "<message#1|x>"),
	/* a priming event: an id and empty data */
	STREAM("id: 1\ndata:\n\n", "<message#1|>"),
	STREAM("id: 1\ndata: \n\nevent: endpoint\ndata: /messages?sessionId=1\n\n",
		"<message#1|><endpoint#1|/messages?sessionId=1>"),
	/* the last of each wins */
	STREAM("event:a\nevent:b\nid:1\nid:2\ndata:x\n\n", "<b#2|x>"),
	/* a type with a NUL */
	STREAM("event:a\0b\ndata:x\n\n", "<a\0b#|x>"),
	/* what is cut off is no event */
	STREAM("data:a\n", ""),
	STREAM("data:a\n\ndata:b\n", "<message#|a>"),
	STREAM("data:a\n\ndata:b", "<message#|a>"),
	STREAM("data:a\n\n\nid:2", "<message#|a>"),
	/* half a mark at the very beginning is a part of a name */
	STREAM("\xef\xbb", ""),
	STREAM("\xef\xbb\ndata:1\n\n", "<message#|1>"),
	STREAM("\xef\xbb"
	       "data:1\ndata:2\n\n",
		"<message#|2>"),
	STREAM("\xef"
	       ":1\n\xef\xbb\xbf:x\ndata:2\n\n",
		"<message#|2>"),
	STREAM(MARK, ""),
	STREAM(MARK "\n" MARK "\ndata:1\n\n", "<message#|1>"),
	STREAM(MARK ":\r\ndata:" MARK "1\n\n", "<message#|" MARK "1>"),
};

START_TEST(lines_and_fields_are_read_as_the_standard_says_at_every_split)
{
	CHECK_ALL(NULL, lines);
}
END_TEST

#define FFFD "\xef\xbf\xbd"

static const struct stream characters[] = {
	/* cut within a character */
	STREAM("data:\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\n",
		"<message#|\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80>"),
	/* a maximal part is one replacement */
	STREAM("data:\x80|\xc3|\xe2\x82|\xf0\x9f\x98|\n\n",
		"<message#|" FFFD "|" FFFD "|" FFFD "|" FFFD "|>"),
	STREAM("data:\xc0\xaf\xe0\x80\x80\xf0\x80\x80\x80\n\n",
		"<message#|" FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD ">"),
	/* surrogates, beyond U+10FFFF, bytes that are never in UTF-8 */
	STREAM("data:\xed\xa0\x80 \xf4\x90\x80\x80 \xff\xfe\n\n",
		"<message#|" FFFD FFFD FFFD " " FFFD FFFD FFFD FFFD " " FFFD FFFD ">"),
	/* the end of a line cuts a character */
	STREAM("data:a\xe2\x82\ndata:\xac"
	       "b\n\n",
		"<message#|a" FFFD "\n" FFFD "b>"),
	STREAM("event:\xe2\x82\nid:\xff\ndata:x\n\n", "<" FFFD "#" FFFD "|x>"),
	STREAM("\xff"
	       "data:1\ndata\xff:2\nda\xc3\xa9:3\ndata:4\n\n",
		"<message#|4>"),
};

START_TEST(what_is_not_utf8_is_replaced_at_every_split)
{
	CHECK_ALL(NULL, characters);
}
END_TEST

static const struct stream reported[] = {
	STREAM(":\n: a\n:b\n:  c:d\n\n", "<:><:a><:b><: c:d>"),
	STREAM("data:1\n:between\ndata:2\n\n", "<:between><message#|1\n2>"),
	STREAM(":\xe2\x82\n:\xe2\x82\xac\n", "<:" FFFD "><:\xe2\x82\xac>"),
	STREAM(":cut", ""),
	STREAM("retry:0\nretry: 15\nretry:0020\nretry:9223372036854775807\n",
		"<retry 0><retry 15><retry 20><retry 9223372036854775807>"),
	STREAM("retry:9223372036854775808\nretry:99999999999999999999999999999999\nretry:3\n",
		"<retry 9223372036854775807><retry 9223372036854775807><retry 3>"),
	/* bogus, empty, signed, spaced */
	STREAM("retry:1000x\nretry\nretry:\nretry: \nretry:-1\nretry:+1\nretry:  1\nretry:1 \nretry:1.0\n"
	       "Retry:1\nretry:\xd9\xa1\nretry:1\0\nretry:7\n",
		"<retry 7>"),
	STREAM("id:1\ndata:x\nretry:5\n\n", "<retry 5><message#1|x>"),
};

START_TEST(comments_and_retries_are_reported_when_asked_for)
{
	weft_sse_options o = { .report_comments = true, .report_retry = true };

	CHECK_ALL(&o, reported);
}
END_TEST

/* ---- what a client keeps ---- */

static void feed_text(weft_sse_parser *p, struct said *said, const char *text)
{
	feed(p, said, text, strlen(text));
}

START_TEST(the_last_id_changes_at_the_empty_line_only)
{
	static struct said said;
	weft_sse_parser *p = parser(NULL);

	ck_assert_str_eq(weft_sse_parser_last_id(p), "");
	feed_text(p, &said, "id:1\ndata:x\n");
	ck_assert_str_eq(weft_sse_parser_last_id(p), "");
	feed_text(p, &said, "\nid:2\n");
	ck_assert_str_eq(weft_sse_parser_last_id(p), "1");
	feed_text(p, &said, "\n"); /* nothing was dispatched */
	ck_assert_str_eq(weft_sse_parser_last_id(p), "2");
	feed_text(p, &said, "id:3\ndata:cut");
	weft_sse_parser_reset(p);
	ck_assert_str_eq(weft_sse_parser_last_id(p), "2");
	said.len = 0;
	feed_text(p, &said, MARK "data:y\n\nid\n\ndata:z\n\n");
	expect(&said, "<message#2|y><message#|z>", 25);
	ck_assert_str_eq(weft_sse_parser_last_id(p), "");
	weft_sse_parser_free(p);
}
END_TEST

START_TEST(a_last_id_can_be_given)
{
	static struct said said;
	weft_sse_options o = { .field_max = 5 };
	weft_sse_parser *p = parser(&o);

	ck_assert_int_eq(weft_sse_parser_last_id_set(p, "a:1"), WEFT_OK);
	ck_assert_int_eq(weft_sse_parser_last_id_set(p, "a\nb"), WEFT_EINVAL);
	ck_assert_int_eq(weft_sse_parser_last_id_set(p, "a\r"), WEFT_EINVAL);
	ck_assert_int_eq(weft_sse_parser_last_id_set(p, "123456"), WEFT_EMSGSIZE);
	feed_text(p, &said, "data:y\n\n");
	expect(&said, "<message#a:1|y>", 15);
	ck_assert_int_eq(weft_sse_parser_last_id_set(p, NULL), WEFT_OK);
	ck_assert_str_eq(weft_sse_parser_last_id(p), "");
	weft_sse_parser_free(p);
}
END_TEST

START_TEST(the_retry_is_kept_over_streams)
{
	static struct said said;
	weft_sse_parser *p = parser(NULL);

	ck_assert_int_eq(weft_sse_parser_retry_ms(p), -1);
	feed_text(p, &said, "retry:1500\nretry:x\nretry\n");
	ck_assert_int_eq(weft_sse_parser_retry_ms(p), 1500);
	feed_text(p, &said, "retry:20");
	weft_sse_parser_reset(p);
	feed_text(p, &said, "0\n\n");
	ck_assert_int_eq(weft_sse_parser_retry_ms(p), 1500);
	ck_assert_uint_eq(said.len, 0);
	weft_sse_parser_free(p);
}
END_TEST

START_TEST(a_reset_forgets_the_line_and_the_event_under_way)
{
	static const char *const cut[] = { "data:1\ndata", "event:x\ndata:1\r", "\xef\xbb",
		"id:9\n", "data:1\nfoo", "data:1\ndata:2", ":" };

	for (size_t i = 0; i < sizeof(cut) / sizeof(*cut); i++) {
		static struct said said;
		weft_sse_parser *p = parser(NULL);

		said.len = 0;
		feed_text(p, &said, cut[i]);
		weft_sse_parser_reset(p);
		feed_text(p, &said, "\ndata:new\n\n");
		expect(&said, "<message#|new>", 14);
		weft_sse_parser_free(p);
	}
}
END_TEST

/* ---- limits ---- */

#define LINE_ERROR "<error a line is larger than 12 bytes>"
#define DATA_ERROR "<error the data of an event is larger than 8 bytes>"

static const struct stream too_large[] = {
	/* lines, each as long as may be, and by one too long; in no matter which field */
	STREAM("data: 123456\n\nxxxxxxxxxxxx\ndata\n\n", "<message#|123456><message#|>"),
	STREAM("data: 1234567\n\ndata:1\n\n", LINE_ERROR "<message#|1>"),
	STREAM("data:1\nxxxxxxxxxxxxx\n\ndata:2\n\n", LINE_ERROR "<message#|2>"),
	STREAM("data:1\n:xxxxxxxxxxxx\n\ndata:2\n\n", LINE_ERROR "<message#|2>"),
	STREAM(MARK "xxxxxxxxxxxx\n" MARK "xxxxxxxxxx\ndata:1\n\n", LINE_ERROR),
	/* once an event, whatever follows in it */
	STREAM("data: 1234567\ndata: 1234567\nyyyyyyyyyyyyyyy\n\ndata:1\n\n",
		LINE_ERROR "<message#|1>"),
	STREAM("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", LINE_ERROR),
	/* data of one line and of several */
	STREAM("data:1234567\n\ndata:123\ndata:1234\n\n", "<message#|1234567><message#|123\n1234>"),
	STREAM("data:123\ndata:12345\n\ndata:1\n\n", DATA_ERROR "<message#|1>"),
	STREAM("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n\n",
		"<message#|\n\n\n\n\n\n\n\n>"),
	STREAM("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n\ndata\n\n",
		DATA_ERROR "<message#|>"),
	/* its id counts all the same, and its type is gone */
	STREAM("event:e\ndata:123\ndata:12345\nid:7\n\ndata:1\n\n", DATA_ERROR "<message#7|1>"),
	/* what replaces counts as what it is */
	STREAM("data:\xff\xff!!\n\ndata:\xff\xff\xff\n\ndata:1\n\n",
		"<message#|" FFFD FFFD "!!>" DATA_ERROR "<message#|1>"),
	/* ids and types */
	STREAM("event:123\nid:123\ndata\n\n", "<123#123|>"),
	STREAM("event:1234\ndata\n\ndata:2\n\n",
		"<error an event's type is larger than 3 bytes><message#|2>"),
	STREAM("id:1\ndata\n\nid:1234\ndata\n\ndata:2\n\n",
		"<message#1|><error an event's id is larger than 3 bytes><message#1|2>"),
	STREAM("id:\xff\xff\ndata\n\ndata:2\n\n",
		"<error an event's id is larger than 3 bytes><message#|2>"),
};

START_TEST(what_is_over_a_limit_is_named_and_the_stream_goes_on)
{
	weft_sse_options o = { .line_max = 12, .event_max = 8, .field_max = 3 };

	CHECK_ALL(&o, too_large);
}
END_TEST

START_TEST(a_comment_is_cut_off_at_its_limit)
{
	static const struct stream cut[] = {
		STREAM(":123\n:1234\n: 12345\n", "<:123><:123><:123>"),
		STREAM(":12\xe2\x82\xac\n", "<:12" FFFD ">"),
	};
	weft_sse_options o = { .field_max = 3, .report_comments = true };

	CHECK_ALL(&o, cut);
}
END_TEST

START_TEST(data_is_too_large_at_the_line_that_makes_it_so)
{
	static const struct stream empty_lines[] = {
		STREAM("data\ndata\ndata\n:1\ndata\n:2\n\n",
			"<:1><error the data of an event is larger than 2 bytes><:2>"),
	};
	weft_sse_options o = { .event_max = 2, .report_comments = true };

	CHECK_ALL(&o, empty_lines);
}
END_TEST

START_TEST(limits_beyond_a_buffers_size_are_refused)
{
	weft_sse_options o = { .line_max = WEFT_BUF_SIZE_MAX + 1 };
	weft_sse_parser *p = NULL;

	ck_assert_int_eq(weft_sse_parser_create(&p, &o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "line_max"));
	o = (weft_sse_options){ .event_max = SIZE_MAX };
	ck_assert_int_eq(weft_sse_parser_create(&p, &o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "event_max"));
	o = (weft_sse_options){ .field_max = SIZE_MAX };
	ck_assert_int_eq(weft_sse_parser_create(&p, &o), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "field_max"));
	ck_assert_ptr_null(p);
	weft_sse_parser_free(NULL);
}
END_TEST

/* ---- memory ---- */

START_TEST(one_line_of_data_in_one_piece_is_not_copied)
{
	static const uint8_t stream[] = "event: message\nid: 5\ndata: {\"a\":1}\n\nrest";
	weft_sse_parser *p = parser(NULL);
	const uint8_t *data = stream;
	size_t len = sizeof(stream) - 1;
	weft_sse_event e;

	ck_assert_int_eq(weft_sse_parser_next(p, &data, &len, &e), WEFT_OK);
	ck_assert_int_eq(e.kind, WEFT_SSE_MESSAGE);
	ck_assert_ptr_eq(e.data, strstr((const char *)stream, "{"));
	ck_assert_uint_eq(e.data_len, 7);
	/* and an event alike allocates nothing any more */
	for (int i = 0; i < 100; i++) {
		uint64_t calls = t_malloc_calls();

		data = stream;
		len = sizeof(stream) - 5;
		ck_assert_int_eq(weft_sse_parser_next(p, &data, &len, &e), WEFT_OK);
		ck_assert_int_eq(e.kind, WEFT_SSE_MESSAGE);
		ck_assert(i < 2 || t_malloc_calls() == calls);
	}
	weft_sse_parser_free(p);
}
END_TEST

/* An event with data of so many bytes, in pieces of so many; what the parser holds at most. */
static size_t feed_large(weft_sse_parser *p, size_t size, size_t piece)
{
	char *bytes = malloc(piece);
	size_t most = 0;
	weft_sse_event e;
	const uint8_t *data = (const uint8_t *)"data:";
	size_t len = 5;

	T_OUGHT(bytes);
	memset(bytes, 'x', piece);
	T_OUGHT(!weft_sse_parser_next(p, &data, &len, &e) && e.kind == WEFT_SSE_NONE);
	while (size > 0) {
		data = (const uint8_t *)bytes;
		len = size < piece ? size : piece;
		size -= len;
		T_OUGHT(!weft_sse_parser_next(p, &data, &len, &e) && e.kind == WEFT_SSE_NONE);
		if (weft_sse_parser_memory(p) > most)
			most = weft_sse_parser_memory(p);
	}
	data = (const uint8_t *)"\n\n";
	len = 2;
	T_OUGHT(!weft_sse_parser_next(p, &data, &len, &e) && e.kind == WEFT_SSE_MESSAGE);
	T_OUGHT(!weft_sse_parser_next(p, &data, &len, &e) && e.kind == WEFT_SSE_NONE);
	free(bytes);
	return most;
}

START_TEST(memory_grows_with_an_event_and_goes_back_behind_it)
{
	weft_sse_parser *p = parser(NULL);

	ck_assert_uint_eq(weft_sse_parser_memory(p), 0);
	feed_large(p, 1000, 100);
	ck_assert_uint_ge(weft_sse_parser_memory(p), 1000);
	ck_assert_uint_le(weft_sse_parser_memory(p), 4096);
	ck_assert_uint_le(feed_large(p, 1000000, 16384), 2200000);
	ck_assert_uint_le(weft_sse_parser_memory(p), WEFT_SSE_KEPT_MAX);
	weft_sse_parser_free(p);
}
END_TEST

START_TEST(an_endless_line_takes_no_more_than_its_limit)
{
	weft_sse_options o = { .line_max = 100000, .event_max = 50000 };
	static const char *const begin[] = { "data:", "xyz:", ":", "nocolon", "event:", "id:" };

	for (size_t i = 0; i < sizeof(begin) / sizeof(*begin); i++) {
		weft_sse_parser *p = parser(&o);
		const uint8_t *data = (const uint8_t *)begin[i];
		size_t len = strlen(begin[i]);
		unsigned errors = 0;
		weft_sse_event e;

		T_OUGHT(!weft_sse_parser_next(p, &data, &len, &e));
		for (int k = 0; k < 3000; k++) {
			data = (const uint8_t *)LONG_NOISE;
			len = sizeof(LONG_NOISE) - 1;
			errors += weft_sse_parser_next(p, &data, &len, &e) == WEFT_EMSGSIZE;
			T_OUGHT(len == 0);
			T_OUGHT(weft_sse_parser_memory(p) <= 100000 + 2 * 8192);
		}
		ck_assert_uint_eq(errors, 1);
		weft_sse_parser_free(p);
	}
}
END_TEST

START_TEST(of_an_event_that_is_dropped_nothing_is_kept)
{
	static struct said said;
	weft_sse_options o = { .field_max = 3 };
	weft_sse_parser *p = parser(&o);
	size_t before;

	feed_text(p, &said, "event:1234\n");
	before = weft_sse_parser_memory(p);
	for (int i = 0; i < 10; i++) {
		feed_text(p, &said, "da");
		feed_text(p, &said, "ta:" LONG_NOISE);
		feed_text(p, &said, LONG_NOISE "\ndata:" LONG_NOISE "\n");
	}
	ck_assert_uint_eq(weft_sse_parser_memory(p), before);
	weft_sse_parser_free(p);
}
END_TEST

/* U+FFFD takes three bytes in place of one. */
START_TEST(data_that_grows_over_its_limit_takes_no_memory_for_that)
{
	weft_sse_options options = { .event_max = 60000 };
	weft_sse_parser *p = NULL;
	weft_sse_event e;
	char *stream = malloc(60000 + 9);
	const uint8_t *data = (const uint8_t *)stream;
	size_t len = 30000 + 8;

	T_OUGHT(stream);
	memcpy(stream, "data: ", 6);
	memset(stream + 6, 0xff, 30000);
	memcpy(stream + 6 + 30000, "\n\n", 2);
	ck_assert_int_eq(weft_sse_parser_create(&p, &options), WEFT_OK);
	ck_assert_int_eq(weft_sse_parser_next(p, &data, &len, &e), WEFT_EMSGSIZE);
	ck_assert_uint_eq(weft_sse_parser_memory(p), 0);
	ck_assert_uint_eq(len, 0);
	weft_sse_parser_free(p);
	free(stream);
}
END_TEST

START_TEST(no_memory_drops_the_event_and_says_so)
{
	static const char stream[] = ": c\xff\nevent: t\nid: 12\ndata: a\xff\ndata: b\n\n";
	weft_sse_options o = { .report_comments = true };

	for (size_t piece = 1; piece <= sizeof(stream); piece += sizeof(stream) - 1) {
		T_EACH_FAILING_MALLOC(n) {
			weft_sse_parser *p = NULL;
			weft_err err = weft_sse_parser_create(&p, &o), first = err;
			unsigned messages = 0;
			weft_sse_event e;

			for (int round = 0; round < 2 && !err; round++) {
				for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
					const uint8_t *data = (const uint8_t *)stream + at;
					size_t len = piece;

					if (len > sizeof(stream) - 1 - at)
						len = sizeof(stream) - 1 - at;
					do {
						err = weft_sse_parser_next(p, &data, &len, &e);
						first = first ? first : err;
						messages += !err && e.kind == WEFT_SSE_MESSAGE;
					} while (err || e.kind != WEFT_SSE_NONE);
				}
			}
			ck_assert(first == WEFT_OK || first == WEFT_ENOMEM);
			ck_assert((first != WEFT_OK) == t_malloc_failed());
			/* the one at fault at most is missing */
			ck_assert(!p || messages + (first != WEFT_OK) >= 2);
			weft_sse_parser_free(p);
		}
	}
}
END_TEST

static void parser_tests(TCase *tc)
{
	t_add(tc, the_web_platform_tests_formats_are_read_at_every_split);
	t_add(tc, lines_and_fields_are_read_as_the_standard_says_at_every_split);
	t_add(tc, what_is_not_utf8_is_replaced_at_every_split);
	t_add(tc, comments_and_retries_are_reported_when_asked_for);
	t_add(tc, the_last_id_changes_at_the_empty_line_only);
	t_add(tc, a_last_id_can_be_given);
	t_add(tc, the_retry_is_kept_over_streams);
	t_add(tc, a_reset_forgets_the_line_and_the_event_under_way);
	t_add(tc, what_is_over_a_limit_is_named_and_the_stream_goes_on);
	t_add(tc, a_comment_is_cut_off_at_its_limit);
	t_add(tc, data_is_too_large_at_the_line_that_makes_it_so);
	t_add(tc, limits_beyond_a_buffers_size_are_refused);
	t_add(tc, one_line_of_data_in_one_piece_is_not_copied);
	t_add(tc, memory_grows_with_an_event_and_goes_back_behind_it);
	t_add(tc, an_endless_line_takes_no_more_than_its_limit);
	t_add(tc, of_an_event_that_is_dropped_nothing_is_kept);
	t_add(tc, data_that_grows_over_its_limit_takes_no_memory_for_that);
	t_add(tc, no_memory_drops_the_event_and_says_so);
}

T_SUITE("sse parser", parser_tests)
