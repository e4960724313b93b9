/* SPDX-License-Identifier: MIT */
/* Messages that are not kept: each is shown whole, byte by byte, and cut at every place. */
#include "support/t.h"

#include <weft/jsonrpc.h>

#include <stdlib.h>
#include <string.h>

#define EACH(i, list) for (size_t i = 0; i < sizeof(list) / sizeof(*(list)); i++)
#define V "\"jsonrpc\":\"2.0\""

/* In a block of its own, so that a byte over is seen. */
static void show(weft_jsonrpc_skim *s, const char *bytes, size_t len)
{
	char *exact = malloc(len ? len : 1);

	T_OUGHT(exact);
	memcpy(exact, bytes, len);
	weft_jsonrpc_skim_bytes(s, exact, len);
	free(exact);
}

static void check_end(
	const weft_jsonrpc_skim *s, const char *text, weft_jsonrpc_kind kind, const char *id)
{
	weft_json got;
	weft_jsonrpc_kind is = weft_jsonrpc_skim_end(s, &got);

	if (is != kind)
		ck_abort_msg("%s: kind %d, not %d", text, is, kind);
	if (!id != !got.text || (id && (got.len != strlen(id) || memcmp(got.text, id, got.len))))
		ck_abort_msg("%s: id %.*s, not %s", text, (int)got.len, got.text ? got.text : "",
			id ? id : "none");
}

static void check(const char *text, weft_jsonrpc_kind kind, const char *id)
{
	size_t len = strlen(text);
	weft_jsonrpc_skim s;

	for (size_t cut = 0; cut <= len; cut++) {
		memset(&s, 0xee, sizeof(s));
		weft_jsonrpc_skim_init(&s);
		show(&s, text, cut);
		show(&s, text + cut, len - cut);
		check_end(&s, text, kind, id);
	}
	weft_jsonrpc_skim_init(&s);
	for (size_t i = 0; i < len; i++)
		show(&s, text + i, 1);
	check_end(&s, text, kind, id);
}

static const struct {
	const char *text;
	weft_jsonrpc_kind kind;
	const char *id;
} cases[] = {
	{ "{" V ",\"id\":1,\"method\":\"m\"}", WEFT_JSONRPC_REQUEST, "1" },
	/* the id may be the last: some write it there */
	{ "{\"method\":\"tools/call\",\"params\":{\"id\":2,\"x\":\"}\\\"{\",\"y\":[[],{}]}," V
	  ",\"id\":\"a\\\"b\"} \r\n",
		WEFT_JSONRPC_REQUEST, "\"a\\\"b\"" },
	{ " \n{ \"id\" : -1.5e3 , \"result\" : null } ", WEFT_JSONRPC_RESPONSE, "-1.5e3" },
	{ "{\"result\":[\"id\"],\"id\":7}", WEFT_JSONRPC_RESPONSE, "7" },
	{ "{\"error\":{\"code\":1,\"message\":\"\"},\"id\":null}", WEFT_JSONRPC_ERROR, "null" },
	{ "{\"error\":{}}", WEFT_JSONRPC_ERROR, NULL },
	{ "{\"method\":\"m\"}", WEFT_JSONRPC_NOTIFICATION, NULL },
	{ "{\"\\u0069\\u0064\":4,\"\\u006d\\u0065\\u0074\\u0068\\u006f\\u0064\":\"m\"}",
		WEFT_JSONRPC_REQUEST, "4" },
	{ "{\"a name that is longer than any that is looked for\":\"id\",\"id\":1,\"result\":0}",
		WEFT_JSONRPC_RESPONSE, "1" },
	{ "[{\"id\":1,\"method\":\"m\"}]", WEFT_JSONRPC_BATCH, NULL },
	/* nothing that can be answered */
	{ "{\"id\":1,\"id\":1,\"method\":\"m\"}", WEFT_JSONRPC_INVALID, NULL },
	{ "{\"id\":1,\"\\u0069d\":2,\"method\":\"m\"}", WEFT_JSONRPC_INVALID, NULL },
	{ "{\"id\":{\"id\":1},\"method\":\"m\"}", WEFT_JSONRPC_REQUEST, NULL },
	{ "{\"id\":[1],\"method\":\"m\"}", WEFT_JSONRPC_REQUEST, NULL },
	{ "{\"id\":true,\"method\":\"m\"}", WEFT_JSONRPC_REQUEST, NULL },
	{ "{\"id\":1x,\"method\":\"m\"}", WEFT_JSONRPC_REQUEST, NULL },
	{ "{\"id\":\"\xff\",\"method\":\"m\"}", WEFT_JSONRPC_REQUEST, NULL },
	{ "{\"id\":\"\\x\",\"method\":\"m\"}", WEFT_JSONRPC_REQUEST, NULL },
	/* an id, and no message */
	{ "{\"id\":1,\"method\":\"m\",\"method\":\"n\"}", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"id\":1,\"method\":\"m\",\"result\":1}", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"id\":1,\"result\":1,\"error\":1}", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"id\":1}", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"result\":1}", WEFT_JSONRPC_INVALID, NULL },
	{ "{\"id\":1,\"method\":\"m\"}x", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"id\":1,x", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"id\" 1", WEFT_JSONRPC_INVALID, NULL },
	{ "{\"id\":1 2", WEFT_JSONRPC_INVALID, "1" },
	/* what is cut */
	{ "", WEFT_JSONRPC_INVALID, NULL },
	{ "  ", WEFT_JSONRPC_INVALID, NULL },
	{ "1", WEFT_JSONRPC_INVALID, NULL },
	{ "{\"id\":1", WEFT_JSONRPC_INVALID, NULL },
	{ "{\"id\":\"1", WEFT_JSONRPC_INVALID, NULL },
	{ "{\"id\":\"1\\\"", WEFT_JSONRPC_INVALID, NULL },
	{ "{\"id\":1,", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"id\":1,\"me", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"id\":1,\"method\"", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"id\":1,\"method\":\"m\"", WEFT_JSONRPC_INVALID, "1" },
	{ "{\"method\":\"m\",\"params\":{\"id\":1}", WEFT_JSONRPC_INVALID, NULL },
};

