/* SPDX-License-Identifier: MIT */
#include "http/fields.h"

#include "support/t.h"

#include <string.h>

static weft_http_fields *made(void)
{
	weft_http_fields *f;

	ck_assert_int_eq(weft_http_fields_create(&f), WEFT_OK);
	return f;
}

static void add(weft_http_fields *f, const char *name, const char *value)
{
	ck_assert_int_eq(weft_http_fields_add(f, name, value), WEFT_OK);
}

START_TEST(fields_keep_their_order_and_their_spelling)
{
	weft_http_fields *f = made();
	const char *name, *value;

	add(f, "Host", "a");
	add(f, "X-One", "  1\t");
	add(f, "x-oNE", "");
	ck_assert_uint_eq(weft_http_fields_count(f), 3);
	ck_assert_str_eq(weft_http_fields_get(f, "x-one"), "1");
	ck_assert_str_eq(weft_http_fields_get_nth(f, "X-ONE", 1), "");
	ck_assert_ptr_null(weft_http_fields_get_nth(f, "X-ONE", 2));
	ck_assert_ptr_null(weft_http_fields_get(f, "X-On"));
	ck_assert_ptr_null(weft_http_fields_get(NULL, "X-On"));
	weft_http_fields_at(f, 2, &name, &value);
	ck_assert_str_eq(name, "x-oNE");
	ck_assert_str_eq(value, "");
	weft_http_fields_free(f);
}
END_TEST

static const struct {
	const char *name, *value, *says;
} refused[] = {
	{ "", "x", "without a name" },
	{ "a b", "x", "0x20 at 1" },
	{ "a:", "x", "0x3a at 1" },
	{ "n\xc3\xa4", "x", "0xc3 at 1" },
	{ "a", "x\r\nb: c", "header field a: control character 0x0d at byte 1" },
	{ "a", "x\ny", "0x0a" },
	{ "a", "\x7f", "0x7f" },
	{ "a", "x\x01", "0x01" },
	{ "a", NULL, "without a value" },
	{ NULL, "x", "without a name" },
};

START_TEST(fields_refuse_what_would_be_another_line)
{
	weft_http_fields *f = made();

	ck_assert_int_eq(weft_http_fields_add(f, refused[_i].name, refused[_i].value), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), refused[_i].says));
	ck_assert_int_eq(weft_http_fields_set(f, refused[_i].name, refused[_i].value), WEFT_EINVAL);
	ck_assert_uint_eq(weft_http_fields_count(f), 0);
	weft_http_fields_free(f);
}
END_TEST

START_TEST(fields_take_lines_of_a_file)
{
	weft_http_fields *f = made();

	ck_assert_int_eq(weft_http_fields_add_line(f, "Authorization:Bearer x:y "), WEFT_OK);
	ck_assert_str_eq(weft_http_fields_get(f, "authorization"), "Bearer x:y");
	ck_assert_int_eq(weft_http_fields_add_line(f, "no colon"), WEFT_EINVAL);
	ck_assert_int_eq(weft_http_fields_add_line(f, "a : b"), WEFT_EINVAL);
	weft_http_fields_free(f);
}
END_TEST

START_TEST(fields_set_replaces_all_of_a_name)
{
	weft_http_fields *f = made();

	add(f, "a", "1");
	add(f, "b", "2");
	add(f, "A", "3");
	add(f, "a", "4");
	ck_assert_int_eq(weft_http_fields_set(f, "A", "five"), WEFT_OK);
	ck_assert_uint_eq(weft_http_fields_count(f), 2);
	ck_assert_str_eq(weft_http_fields_get(f, "a"), "five");
	ck_assert_uint_eq(f->size, strlen("Afive") + strlen("b2"));
	ck_assert_uint_eq(weft_http_fields_remove(f, "a"), 1);
	ck_assert_uint_eq(weft_http_fields_remove(f, "a"), 0);
	ck_assert_int_eq(weft_http_fields_set(f, "c", "6"), WEFT_OK);
	ck_assert_uint_eq(f->size, 4);
	weft_http_fields_clear(f);
	ck_assert_uint_eq(f->size, 0);
	weft_http_fields_free(f);
}
END_TEST

/* A name that is the fields' own is good until the call has ended. */
START_TEST(fields_remove_by_a_name_of_their_own)
{
	weft_http_fields *f = made();
	const char *name;

	add(f, "X-A", "1");
	add(f, "X-B", "2");
	add(f, "x-a", "3");
	add(f, "X-a", "4");
	weft_http_fields_at(f, 0, &name, NULL);
	ck_assert_uint_eq(weft_http_fields_remove(f, name), 3);
	ck_assert_uint_eq(weft_http_fields_count(f), 1);
	add(f, "x-b", "5");
	add(f, "X-C", "6");
	add(f, "x-B", "7");
	weft_http_fields_at(f, 1, &name, NULL);
	ck_assert_int_eq(weft_http_fields_set(f, name, "8"), WEFT_OK);
	ck_assert_uint_eq(weft_http_fields_count(f), 2);
	ck_assert_str_eq(weft_http_fields_get(f, "X-B"), "8");
	ck_assert_str_eq(weft_http_fields_get(f, "X-C"), "6");
	weft_http_fields_free(f);
}
END_TEST

