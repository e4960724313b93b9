/* SPDX-License-Identifier: MIT */
/*
 * Dates (RFC 9110 5.6.7), by the proleptic Gregorian calendar, in UTC; without libc's time, whose
 * names follow the locale. Written as IMF-fixdate; all three forms are read:
 *
 *	Sun, 06 Nov 1994 08:49:37 GMT	IMF-fixdate
 *	Sunday, 06-Nov-94 08:49:37 GMT	rfc850-date
 *	Sun Nov  6 08:49:37 1994	asctime-date
 */
#include "proto/http1/chars.h"

#include <string.h>

#define DAY_S 86400
#define TIME_MIN_S INT64_C(-62167219200) /* 0000-01-01 */
#define TIME_MAX_S INT64_C(253402300799) /* 9999-12-31 23:59:59 */

static const char day_names[7][10] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday",
	"Friday", "Saturday" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
	"Sep", "Oct", "Nov", "Dec" };

struct date {
	int64_t year;
	unsigned month, day; /* from 1 */
	unsigned hour, minute, second;
	unsigned weekday; /* from Sunday, 0 */
};

/* Years of 400 repeat; in each, years begin in March, so that the leap day is the last. */
static int64_t days_before(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (int64_t)((month + 9) % 12) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of_days(struct date *date, int64_t days)
{
	int64_t since = days + 719468, era = (since >= 0 ? since : since - 146096) / 146097;
	int64_t of_era = since - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153;

	date->day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
	date->month = (unsigned)(month < 10 ? month + 3 : month - 9);
	date->year = year + era * 400 + (date->month <= 2);
	date->weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
}

static char *put2(char *to, unsigned value)
{
	to[0] = (char)('0' + value / 10 % 10);
	to[1] = (char)('0' + value % 10);
	return to + 2;
}

static char *put_text(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return to + len;
}

void http1_date_format(char *out, int64_t time_s)
{
	struct date date;
	int64_t days;
	unsigned second;

	if (time_s < TIME_MIN_S)
		time_s = TIME_MIN_S;
	if (time_s > TIME_MAX_S)
		time_s = TIME_MAX_S;
	days = (time_s >= 0 ? time_s : time_s - (DAY_S - 1)) / DAY_S;
	second = (unsigned)(time_s - days * DAY_S);
	date_of_days(&date, days);
	out = put_text(out, day_names[date.weekday], 3);
	out = put_text(out, ", ", 2);
	out = put2(out, date.day);
	*out++ = ' ';
	out = put_text(out, month_names[date.month - 1], 3);
	*out++ = ' ';
	out = put2(out, (unsigned)date.year / 100);
	out = put2(out, (unsigned)date.year % 100);
	*out++ = ' ';
	out = put2(out, second / 3600);
	*out++ = ':';
	out = put2(out, second / 60 % 60);
	*out++ = ':';
	out = put2(out, second % 60);
	put_text(out, " GMT", 4);
}

/* ---- reading ---- */

struct reader {
	const char *at, *end;
	bool wrong;
};

static void skip(struct reader *r, const char *text)
{
	size_t len = strlen(text);

	if (r->wrong || (size_t)(r->end - r->at) < len || memcmp(r->at, text, len) != 0) {
		r->wrong = true;
		return;
	}
	r->at += len;
}

static unsigned number(struct reader *r, unsigned digits)
{
	unsigned value = 0;

	if (r->wrong || (size_t)(r->end - r->at) < digits ||
		!http1_all_in(r->at, digits, HTTP1_DIGIT)) {
		r->wrong = true;
		return 0;
	}
	for (; digits > 0; digits--)
		value = value * 10 + (unsigned)(*r->at++ - '0');
	return value;
}

static unsigned month(struct reader *r)
{
	if (!r->wrong && r->end - r->at >= 3) {
		for (unsigned i = 0; i < 12; i++) {
			if (!memcmp(r->at, month_names[i], 3)) {
				r->at += 3;
				return i + 1;
			}
		}
	}
	r->wrong = true;
	return 1;
}

static void time_of_day(struct reader *r, struct date *date)
{
	date->hour = number(r, 2);
	skip(r, ":");
	date->minute = number(r, 2);
	skip(r, ":");
	date->second = number(r, 2);
}

/* Past the name of a weekday, in full or its first three letters; returns which, or 7. */
static unsigned weekday(struct reader *r, bool full)
{
	for (unsigned i = 0; i < 7; i++) {
		size_t len = full ? strlen(day_names[i]) : 3;

		if ((size_t)(r->end - r->at) >= len && !memcmp(r->at, day_names[i], len)) {
			r->at += len;
			return i;
		}
	}
	r->wrong = true;
	return 7;
}

static void read_imf(struct reader *r, struct date *date)
{
	date->weekday = weekday(r, false);
	skip(r, ", ");
	date->day = number(r, 2);
	skip(r, " ");
	date->month = month(r);
	skip(r, " ");
	date->year = number(r, 4);
	skip(r, " ");
	time_of_day(r, date);
	skip(r, " GMT");
}

static void read_asctime(struct reader *r, struct date *date)
{
	date->weekday = weekday(r, false);
	skip(r, " ");
	date->month = month(r);
	skip(r, " ");
	if (!r->wrong && r->at < r->end && *r->at == ' ') {
		r->at++;
		date->day = number(r, 1);
	} else {
		date->day = number(r, 2);
	}
	skip(r, " ");
	time_of_day(r, date);
	skip(r, " ");
	date->year = number(r, 4);
}

/* A year of two digits that appears to be more than 50 years ahead is the last one with them. */
static int64_t year_of_two(unsigned two, int64_t now_s)
{
	struct date now;
	int64_t year;

	date_of_days(&now, (now_s >= 0 ? now_s : now_s - (DAY_S - 1)) / DAY_S);
	year = now.year - now.year % 100 + two;
	if (year > now.year + 50)
		year -= 100;
	else if (year + 100 <= now.year + 50)
		year += 100;
	return year;
}

static void read_rfc850(struct reader *r, struct date *date, int64_t now_s)
{
	date->weekday = weekday(r, true);
	skip(r, ", ");
	date->day = number(r, 2);
	skip(r, "-");
	date->month = month(r);
	skip(r, "-");
	date->year = year_of_two(number(r, 2), now_s);
	skip(r, " ");
	time_of_day(r, date);
	skip(r, " GMT");
}

/* The weekday is not compared: it says nothing that the date does not. */
static bool is_real(const struct date *date)
{
	static const unsigned lengths[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t year = date->year;
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	unsigned length = lengths[date->month - 1] + (date->month == 2 && leap);

	return date->day >= 1 && date->day <= length && date->hour < 24 && date->minute < 60 &&
		date->second <= 60; /* a leap second */
}

bool http1_date_parse(const char *text, size_t len, int64_t now_s, int64_t *time_s)
{
	struct reader r = { text, text + len, false };
	struct date date = { 0 };

	if (len < 4 || now_s < TIME_MIN_S || now_s > TIME_MAX_S)
		return false;
	if (text[3] == ',')
		read_imf(&r, &date);
	else if (text[3] == ' ')
		read_asctime(&r, &date);
	else
		read_rfc850(&r, &date, now_s);
	if (r.wrong || r.at != r.end || !is_real(&date))
		return false;
	*time_s = days_before(date.year, date.month, date.day) * DAY_S + date.hour * 3600 +
		date.minute * 60 + date.second;
	return true;
}
