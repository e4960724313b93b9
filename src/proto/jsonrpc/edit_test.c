/* SPDX-License-Identifier: MIT */
/* Ids and tokens rewritten: in place, in a copy, as pieces; and put back. */
#include "support/t.h"

#include <weft/jsonrpc.h>

#include <stdlib.h>
#include <string.h>

#define V "\"jsonrpc\":\"2.0\""
#define SUBSCRIPTION "\"io.modelcontextprotocol/subscriptionId\""

static weft_json json(const char *text)
{
	return (weft_json){ text, strlen(text) };
}

/* By all ways that copy: each gives the same. Free it. */
static char *edited(weft_json text, const weft_json_edit *edits, unsigned count, size_t *len)
{
	struct iovec iov[WEFT_JSON_EDIT_IOV_MAX];
	unsigned iov_count = 99;
	size_t size = 0, written = 0, at = 0;
	weft_buf buf;
	char *to;

	ck_assert_int_eq(weft_json_edit_size(text, edits, count, &size), WEFT_OK);
	to = malloc(size);
	T_OUGHT(to);
	T_OUGHT(weft_json_edit_write(text, edits, count, to, size - 1, &written) == WEFT_EMSGSIZE);
	T_OUGHT(!weft_json_edit_write(text, edits, count, to, size, &written) && written == size);
	T_OUGHT(!weft_json_edit_buf(&buf, NULL, text, edits, count));
	T_OUGHT(buf.len == size && !memcmp(buf.data, to, size));
	weft_buf_unref(&buf);
	T_OUGHT(!weft_json_edit_iov(text, edits, count, iov, &iov_count));
	T_OUGHT(iov_count <= 2 * count + 1);
	for (unsigned i = 0; i < iov_count; i++) {
		T_OUGHT(iov[i].iov_len > 0 && at + iov[i].iov_len <= size);
		T_OUGHT(!memcmp(to + at, iov[i].iov_base, iov[i].iov_len));
		at += iov[i].iov_len;
	}
	T_OUGHT(at == size);
	*len = size;
	return to;
}

static void check_edited(
	const char *text, const weft_json_edit *edits, unsigned count, const char *want)
{
	size_t len;
	char *to = edited(json(text), edits, count, &len);

	if (len != strlen(want) || memcmp(to, want, len) != 0)
		ck_abort_msg("%.*s, and not %s", (int)len, to, want);
	free(to);
}

START_TEST(values_are_replaced_wherever_they_are)
{
	const char *text = "{\"a\":1,\"b\":\"two\",\"c\":[3]}";
	weft_json a = { text + 5, 1 }, b = { text + 11, 5 }, c = { text + 21, 3 };
	weft_json_edit edits[] = { { c, json("{}") }, { a, json("\"one\"") }, { b, json("2") } };

	check_edited(text, edits, 3, "{\"a\":\"one\",\"b\":2,\"c\":{}}");
	check_edited(text, edits, 2, "{\"a\":\"one\",\"b\":\"two\",\"c\":{}}");
	check_edited(text, edits, 0, text);
	edits[1].old = (weft_json){ NULL, 0 };
	check_edited(text, edits, 3, "{\"a\":1,\"b\":2,\"c\":{}}");
	/* at both ends */
	edits[0] = (weft_json_edit){ { text, 1 }, json("<") };
	edits[1] = (weft_json_edit){ { text + 24, 1 }, json(">>") };
	check_edited(text, edits, 2, "<\"a\":1,\"b\":\"two\",\"c\":[3]>>");
	edits[0] = (weft_json_edit){ json(text), json("null") };
	check_edited(text, edits, 1, "null");
}
END_TEST

