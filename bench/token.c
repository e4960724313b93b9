/* SPDX-License-Identifier: MIT */
/* token-check: ns to ask a token, which was not cancelled, whether it was. once-get: ns for the
 * value of a once that has one. In a fiber. */
#include "must.h"

enum { CHECKS_MAX = 1 << 30 };

static double token_pass(void *arg, uint64_t n)
{
	weft_cancel *token = arg;
	uint64_t count = 0;
	int64_t begin = bench_now_ns();
	for (uint64_t i = 0; i < n; i++) {
		count += weft_cancel_is_cancelled(token);
		bench_look_at(count);
	}
	int64_t end = bench_now_ns();
	if (count)
		bench_die("token-check");
	return (double)(end - begin);
}

static weft_err token_main(void *arg)
{
	weft_cancel *token = NULL;
	must(weft_cancel_create(&token, NULL), "weft_cancel_create");
	bench_report(arg, bench_calibrated(token_pass, token, CHECKS_MAX), "ns");
	weft_cancel_unref(token);
	return WEFT_OK;
}

static void run_token(const char *row)
{
	must_run(token_main, (void *)(uintptr_t)row, 1);
}

static double once_pass(void *arg, uint64_t n)
{
	weft_once *once = arg;
	uint64_t sum = 0;
	int64_t begin = bench_now_ns();
	for (uint64_t i = 0; i < n; i++) {
		sum += *(const uint64_t *)weft_once_get(once);
		bench_look_at(sum);
	}
	int64_t end = bench_now_ns();
	if (sum != n)
		bench_die("once-get");
	return (double)(end - begin);
}

static weft_err once_main(void *arg)
{
	uint64_t number = 1;
	weft_once *once = NULL;
	must(weft_once_create(&once, NULL), "weft_once_create");
	must(weft_once_set(once, &number), "weft_once_set");
	bench_report(arg, bench_calibrated(once_pass, once, CHECKS_MAX), "ns");
	weft_once_free(once);
	return WEFT_OK;
}

static void run_once(const char *row)
{
	must_run(once_main, (void *)(uintptr_t)row, 1);
}

int main(int argc, char **argv)
{
	static const struct bench_row rows[] = {
		{ "token-check", run_token },
		{ "once-get", run_once },
		{ NULL, NULL },
	};
	return bench_main(argc, argv, rows);
}
