/* SPDX-License-Identifier: MIT */
#ifndef MINICHECK_CHECK_H
#define MINICHECK_CHECK_H

/*
 * A stand-in for Check where there is no Check to link: cross builds, whose tests run
 * under an emulator. It has what the tests use, with Check's meaning: each test in a
 * forked process (CK_FORK=no: in this one) that has CK_DEFAULT_TIMEOUT seconds.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef void (*TFun)(int);
typedef struct TTest {
	const char *name;
	TFun fn;
	const char *file;
	int line;
} TTest;
typedef struct TCase TCase;
typedef struct Suite Suite;
typedef struct SRunner SRunner;
enum print_output { CK_SILENT, CK_MINIMAL, CK_NORMAL, CK_VERBOSE, CK_ENV };

#define START_TEST(test)                                                            \
	static void test##_fn(int _i);                                              \
	static const TTest test##_ttest = { #test, test##_fn, __FILE__, __LINE__ }; \
	static const TTest *const test = &test##_ttest;                             \
	static void test##_fn(__attribute__((unused)) int _i)
#define END_TEST

Suite *suite_create(const char *name);
TCase *tcase_create(const char *name);
void suite_add_tcase(Suite *suite, TCase *tc);
void tcase_set_timeout(TCase *tc, double seconds);
void tcase_add_checked_fixture(TCase *tc, void (*setup)(void), void (*teardown)(void));
void minicheck_add(TCase *tc, const TTest *test, int signal, int status, int start, int end);
#define tcase_add_test(tc, test) minicheck_add(tc, test, 0, 0, 0, 1)
#define tcase_add_loop_test(tc, test, start, end) minicheck_add(tc, test, 0, 0, start, end)
#define tcase_add_test_raise_signal(tc, test, signal) minicheck_add(tc, test, signal, 0, 0, 1)
#define tcase_add_exit_test(tc, test, status) minicheck_add(tc, test, 0, status, 0, 1)
SRunner *srunner_create(Suite *suite);
void srunner_run_all(SRunner *runner, enum print_output mode);
int srunner_ntests_failed(SRunner *runner);
int srunner_ntests_run(SRunner *runner);
void srunner_free(SRunner *runner);

_Noreturn void minicheck_failed(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define ck_abort_msg(...) minicheck_failed(__FILE__, __LINE__, __VA_ARGS__)
#define ck_abort() ck_abort_msg("Failed")
#define ck_assert_msg(cond, ...) ((cond) ? (void)0 : ck_abort_msg(__VA_ARGS__))
#define ck_assert(cond) ck_assert_msg(cond, "Assertion '%s' failed", #cond)

#define MINICHECK_COMPARE(type, format, x, op, y)                                                 \
	do {                                                                                      \
		type x_ = (x);                                                                    \
		type y_ = (y);                                                                    \
		ck_assert_msg(x_ op y_, "%s: %s == " format ", %s == " format, #x " " #op " " #y, \
			#x, x_, #y, y_);                                                          \
	} while (0)
#define ck_assert_int_eq(x, y) MINICHECK_COMPARE(long long, "%lld", x, ==, y)
#define ck_assert_int_ne(x, y) MINICHECK_COMPARE(long long, "%lld", x, !=, y)
#define ck_assert_int_lt(x, y) MINICHECK_COMPARE(long long, "%lld", x, <, y)
#define ck_assert_int_le(x, y) MINICHECK_COMPARE(long long, "%lld", x, <=, y)
#define ck_assert_int_gt(x, y) MINICHECK_COMPARE(long long, "%lld", x, >, y)
#define ck_assert_int_ge(x, y) MINICHECK_COMPARE(long long, "%lld", x, >=, y)
#define ck_assert_uint_eq(x, y) MINICHECK_COMPARE(unsigned long long, "%llu", x, ==, y)
#define ck_assert_uint_ne(x, y) MINICHECK_COMPARE(unsigned long long, "%llu", x, !=, y)
#define ck_assert_uint_lt(x, y) MINICHECK_COMPARE(unsigned long long, "%llu", x, <, y)
#define ck_assert_uint_le(x, y) MINICHECK_COMPARE(unsigned long long, "%llu", x, <=, y)
#define ck_assert_uint_gt(x, y) MINICHECK_COMPARE(unsigned long long, "%llu", x, >, y)
#define ck_assert_uint_ge(x, y) MINICHECK_COMPARE(unsigned long long, "%llu", x, >=, y)
#define ck_assert_double_eq(x, y) MINICHECK_COMPARE(double, "%g", x, ==, y)
#define ck_assert_double_lt(x, y) MINICHECK_COMPARE(double, "%g", x, <, y)
#define ck_assert_double_le(x, y) MINICHECK_COMPARE(double, "%g", x, <=, y)
#define ck_assert_double_gt(x, y) MINICHECK_COMPARE(double, "%g", x, >, y)
#define ck_assert_double_ge(x, y) MINICHECK_COMPARE(double, "%g", x, >=, y)
#define ck_assert_ptr_eq(x, y) MINICHECK_COMPARE(const void *, "%p", x, ==, y)
#define ck_assert_ptr_ne(x, y) MINICHECK_COMPARE(const void *, "%p", x, !=, y)
#define ck_assert_ptr_null(x) MINICHECK_COMPARE(const void *, "%p", x, ==, NULL)
#define ck_assert_ptr_nonnull(x) MINICHECK_COMPARE(const void *, "%p", x, !=, NULL)

#define MINICHECK_STRINGS(x, op, y)                                                 \
	do {                                                                        \
		const char *x_ = (x), *y_ = (y);                                    \
		ck_assert_msg(x_ &&y_ &&strcmp(x_, y_) op 0, "%s: \"%s\", \"%s\"",  \
			#x " " #op " " #y, x_ ? x_ : "(null)", y_ ? y_ : "(null)"); \
	} while (0)
#define ck_assert_str_eq(x, y) MINICHECK_STRINGS(x, ==, y)
#define ck_assert_str_ne(x, y) MINICHECK_STRINGS(x, !=, y)
#define ck_assert_pstr_eq(x, y) ck_assert((x) == (y) || ((x) && (y) && strcmp((x), (y)) == 0))
#define ck_assert_mem_eq(x, y, len) \
	ck_assert_msg(memcmp((x), (y), (len)) == 0, "%s and %s differ", #x, #y)
#define ck_assert_mem_ne(x, y, len) \
	ck_assert_msg(memcmp((x), (y), (len)) != 0, "%s and %s are equal", #x, #y)

#endif