START_TEST(kind_and_id_are_known_of_what_was_only_shown)
{
	EACH(i, cases)
	{
		check(cases[i].text, cases[i].kind, cases[i].id);
	}
}
END_TEST

START_TEST(an_id_is_kept_up_to_its_bound)
{
	for (size_t len = WEFT_JSONRPC_SKIM_ID_MAX - 2; len < WEFT_JSONRPC_SKIM_ID_MAX + 3; len++) {
		char text[WEFT_JSONRPC_SKIM_ID_MAX + 64] = "{\"method\":\"m\",\"id\":\"", *id;
		size_t at = strlen(text) - 1;

		id = text + at;
		memset(id + 1, 'x', len - 2);
		strcpy(id + len - 1, "\"}");
		if (len > WEFT_JSONRPC_SKIM_ID_MAX) {
			check(text, WEFT_JSONRPC_REQUEST, NULL);
		} else {
			char want[WEFT_JSONRPC_SKIM_ID_MAX + 1];

			memcpy(want, id, len);
			want[len] = '\0';
			check(text, WEFT_JSONRPC_REQUEST, want);
		}
	}
}
END_TEST

/* What a reader of lines does: 40 MB, of which nothing is kept. */
START_TEST(a_message_of_any_size_is_answered_by_its_id)
{
	static const char head[] = "{\"method\":\"m\",\"params\":{\"text\":\"";
	static const char tail[] = "\"},\"deep\":", end[] = "," V ",\"id\":\"last\"}";
	char piece[4096];
	weft_jsonrpc_skim s;

	weft_jsonrpc_skim_init(&s);
	weft_jsonrpc_skim_bytes(&s, head, sizeof(head) - 1);
	memset(piece, 'x', sizeof(piece));
	for (int i = 0; i < 10000; i++)
		weft_jsonrpc_skim_bytes(&s, piece, sizeof(piece));
	weft_jsonrpc_skim_bytes(&s, tail, sizeof(tail) - 1);
	memset(piece, '[', sizeof(piece));
	weft_jsonrpc_skim_bytes(&s, piece, sizeof(piece));
	memset(piece, ']', sizeof(piece));
	weft_jsonrpc_skim_bytes(&s, piece, sizeof(piece));
	weft_jsonrpc_skim_bytes(&s, end, sizeof(end) - 1);
	check_end(&s, "a large one", WEFT_JSONRPC_REQUEST, "\"last\"");
}
END_TEST

static void skim_tests(TCase *tc)
{
	t_add(tc, kind_and_id_are_known_of_what_was_only_shown);
	t_add(tc, an_id_is_kept_up_to_its_bound);
	t_add(tc, a_message_of_any_size_is_answered_by_its_id);
}

T_SUITE("json-rpc skim", skim_tests)