START_TEST(what_fits_is_replaced_in_place)
{
	char text[] = "{\"id\":\"long-one\",\"x\":12}";
	const weft_json id = { text + 6, 10 }, x = { text + 21, 2 };
	weft_json_edit shorter[] = { { x, json("7") }, { id, json("1") } };
	weft_json_edit longer[] = { { id, json("2") }, { x, json("100") } };
	weft_json_edit back[] = { { id, json("\"long-one\"") }, { x, json("12") } };
	size_t len = sizeof(text) - 1;
	weft_json value;

	ck_assert_int_eq(weft_json_edit_in_place(text, len, shorter, 2), WEFT_OK);
	ck_assert_str_eq(text, "{\"id\":1         ,\"x\":7 }");
	ck_assert_int_eq(weft_json_check(&value, text, len, NULL), WEFT_OK);
	ck_assert_int_eq(weft_json_edit_in_place(text, len, longer, 2), WEFT_EMSGSIZE);
	ck_assert_str_eq(text, "{\"id\":1         ,\"x\":7 }");
	ck_assert_int_eq(weft_json_edit_in_place(text, len, back, 2), WEFT_OK);
	ck_assert_str_eq(text, "{\"id\":\"long-one\",\"x\":12}");
}
END_TEST

START_TEST(edits_that_cannot_be_are_refused)
{
	char text[] = "[1,22,3]";
	weft_json_edit edits[WEFT_JSON_EDITS_MAX + 1];
	weft_json one = { text + 1, 1 }, two = { text + 3, 2 }, within = { text + 4, 1 };
	weft_json outside = { text + 7, 2 }, before = { text, 1 };
	size_t size;

	edits[0] = (weft_json_edit){ two, json("0") };
	edits[1] = (weft_json_edit){ within, json("0") };
	ck_assert_int_eq(weft_json_edit_size(json(text), edits, 2, &size), WEFT_EINVAL);
	ck_assert_int_eq(weft_json_edit_in_place(text, 8, edits, 2), WEFT_EINVAL);
	edits[1].old = two;
	ck_assert_int_eq(weft_json_edit_size(json(text), edits, 2, &size), WEFT_EINVAL);
	edits[0].old = outside;
	ck_assert_int_eq(weft_json_edit_size(json(text), edits, 1, &size), WEFT_EINVAL);
	edits[0].old = before;
	ck_assert_int_eq(weft_json_edit_size(json(text + 1), edits, 1, &size), WEFT_EINVAL);
	edits[0] = (weft_json_edit){ one, { NULL, 0 } };
	ck_assert_int_eq(weft_json_edit_size(json(text), edits, 1, &size), WEFT_EINVAL);
	edits[0] = (weft_json_edit){ one, json("") };
	ck_assert_int_eq(weft_json_edit_size(json(text), edits, 1, &size), WEFT_EINVAL);
	ck_assert_str_eq(text, "[1,22,3]");
}
END_TEST

START_TEST(as_many_edits_as_allowed)
{
	char text[] = "[0,1,2,3,4,5,6,7,8]";
	weft_json_edit edits[WEFT_JSON_EDITS_MAX + 1];
	size_t size;

	for (unsigned i = 0; i <= WEFT_JSON_EDITS_MAX; i++)
		edits[i] = (weft_json_edit){ { text + 1 + 2 * ((i * 5) % 9), 1 }, json("xx") };
	check_edited(text, edits, WEFT_JSON_EDITS_MAX, "[xx,xx,xx,xx,4,xx,xx,xx,xx]");
	ck_assert_int_eq(weft_json_edit_size(json(text), edits, WEFT_JSON_EDITS_MAX + 1, &size),
		WEFT_EINVAL);
	edits[3].old = (weft_json){ NULL, 0 };
	ck_assert_int_eq(
		weft_json_edit_size(json(text), edits, WEFT_JSON_EDITS_MAX + 1, &size), WEFT_OK);
}
END_TEST

START_TEST(a_copy_that_cannot_be_had_is_said)
{
	weft_json text = json("[1]");
	weft_json_edit edit = { { text.text + 1, 1 }, { "22", 2 } };

	T_EACH_FAILING_MALLOC(n) {
		weft_buf buf = WEFT_BUF_EMPTY;
		weft_err err = weft_json_edit_buf(&buf, NULL, text, &edit, 1);

		ck_assert_int_eq(err, t_malloc_failed() ? WEFT_ENOMEM : WEFT_OK);
		weft_buf_unref(&buf);
	}
}
END_TEST

/* ---- a relay: the request's ids become its own, the answer's the client's again ---- */

