/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "base/heap.h"
#include "base/random.h"
#include "support/t.h"

#include <weft/log.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- errors --------------------------------------------------------------------------- */

START_TEST(every_code_has_a_name_and_a_text)
{
#define CHECK_CODE(code, name, text)                                      \
	ck_assert_str_eq(weft_err_name((weft_err)(code)), "WEFT_" #name); \
	ck_assert_str_eq(weft_strerror((weft_err)(code)), text);
	WEFT_ERR_LIST(CHECK_CODE)
	ck_assert_str_eq(weft_strerror((weft_err)12345), "unknown error");
}
END_TEST

START_TEST(detail_grows_outwards)
{
	ck_assert_int_eq(err_set(WEFT_ETIMEDOUT), WEFT_ETIMEDOUT);
	ck_assert_str_eq(weft_error_detail(), "timed out");
	ck_assert_int_eq(err_sys(ECONNREFUSED, "connect tcp %s", "127.0.0.1:9"), WEFT_EREFUSED);
	ck_assert_str_eq(weft_error_detail(), "connect tcp 127.0.0.1:9: connection refused");
	ck_assert_int_eq(err_wrap(WEFT_EREFUSED, "open %s", "session"), WEFT_EREFUSED);
	ck_assert_str_eq(
		weft_error_detail(), "open session: connect tcp 127.0.0.1:9: connection refused");
}
END_TEST

START_TEST(detail_is_cut_not_overrun)
{
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_setf(WEFT_EIO, "%s", text);
	ck_assert_uint_eq(strlen(weft_error_detail()), ERR_TEXT_MAX - 1);
	ck_assert_str_eq(weft_error_detail() + ERR_TEXT_MAX - 4, "...");
	for (int i = 0; i < 50; i++)
		err_wrap(WEFT_EIO, "an outer layer");
	ck_assert_uint_lt(strlen(weft_error_detail()), ERR_TEXT_MAX);
}
END_TEST

START_TEST(errors_keep_errno_and_survive_without_memory)
{
	errno = EDOM;
	err_setf(WEFT_EIO, "something");
	ck_assert_int_eq(errno, EDOM);
	err_slot_fini(err_slot_self());
	t_malloc_fail_at(1);
	ck_assert_int_eq(err_setf(WEFT_EPROTO, "no memory for this"), WEFT_EPROTO);
	t_malloc_fail_off();
	ck_assert_str_eq(weft_error_detail(), "protocol error");
}
END_TEST

/* --- heap ----------------------------------------------------------------------------- */

#define NODES 2000

static int by_key(const void *a, const void *b)
{
	const struct heap_node *const *x = a, *const *y = b;

	if ((*x)->key != (*y)->key)
		return (*x)->key < (*y)->key ? -1 : 1;
	return (*x)->seq < (*y)->seq ? -1 : 1;
}

START_TEST(heap_agrees_with_sorting)
{
	static struct heap_node nodes[NODES];
	struct heap_node *sorted[NODES];
	uint64_t seed = t_seed(), seq = 0;
	struct heap heap;
	size_t count = 0;

	heap_init(&heap);
	for (size_t i = 0; i < NODES; i++) {
		heap_node_init(&nodes[i]);
		nodes[i].key = (int64_t)(t_random(&seed) % 500);
		nodes[i].seq = seq++;
		ck_assert(heap_push(&heap, &nodes[i]));
	}
	for (size_t i = 0; i < NODES; i++) {
		uint64_t what = t_random(&seed) % 4;

		if (what == 0)
			heap_remove(&heap, &nodes[i]);
		else if (what == 1)
			heap_rekey(&heap, &nodes[i], (int64_t)(t_random(&seed) % 500), seq++);
	}
	for (size_t i = 0; i < NODES; i++)
		if (heap_contains(&nodes[i]))
			sorted[count++] = &nodes[i];
	qsort(sorted, count, sizeof(sorted[0]), by_key);
	for (size_t i = 0; i < count; i++)
		ck_assert_ptr_eq(heap_pop(&heap), sorted[i]);
	ck_assert_ptr_null(heap_pop(&heap));
	heap_fini(&heap);
}
END_TEST

START_TEST(heap_push_without_memory_changes_nothing)
{
	struct heap_node node;
	struct heap heap;

	heap_init(&heap);
	heap_node_init(&node);
	t_malloc_fail_at(1);
	ck_assert(!heap_push(&heap, &node));
	t_malloc_fail_off();
	ck_assert(!heap_contains(&node));
	ck_assert(heap_push(&heap, &node));
	heap_fini(&heap);
}
END_TEST

/* --- random --------------------------------------------------------------------------- */

START_TEST(random_repeats_from_its_seed_and_is_even)
{
	struct random a, b;
	int buckets[10] = { 0 };

	random_seed(&a, 7);
	random_seed(&b, 7);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(random_next(&a), random_next(&b));
	for (int i = 0; i < 100000; i++)
		buckets[random_below(&a, 10)]++;
	for (int i = 0; i < 10; i++)
		ck_assert(buckets[i] > 9500 && buckets[i] < 10500);
	ck_assert_uint_eq(random_below(&a, 0), 0);
	ck_assert_uint_eq(random_below(&a, 1), 0);
}
END_TEST

/* --- log ------------------------------------------------------------------------------ */

struct seen {
	int lines;
	weft_log_level level;
	char module[16];
	char text[10000];
};

static void remember(void *user, weft_log_level level, const char *module, const char *text)
{
	struct seen *seen = user;

	seen->lines++;
	seen->level = level;
	snprintf(seen->module, sizeof(seen->module), "%s", module);
	snprintf(seen->text, sizeof(seen->text), "%s", text);
}

START_TEST(log_goes_to_the_callback_up_to_its_level)
{
	static struct seen seen;

	weft_log(WEFT_LOG_ERROR, "test", "nobody listens");
	weft_log_set(remember, &seen, WEFT_LOG_WARN);
	weft_log(WEFT_LOG_INFO, "test", "too low");
	ck_assert_int_eq(seen.lines, 0);
	weft_log(WEFT_LOG_WARN, "test", "number %d", 5);
	ck_assert_int_eq(seen.lines, 1);
	ck_assert_int_eq(seen.level, WEFT_LOG_WARN);
	ck_assert_str_eq(seen.module, "test");
	ck_assert_str_eq(seen.text, "number 5");
	ck_assert(weft_log_enabled(WEFT_LOG_ERROR));
	weft_log_set(NULL, NULL, WEFT_LOG_ERROR);
	ck_assert(!weft_log_enabled(WEFT_LOG_ERROR));
	weft_log(WEFT_LOG_ERROR, "test", "nobody listens");
	ck_assert_int_eq(seen.lines, 1);
}
END_TEST

START_TEST(log_shows_control_characters_and_cuts_long_lines)
{
	static struct seen seen;
	static char text[5000];

	weft_log_set(remember, &seen, WEFT_LOG_TRACE);
	weft_log(WEFT_LOG_INFO, "test", "a\x1b[31mb\nc");
	ck_assert_str_eq(seen.text, "a\\x1b[31mb\\nc");
	memset(text, 'y', sizeof(text) - 1);
	weft_log(WEFT_LOG_INFO, "test", "%s", text);
	ck_assert_uint_lt(strlen(seen.text), 2048);
	ck_assert_str_eq(seen.text + strlen(seen.text) - 4, "y...");
	t_malloc_fail_at(1);
	weft_log(WEFT_LOG_INFO, "test", "%s", text);
	t_malloc_fail_off();
	ck_assert_str_eq(seen.text + strlen(seen.text) - 4, "y...");
	weft_log_set(NULL, NULL, WEFT_LOG_ERROR);
}
END_TEST

START_TEST(log_levels_have_names)
{
	weft_log_level level;

	for (int i = WEFT_LOG_ERROR; i <= WEFT_LOG_TRACE; i++) {
		const char *name = weft_log_level_name((weft_log_level)i);

		ck_assert_int_eq(weft_log_level_parse(name, &level), WEFT_OK);
		ck_assert_int_eq((int)level, i);
	}
	ck_assert_int_eq(weft_log_level_parse("loud", &level), WEFT_EINVAL);
}
END_TEST

/* --- secrets ---------------------------------------------------------------------------- */

START_TEST(secrets_differ)
{
	uint8_t a[64], b[64];

	ck_assert(random_secret(a, sizeof(a)) && random_secret(b, sizeof(b)));
	ck_assert(memcmp(a, b, sizeof(a)) != 0);
	ck_assert(memcmp(a, a + 32, 32) != 0);
}
END_TEST

static void base_tests(TCase *tc)
{
	t_add(tc, secrets_differ);
	t_add(tc, every_code_has_a_name_and_a_text);
	t_add(tc, detail_grows_outwards);
	t_add(tc, detail_is_cut_not_overrun);
	t_add(tc, errors_keep_errno_and_survive_without_memory);
	t_add(tc, heap_agrees_with_sorting);
	t_add(tc, heap_push_without_memory_changes_nothing);
	t_add(tc, random_repeats_from_its_seed_and_is_even);
	t_add(tc, log_goes_to_the_callback_up_to_its_level);
	t_add(tc, log_shows_control_characters_and_cuts_long_lines);
	t_add(tc, log_levels_have_names);
}
T_SUITE("base", base_tests)