START_TEST(fields_are_bounded_in_number_and_size)
{
	static char large[WEFT_HTTP_FIELDS_SIZE_MAX];
	weft_http_fields *f = made();

	memset(large, 'x', sizeof(large) - 1);
	add(f, "a", large);
	ck_assert_int_eq(weft_http_fields_add(f, "b", ""), WEFT_EMSGSIZE);
	ck_assert_int_eq(weft_http_fields_set(f, "aa", "b"), WEFT_EMSGSIZE);
	ck_assert_int_eq(weft_http_fields_set(f, "a", "b"), WEFT_OK);
	weft_http_fields_clear(f);
	for (int i = 0; i < WEFT_HTTP_FIELDS_MAX; i++)
		add(f, "a", "b");
	ck_assert_int_eq(weft_http_fields_add(f, "a", "b"), WEFT_EMSGSIZE);
	weft_http_fields_free(f);
}
END_TEST

START_TEST(fields_views_cost_nothing_until_they_outgrow_their_list)
{
	struct http_field list[2];
	struct weft_http_fields f;

	http_fields_init_over(&f, list, 2);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(http_fields_add_view(&f, "a", 1, "bc", 2), WEFT_OK);
	ck_assert_uint_eq(f.len, 3);
	ck_assert_ptr_ne(f.list, list);
	ck_assert_str_eq(weft_http_fields_get_nth(&f, "a", 2), "bc");
	ck_assert_int_eq(weft_http_fields_set(&f, "A", "d"), WEFT_OK);
	ck_assert_str_eq(weft_http_fields_get(&f, "a"), "d");
	ck_assert_uint_eq(f.len, 1);
	http_fields_fini(&f);
}
END_TEST

static const struct {
	const char *list, *token;
	bool has;
} lists[] = {
	{ "close", "close", true },
	{ "Keep-Alive, Upgrade", "upgrade", true },
	{ "Keep-Alive,Upgrade", "keep-alive", true },
	{ "closed", "close", false },
	{ "clos", "close", false },
	{ "", "close", false },
	{ ",, ,close ,", "close", true },
	{ "text/event-stream;q=0.9, */*", "text/event-stream", true },
	{ "a;b=\"x, close\"", "close", false },
	{ "a;b=\"\\\", close\", gzip", "gzip", true },
	{ "a;b=\"open, gzip", "gzip", false },
};

START_TEST(fields_lists_are_searched_by_token)
{
	weft_http_fields *f = made();

	add(f, "Connection", "x");
	add(f, "Connection", lists[_i].list);
	ck_assert(weft_http_fields_has_token(f, "connection", lists[_i].token) == lists[_i].has);
	weft_http_fields_free(f);
}
END_TEST

static weft_err use(void)
{
	weft_http_fields *f = NULL, *copy = NULL;
	weft_err err = weft_http_fields_create(&f);

	for (int i = 0; i < 20 && !err; i++)
		err = weft_http_fields_add(f, "name", "value");
	if (!err)
		err = weft_http_fields_copy(&copy, f);
	if (!err)
		err = weft_http_fields_set(copy, "name", "other");
	if (!err) {
		ck_assert_uint_eq(f->len, 20);
		ck_assert_uint_eq(copy->len, 1);
	}
	weft_http_fields_free(copy);
	weft_http_fields_free(f);
	return err;
}

START_TEST(fields_survive_every_failing_allocation)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = use();

		ck_assert(err == (t_malloc_failed() ? WEFT_ENOMEM : WEFT_OK));
	}
}
END_TEST

START_TEST(status_texts_are_those_of_the_registry)
{
	ck_assert_str_eq(weft_http_status_text(200), "OK");
	ck_assert_str_eq(weft_http_status_text(511), "Network Authentication Required");
	ck_assert_str_eq(weft_http_status_text(299), "Unknown");
}
END_TEST

static void fields_tests(TCase *tc)
{
	t_add(tc, fields_keep_their_order_and_their_spelling);
	t_add_loop(tc, fields_refuse_what_would_be_another_line, 0,
		sizeof(refused) / sizeof(refused[0]));
	t_add(tc, fields_take_lines_of_a_file);
	t_add(tc, fields_set_replaces_all_of_a_name);
	t_add(tc, fields_remove_by_a_name_of_their_own);
	t_add(tc, fields_are_bounded_in_number_and_size);
	t_add(tc, fields_views_cost_nothing_until_they_outgrow_their_list);
	t_add_loop(tc, fields_lists_are_searched_by_token, 0, sizeof(lists) / sizeof(lists[0]));
	t_add(tc, fields_survive_every_failing_allocation);
	t_add(tc, status_texts_are_those_of_the_registry);
}
T_SUITE("http/fields", fields_tests)
