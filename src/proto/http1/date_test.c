/* SPDX-License-Identifier: MIT */
/* Dates: all three forms, against gmtime, and what is none. */
#define _GNU_SOURCE
#include "proto/http1/http1.h"

#include "support/t.h"

#include <string.h>
#include <time.h>

#define NOV_1994 INT64_C(784111777) /* Sun, 06 Nov 1994 08:49:37 GMT */

static bool parse(const char *text, int64_t now_s, int64_t *time_s)
{
	return http1_date_parse(text, strlen(text), now_s, time_s);
}

START_TEST(http1_dates_of_all_forms_are_read)
{
	static const char *const texts[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994" };

	for (size_t i = 0; i < 3; i++) {
		int64_t got = 0;

		ck_assert(parse(texts[i], NOV_1994, &got));
		ck_assert_int_eq(got, NOV_1994);
	}
}
END_TEST

START_TEST(http1_dates_are_written_as_gmtime_has_them)
{
	static const int64_t times[] = { 0, 1, -1, 86399, 86400, NOV_1994, 951782400, /* 29 Feb */
		4102444799, -2203891201, 253402300799 };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]) + 4000; i++) {
		uint64_t state = i;
		int64_t seconds = i < sizeof(times) / sizeof(times[0])
			? times[i]
			: (int64_t)(t_random(&state) % 315569520000) - 62167219200,
			back = 0;
		time_t time = (time_t)seconds;
		char text[HTTP1_DATE_LEN + 1], want[64];
		struct tm tm;

		T_OUGHT(gmtime_r(&time, &tm));
		T_OUGHT(strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
		text[HTTP1_DATE_LEN] = '#';
		http1_date_format(text, seconds);
		T_OUGHT(text[HTTP1_DATE_LEN] == '#');
		text[HTTP1_DATE_LEN] = '\0';
		if (tm.tm_year >= 1000 - 1900) /* strftime does not pad */
			T_OUGHT(!strcmp(text, want));
		T_OUGHT(parse(text, 0, &back) && back == seconds);
	}
}
END_TEST

START_TEST(http1_dates_beyond_four_digits_are_the_nearest)
{
	char text[HTTP1_DATE_LEN + 1] = "";

	http1_date_format(text, INT64_MAX);
	ck_assert_str_eq(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	http1_date_format(text, INT64_MIN);
	ck_assert_str_eq(text, "Sat, 01 Jan 0000 00:00:00 GMT");
}
END_TEST

START_TEST(http1_years_of_two_digits_are_near_now)
{
	static const struct {
		const char *text;
		int64_t now_s, is;
	} list[] = {
		{ "Thursday, 01-Jan-70 00:00:00 GMT", 0, 0 },
		{ "Thursday, 01-Jan-70 00:00:00 GMT", 1546300800, 0 }, /* from 2019 */
		{ "Wednesday, 01-Jan-70 00:00:00 GMT", 1577836800, 3155760000 },
		{ "Friday, 01-Jan-99 00:00:00 GMT", 1577836800, 915148800 },
		{ "Saturday, 01-Jan-00 00:00:00 GMT", 915148800, 946684800 }, /* from 1999 */
		{ "Wednesday, 01-Jan-20 00:00:00 GMT", 1577836800, 1577836800 },
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		int64_t got = -1;

		ck_assert(parse(list[i].text, list[i].now_s, &got));
		ck_assert_int_eq(got, list[i].is);
	}
}
END_TEST

START_TEST(http1_what_is_no_date_is_refused)
{
	static const char *const texts[] = { "", "Sun", "Sun,", "Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 GMT ",
		" Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
		"sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 29 Feb 1995 08:49:37 GMT",
		"Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 08.49.37 GMT",
		"Sun, +6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 19945 08:49:37 GMT",
		"Sunday, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
		"Someday, 06-Nov-94 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
		"Sun Nov 6 08:49:37 1994", "Sun Nov  6 08:49:37 94", "Sun Nov  6 08:49:37 1994 GMT",
		"Sun Nov  66 08:49:37 1994", "784111777" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int64_t got = 7;

		if (parse(texts[i], NOV_1994, &got) || got != 7)
			ck_abort_msg("%s is a date", texts[i]);
	}
}
END_TEST

/* Every cut of each form, from a block of its own, for the sanitizer. */
START_TEST(http1_cut_dates_are_refused)
{
	static const char *const texts[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994" };

	for (size_t i = 0; i < 3; i++) {
		for (size_t len = 0; len < strlen(texts[i]); len++) {
			char text[32];
			int64_t got;

			memcpy(text + sizeof(text) - len, texts[i], len);
			T_OUGHT(!http1_date_parse(text + sizeof(text) - len, len, 0, &got));
		}
	}
}
END_TEST

START_TEST(http1_a_leap_second_and_leap_days_are_dates)
{
	int64_t got;

	ck_assert(parse("Thu, 31 Dec 1998 23:59:60 GMT", 0, &got));
	ck_assert_int_eq(got, 915148800);
	ck_assert(parse("Tue, 29 Feb 2000 00:00:00 GMT", 0, &got));
	ck_assert_int_eq(got, 951782400);
	ck_assert(parse("Tue, 29 Feb 1996 00:00:00 GMT", 0, &got));
}
END_TEST

static void date_tests(TCase *tc)
{
	t_add(tc, http1_dates_of_all_forms_are_read);
	t_add(tc, http1_dates_are_written_as_gmtime_has_them);
	t_add(tc, http1_dates_beyond_four_digits_are_the_nearest);
	t_add(tc, http1_years_of_two_digits_are_near_now);
	t_add(tc, http1_what_is_no_date_is_refused);
	t_add(tc, http1_cut_dates_are_refused);
	t_add(tc, http1_a_leap_second_and_leap_days_are_dates);
}
T_SUITE("http1_date", date_tests)
