/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "bridge/mcp_server_token.h"

#include "support/ends.h"

static struct mcps_tokens *parse(const char *text, const struct mcps_tokens *before)
{
	struct mcps_tokens *tokens = NULL;

	OK(mcps_tokens_parse(&tokens, "file", text, strlen(text), before));
	return tokens;
}

static struct mcps_principal *find(const struct mcps_tokens *tokens, const char *token)
{
	return mcps_tokens_find(tokens, token, strlen(token));
}

START_TEST(a_token_is_whose_line_it_stands_in)
{
	struct mcps_tokens *t = parse("# who may come\nalpha\n\n  beta Beta the second \t\r\n"
				      "a.b-c_d~e+f/g== third#said twice\nlast",
		NULL);

	ck_assert_uint_eq(t->len, 4);
	ck_assert_str_eq(find(t, "alpha")->name, "");
	ck_assert_str_eq(find(t, "beta")->name, "Beta the second");
	ck_assert_str_eq(find(t, "a.b-c_d~e+f/g==")->name, "third");
	ck_assert_ptr_nonnull(find(t, "last"));
	ck_assert(find(t, "alpha") != find(t, "last"));
	mcps_tokens_unref(t);
}
END_TEST

START_TEST(what_is_no_whole_token_is_nobodys)
{
	static const char *const wrong[] = { "", "a", "alph", "alphaa", "alphaalpha", "Alpha",
		"blpha", "alphb", "alpha ", "# who" };
	struct mcps_tokens *t = parse("alpha\nbeta\n", NULL);

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!find(t, wrong[i]), "%s", wrong[i]);
	ck_assert(!mcps_tokens_find(t, "alpha\0", 6));
	mcps_tokens_unref(t);
}
END_TEST

START_TEST(who_needs_no_token_has_none)
{
	struct mcps_principal *anybody = mcps_principal_anybody();

	ck_assert(!mcps_token_is(anybody, "", 0));
	ck_assert(!mcps_token_is(anybody, "x", 1));
	mcps_principal_unref(anybody);
	mcps_principal_unref(NULL);
}
END_TEST

START_TEST(errors_say_the_line)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", "there is no token in it" },
		{ "# nothing\n\n", "there is no token in it" },
		{ "good\nb\303\244d\n", "line 2: a token has" },
		{ "good\n\n=x\n", "line 3: a token has" },
		{ "a=b", "line 1: a token has" },
		{ "one\ntwo Two\n#\none again\n", "line 4: the token of line 1 once more" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mcps_tokens *t = NULL;

		FAILS(WEFT_EINVAL,
			mcps_tokens_parse(&t, "file", bad[i].text, strlen(bad[i].text), NULL));
		ck_assert_msg(strstr(weft_error_detail(), bad[i].says) != NULL, "%s",
			weft_error_detail());
		ck_assert_ptr_null(t);
	}
}
END_TEST

START_TEST(tokens_are_bounded)
{
	char *text = calloc(1, 1 << 16), *at = text;
	struct mcps_tokens *t = NULL;

	memset(text, 'x', MCPS_TOKEN_SIZE_MAX);
	mcps_tokens_unref(parse(text, NULL));
	text[MCPS_TOKEN_SIZE_MAX] = 'x';
	FAILS(WEFT_EINVAL, mcps_tokens_parse(&t, "file", text, strlen(text), NULL));
	memset(text, 0, 1 << 16);
	for (int i = 0; i < MCPS_TOKENS_MAX; i++)
		at += sprintf(at, "t%d\n", i);
	mcps_tokens_unref(parse(text, NULL));
	sprintf(at, "more");
	FAILS(WEFT_EINVAL, mcps_tokens_parse(&t, "file", text, strlen(text), NULL));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "line 1025: more than 1024"));
	free(text);
}
END_TEST

START_TEST(a_principal_whose_token_stays_is_the_same)
{
	struct mcps_tokens *a = parse("one One\ntwo\n", NULL), *b;
	struct mcps_principal *one = find(a, "one"), *two = find(a, "two");

	b = parse("three\none Another\n", a);
	ck_assert_ptr_eq(find(b, "one"), one);
	ck_assert_ptr_null(find(b, "two"));
	ck_assert(mcps_tokens_has(b, one) && !mcps_tokens_has(b, two));
	mcps_tokens_unref(a);
	ck_assert_str_eq(find(b, "one")->token, "one");
	mcps_tokens_unref(b);
}
END_TEST

START_TEST(a_bearer_is_found_in_its_field)
{
	ck_assert_str_eq(mcps_bearer("Bearer abc"), "abc");
	ck_assert_str_eq(mcps_bearer("bEARER   abc="), "abc=");
	ck_assert_ptr_null(mcps_bearer(NULL));
	ck_assert_ptr_null(mcps_bearer(""));
	ck_assert_ptr_null(mcps_bearer("Bearer"));
	ck_assert_ptr_null(mcps_bearer("Bearer "));
	ck_assert_ptr_null(mcps_bearer("Bearerabc"));
	ck_assert_ptr_null(mcps_bearer("Basic abc"));
}
END_TEST

START_TEST(a_file_is_read)
{
	char path[] = "/tmp/weft-tokens-XXXXXX";
	struct mcps_tokens *t = NULL;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "secret Me\n", 10), 10);
	close(fd);
	OK(mcps_tokens_load(&t, path, NULL));
	ck_assert_str_eq(find(t, "secret")->name, "Me");
	mcps_tokens_unref(t);
	ck_assert_int_eq(truncate(path, (off_t)MCPS_TOKEN_FILE_MAX + 1), 0);
	FAILS(WEFT_EINVAL, mcps_tokens_load(&t, path, NULL));
	unlink(path);
	FAILS(WEFT_ENOTFOUND, mcps_tokens_load(&t, path, NULL));
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), path));
	ck_assert(mcps_tokens_load(&t, "/", NULL) != WEFT_OK);
}
END_TEST

START_TEST(no_memory_leaves_nothing)
{
	struct mcps_tokens *before = parse("one\ntwo\n", NULL);

	T_EACH_FAILING_MALLOC(n) {
		struct mcps_tokens *t = NULL;
		weft_err err = mcps_tokens_parse(&t, "file", "one\nthree 3\n", 12, before);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		mcps_tokens_unref(t);
	}
	mcps_tokens_unref(before);
}
END_TEST

static void token_tests(TCase *tc)
{
	t_add(tc, a_token_is_whose_line_it_stands_in);
	t_add(tc, what_is_no_whole_token_is_nobodys);
	t_add(tc, who_needs_no_token_has_none);
	t_add(tc, errors_say_the_line);
	t_add(tc, tokens_are_bounded);
	t_add(tc, a_principal_whose_token_stays_is_the_same);
	t_add(tc, a_bearer_is_found_in_its_field);
	t_add(tc, a_file_is_read);
	t_add(tc, no_memory_leaves_nothing);
}
T_SUITE("mcp server: tokens", token_tests)
