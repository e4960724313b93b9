/* SPDX-License-Identifier: MIT */
/* Files of header fields. */
#define _POSIX_C_SOURCE 200809L
#include "bridge/fields_file.h"
#include "support/t.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static weft_err load(weft_http_fields *fields, const char *text, size_t len)
{
	char path[] = "/tmp/weft-fields-XXXXXX";
	int fd = mkstemp(path);
	weft_err err;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
	err = fields_file_read(fields, path);
	unlink(path);
	return err;
}

START_TEST(fields_of_a_file)
{
	static const char text[] =
		"# who we are\nAuthorization: Bearer a:b\r\n\n \t\nX-A:  b \nX-C:";
	weft_http_fields *fields = NULL;

	ck_assert_int_eq(weft_http_fields_create(&fields), WEFT_OK);
	ck_assert_int_eq(load(fields, text, strlen(text)), WEFT_OK);
	ck_assert_uint_eq(weft_http_fields_count(fields), 3);
	ck_assert_str_eq(weft_http_fields_get(fields, "authorization"), "Bearer a:b");
	ck_assert_str_eq(weft_http_fields_get(fields, "X-A"), "b");
	ck_assert_str_eq(weft_http_fields_get(fields, "X-C"), "");
	weft_http_fields_free(fields);
}
END_TEST

struct bad {
	const char *text;
	size_t len;
	const char *why;
};

static const struct bad bads[] = {
	{ "A: b\nsecret\n", 12, ", line 2: not \"Name: value\"" },
	{ "A: sec\1ret\n", 11, ", line 1: not \"Name: value\"" },
	{ "A: sec\0ret\n", 11, ", line 1: a NUL" },
	{ "A b: secret\n", 12, ", line 1: not \"Name: value\"" },
};

START_TEST(fields_that_can_not_be_say_where_and_nothing_else)
{
	const struct bad *b = &bads[_i];
	weft_http_fields *fields = NULL;

	ck_assert_int_eq(weft_http_fields_create(&fields), WEFT_OK);
	ck_assert_int_eq(load(fields, b->text, b->len), WEFT_EINVAL);
	ck_assert_msg(strstr(weft_error_detail(), b->why), "%s", weft_error_detail());
	ck_assert_ptr_null(strstr(weft_error_detail(), "sec"));
	weft_http_fields_free(fields);
}
END_TEST

START_TEST(fields_of_a_file_that_is_too_large_or_not_there)
{
	weft_http_fields *fields = NULL;
	char *text = malloc(70000);

	memset(text, '#', 70000);
	ck_assert_int_eq(weft_http_fields_create(&fields), WEFT_OK);
	ck_assert_int_eq(load(fields, text, 65536), WEFT_OK);
	ck_assert_int_eq(load(fields, text, 65537), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "more than 65536 bytes"));
	ck_assert_int_eq(fields_file_read(fields, "/nowhere/x"), WEFT_EINVAL);
	ck_assert_str_eq(weft_error_detail(), "/nowhere/x: No such file or directory");
	weft_http_fields_free(fields);
	free(text);
}
END_TEST

static void fields_file_tests(TCase *tc)
{
	t_add(tc, fields_of_a_file);
	t_add_loop(tc, fields_that_can_not_be_say_where_and_nothing_else, 0,
		(int)(sizeof(bads) / sizeof(bads[0])));
	t_add(tc, fields_of_a_file_that_is_too_large_or_not_there);
}

T_SUITE("fields_file", fields_file_tests)
