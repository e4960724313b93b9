/* SPDX-License-Identifier: MIT */
/* The text format, byte by byte; and what is counted, by class and bucket. */
#include "base/mem.h"
#include "bridge/exposition.h"
#include "bridge/process_usage.h"
#include "bridge/relay_counts.h"
#include "support/t.h"

#include <pthread.h>
#include <string.h>

static void write_all(struct exposition *e)
{
	const struct label labels[] = { { "a", "plain" }, { "b", "q\"b\\n\nl" } };

	exposition_family(e, "x_total", "counter", "What \\ it\nis \"now\".");
	exposition_sample(e, "", labels, 2, UINT64_MAX);
	exposition_sample(e, "", NULL, 0, 0);
	exposition_family(e, "y_seconds", "histogram", "T.");
	exposition_sample(e, "_bucket", labels, 1, 7);
	exposition_seconds(e, "_sum", labels, 1, INT64_C(12000000345));
}

static const char all[] = "# HELP x_total What \\\\ it\\nis \"now\".\n"
			  "# TYPE x_total counter\n"
			  "x_total{a=\"plain\",b=\"q\\\"b\\\\n\\nl\"} 18446744073709551615\n"
			  "x_total 0\n"
			  "# HELP y_seconds T.\n"
			  "# TYPE y_seconds histogram\n"
			  "y_seconds_bucket{a=\"plain\"} 7\n"
			  "y_seconds_sum{a=\"plain\"} 12.000000345\n";

START_TEST(a_text_is_written_as_the_format_has_it)
{
	struct exposition e = { .family = NULL };

	ck_assert_str_eq(grown_string(&e.text), "");
	write_all(&e);
	ck_assert_str_eq(grown_string(&e.text), all);
	ck_assert_uint_eq(e.text.len, strlen(all));
	grown_fini(&e.text);
}
END_TEST

START_TEST(a_text_that_grows_is_whole)
{
	struct grown_text text = { .text = NULL };
	size_t len = 0;

	for (unsigned i = 0; i < 5000; i++) {
		grown_putf(&text, "%u,", i);
		len += strlen(text.text + len);
		ck_assert_uint_eq(text.len, len);
	}
	grown_put_json(&text, "a\"\\\n\x01\xff");
	ck_assert_str_eq(grown_string(&text) + len, "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\"");
	grown_fini(&text);
}
END_TEST

START_TEST(out_of_memory_is_kept_and_told)
{
	T_EACH_FAILING_MALLOC(n) {
		struct exposition e = { .family = NULL };

		write_all(&e);
		for (unsigned i = 0; i < 2000; i++)
			exposition_sample(&e, "_bucket", NULL, 0, i);
		ck_assert((grown_string(&e.text) == NULL) == t_malloc_failed());
		grown_fini(&e.text);
	}
}
END_TEST

START_TEST(codes_have_classes)
{
	static const struct {
		int64_t code;
		const char *name;
	} rows[] = { { -32700, "parse_error" }, { -32600, "invalid_request" },
		{ -32601, "method_not_found" }, { -32602, "invalid_params" },
		{ -32603, "internal_error" }, { -32000, "server_error" },
		{ -32099, "server_error" }, { -32100, "other" }, { -31999, "other" },
		{ -32800, "cancelled" }, { 0, "other" }, { 1, "other" }, { INT64_MIN, "other" } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_str_eq(counts_error_names[counts_error_of(rows[i].code)], rows[i].name);
	ck_assert_int_eq(counts_transport_of("http"), COUNTS_HTTP);
	ck_assert_int_eq(counts_transport_of("mux"), COUNTS_MUX);
	ck_assert_int_eq(counts_transport_of("memory"), COUNTS_OTHER);
	ck_assert_int_eq(counts_transport_of(""), COUNTS_OTHER);
}
END_TEST

START_TEST(times_have_buckets)
{
	struct relay_counts *counts = mem_calloc(1, sizeof(*counts));
	struct counts_cell sum;

	counts_answered(counts, -1);
	counts_answered(counts, 0);
	counts_answered(counts, counts_bounds_ns[0]); /* bounds are within */
	counts_answered(counts, counts_bounds_ns[0] + 1);
	counts_answered(counts, counts_bounds_ns[COUNTS_BUCKETS - 1]);
	counts_answered(counts, counts_bounds_ns[COUNTS_BUCKETS - 1] + 1);
	counts_sum(counts, &sum);
	ck_assert_uint_eq(counter_get(&sum.latency[0]), 3);
	ck_assert_uint_eq(counter_get(&sum.latency[1]), 1);
	ck_assert_uint_eq(counter_get(&sum.latency[COUNTS_BUCKETS - 1]), 1);
	ck_assert_uint_eq(counter_get(&sum.latency[COUNTS_BUCKETS]), 1);
	ck_assert_uint_eq(counter_get(&sum.done), 6);
	mem_free(counts);
}
END_TEST

#define THREADS 4
#define TURNS 20000

static void *count(void *arg)
{
	struct relay_counts *counts = arg;

	for (unsigned i = 0; i < TURNS; i++) {
		counts_request(counts);
		counts_message(counts, COUNTS_TO_SERVER, 3);
		counts_error(counts, COUNTS_BY_SERVER, -32601);
		counts_answered(counts, 1000);
		counts_fault(counts, i % 2 ? "one" : "another");
	}
	return NULL;
}

START_TEST(threads_that_count_at_once_lose_nothing)
{
	struct relay_counts *counts = mem_calloc(1, sizeof(*counts));
	struct counts_cell sum;
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count, counts), 0);
	do
		counts_sum(counts, &sum);
	while (counter_get(&sum.done) < TURNS);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	counts_sum(counts, &sum);
	ck_assert_uint_eq(counter_get(&sum.requests), THREADS * TURNS);
	ck_assert_uint_eq(counter_get(&sum.done), THREADS * TURNS);
	ck_assert_uint_eq(counter_get(&sum.latency[0]), THREADS * TURNS);
	ck_assert_uint_eq(counter_get(&sum.latency_ns), UINT64_C(1000) * THREADS * TURNS);
	ck_assert_uint_eq(counter_get(&sum.bytes[COUNTS_TO_SERVER]), 3 * THREADS * TURNS);
	ck_assert_uint_eq(counter_get(&sum.errors[COUNTS_BY_SERVER][COUNTS_METHOD_NOT_FOUND]),
		THREADS * TURNS);
	ck_assert(strcmp(counts->fault, "one") == 0 || strcmp(counts->fault, "another") == 0);
	mem_free(counts);
}
END_TEST

START_TEST(this_process_uses_something)
{
	struct process_usage u;

	process_usage_get(&u);
	ck_assert_uint_gt(u.resident_bytes, 4096);
	ck_assert_uint_gt(u.virtual_bytes, u.resident_bytes);
	ck_assert_uint_ge(u.fds, 3);
	ck_assert_uint_gt(u.fds_max, u.fds);
	ck_assert_int_gt(u.cpu_ns, 0);
	ck_assert_int_gt(u.started_ns, INT64_C(1700000000) * 1000000000);
}
END_TEST

static void exposition_tests(TCase *tc)
{
	t_add(tc, a_text_is_written_as_the_format_has_it);
	t_add(tc, a_text_that_grows_is_whole);
	t_add(tc, out_of_memory_is_kept_and_told);
	t_add(tc, codes_have_classes);
	t_add(tc, times_have_buckets);
	t_add(tc, threads_that_count_at_once_lose_nothing);
	t_add(tc, this_process_uses_something);
}

T_SUITE("exposition", exposition_tests)