static const char *const requests[] = {
	"{" V ",\"id\":1,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"progressToken\":1}}}",
	"{\"id\" : \"a\\u0041\\\"\" ," V ",\"method\":\"m\"}",
	"{" V
	",\"id\":1.50e1,\"method\":\"m\",\"params\":{\"_meta\":{\"progressToken\":\"\xc3\xa9\"}}}",
	"{" V ",\"id\":\"0123456789012345678901234567890123456789\",\"method\":\"m\"}",
	"{" V ",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":17}}",
	"{" V
	",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"t\",\"progress\":1}}",
	"{" V ",\"method\":\"n\",\"params\":{\"_meta\":{" SUBSCRIPTION ":5}}}",
	"{" V ",\"id\":5,\"result\":{\"_meta\":{" SUBSCRIPTION ":5}}}",
};

static unsigned all_edits(const weft_jsonrpc *m, weft_json value, weft_json_edit *edits)
{
	const weft_json olds[] = { m->id, m->request_id, m->progress_token, m->meta_progress_token,
		m->meta_subscription_id };

	for (unsigned i = 0; i < 5; i++)
		edits[i] = (weft_json_edit){ olds[i], value };
	return 5;
}

/* The old values of a message where the new ones are in another. */
static void swap_back(weft_json_edit *edits, const weft_jsonrpc *was, const weft_jsonrpc *is)
{
	const weft_json olds[] = { is->id, is->request_id, is->progress_token,
		is->meta_progress_token, is->meta_subscription_id };
	const weft_json values[] = { was->id, was->request_id, was->progress_token,
		was->meta_progress_token, was->meta_subscription_id };

	for (unsigned i = 0; i < 5; i++)
		edits[i] = (weft_json_edit){ olds[i], values[i] };
}

START_TEST(ids_are_rewritten_and_put_back_to_the_very_bytes)
{
	static const char *const ids[] = { "7", "1000000007", "\"w:12345678901234567890\"" };

	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		for (size_t k = 0; k < 3; k++) {
			weft_json text = json(requests[i]);
			weft_json_edit edits[5];
			weft_jsonrpc was, is;
			size_t len, back_len;
			char *there, *back, *place;

			ck_assert_int_ne(weft_jsonrpc_scan(&was, text.text, text.len, NULL),
				WEFT_JSONRPC_INVALID);
			all_edits(&was, json(ids[k]), edits);
			there = edited(text, edits, 5, &len);
			ck_assert_int_eq(weft_jsonrpc_scan(&is, there, len, NULL), was.kind);
			T_OUGHT(!was.id.text ||
				(is.id.len == strlen(ids[k]) &&
					!memcmp(is.id.text, ids[k], is.id.len)));
			T_OUGHT(!was.meta_subscription_id.text ||
				is.meta_subscription_id.len == strlen(ids[k]));
			swap_back(edits, &was, &is);
			back = edited((weft_json){ there, len }, edits, 5, &back_len);
			T_OUGHT(back_len == text.len && !memcmp(back, text.text, text.len));
			free(back);
			free(there);
			/* the same where it lies, when it fits */
			place = malloc(text.len);
			T_OUGHT(place);
			memcpy(place, text.text, text.len);
			T_OUGHT(weft_jsonrpc_scan(&is, place, text.len, NULL) == was.kind);
			all_edits(&is, json(ids[k]), edits);
			if (!weft_json_edit_in_place(place, text.len, edits, 5)) {
				weft_jsonrpc after;

				T_OUGHT(weft_jsonrpc_scan(&after, place, text.len, NULL) ==
					was.kind);
				T_OUGHT(!was.id.text || after.id.len == strlen(ids[k]));
				swap_back(edits, &was, &is);
				T_OUGHT(!weft_json_edit_in_place(place, text.len, edits, 5));
			}
			T_OUGHT(!memcmp(place, text.text, text.len));
			free(place);
		}
	}
}
END_TEST

static void edit_tests(TCase *tc)
{
	t_add(tc, values_are_replaced_wherever_they_are);
	t_add(tc, what_fits_is_replaced_in_place);
	t_add(tc, edits_that_cannot_be_are_refused);
	t_add(tc, as_many_edits_as_allowed);
	t_add(tc, a_copy_that_cannot_be_had_is_said);
	t_add(tc, ids_are_rewritten_and_put_back_to_the_very_bytes);
}

T_SUITE("json edit", edit_tests)
